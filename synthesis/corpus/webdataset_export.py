"""Export to tar shards, in the layout of img2dataset that open_clip and WebDataset read."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from synthesis.cache import PairCache
from synthesis.concepts import ConceptCatalog
from synthesis.corpus.export import open_export, parts, read
from synthesis.corpus.rows import png, row
from synthesis.files import write_atomically


def export_webdataset(
    corpus: PairCache, out: str | Path, catalog: ConceptCatalog, pairs: int = 1000
) -> list[Path]:
    """Write ``00000.tar``, ``00001.tar`` … with ``<key>.png``, ``<key>.txt`` and ``<key>.json`` a pair.

    The key is the number of the shard (5 digits) and of the pair in it (4), as img2dataset counts; the text
    is the report with its headings; the JSON holds what `rows.row` returns. Beside each shard lies its
    ``00000_stats.json`` with the number of pairs. Masks stay behind. The same corpus gives the same bytes,
    and shards that are there already are not written again.

    Args:
        corpus: The pairs.
        out: Directory of the export.
        catalog: The concepts.
        pairs: Pairs in a shard, at most 10,000.

    Returns:
        The shards.
    """
    if pairs > 10_000:
        raise ValueError(f"pairs={pairs}: a key has four digits for the pair; give 10000 or fewer.")
    out = Path(out)
    open_export(out, corpus, pairs)
    shards = []
    for number, indices in enumerate(parts(len(corpus), pairs)):
        path = out / f"{number:05}.tar"
        shards.append(path)
        if path.exists():
            continue
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for place, pair in enumerate(read(corpus, indices)):
                key, values = f"{number:05}{place:04}", row(pair, catalog)
                _add(tar, f"{key}.png", png(pair))
                _add(tar, f"{key}.txt", values["text"].encode())
                _add(tar, f"{key}.json", json.dumps({"key": key, **values}, ensure_ascii=False).encode())
        stats = {"count": len(indices), "successes": len(indices), "status": "success"}
        write_atomically(out / f"{number:05}_stats.json", json.dumps(stats).encode())
        write_atomically(path, content.getvalue())
    return shards


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # no owner, no time: the same corpus, the same bytes
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
