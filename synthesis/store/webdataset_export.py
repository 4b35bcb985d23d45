"""Export to tar shards, in the layout of img2dataset that open_clip and WebDataset read."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from synthesis.checksums import is_whole, write_listed
from synthesis.concepts import ConceptCatalog
from synthesis.store.export import cut, open_export, read
from synthesis.store.pair_store import PairStore
from synthesis.store.rows import png, row


def export_webdataset(
    store: PairStore, out: str | Path, catalog: ConceptCatalog, pairs: int = 1000
) -> list[Path]:
    """Write ``00000.tar``, ``00001.tar`` … with ``<key>.png``, ``<key>.txt`` and ``<key>.json`` a pair.

    The key is the number of the shard (5 digits) and of the pair in it (4), as img2dataset counts; the text
    is the report with its headings; the JSON holds what `rows.row` returns. Beside each shard lies its
    ``00000_stats.json`` with the number of pairs. Masks stay behind. The same store gives the same bytes,
    and shards that are there already, and whole, are not written again.

    Args:
        store: The pairs.
        out: Directory of the export.
        catalog: The concepts.
        pairs: Pairs in a shard, at most 10,000.

    Returns:
        The shards.
    """
    if pairs > 10_000:
        raise ValueError(f"pairs={pairs}: a key has four digits for the pair; give 10000 or fewer.")
    out = Path(out)
    store.check_catalog(catalog)
    open_export(out, store, pairs)
    shards = []
    for number, places in enumerate(cut(len(store), pairs)):
        path = out / f"{number:05}.tar"
        shards.append(path)
        counted = out / f"{number:05}_stats.json"
        if is_whole(path) and is_whole(counted):
            continue
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for place, pair in enumerate(read(store, places)):
                key, values = f"{number:05}{place:04}", row(pair, catalog)
                _add(tar, f"{key}.png", png(pair))
                _add(tar, f"{key}.txt", values["text"].encode())
                _add(tar, f"{key}.json", json.dumps({"key": key, **values}, ensure_ascii=False).encode())
        stats = {"count": len(places), "successes": len(places), "status": "success"}
        write_listed(counted, json.dumps(stats).encode())
        write_listed(path, content.getvalue())
    return shards


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # no owner, no time: the same store, the same bytes
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
