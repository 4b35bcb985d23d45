"""Export to Parquet, which `datasets.load_dataset` opens with its images decoded."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.checksums import is_whole, write_listed
from synthesis.concepts import ConceptCatalog
from synthesis.store.export import cut, facts, open_export, read
from synthesis.store.pair_store import PairStore
from synthesis.store.rows import png, row

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT = ("text", "findings", "impression", "case", "view")
_TEXTS = ("concepts", "absent", "notes", "rejections")


def export_parquet(
    store: PairStore, out: str | Path, catalog: ConceptCatalog, pairs: int = 1000
) -> list[Path]:
    """Write ``train-00000-of-00003.parquet`` … (the split's name first), a row a pair, see `rows.row`.

    The column ``image`` is what `datasets.Image` reads: a PNG without loss. Masks stay behind.

    Args:
        store: The pairs.
        out: Directory of the export.
        catalog: The concepts.
        pairs: Pairs in a file.

    Returns:
        The files.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = Path(out)
    store.check_catalog(catalog)
    open_export(out, store, pairs)
    ranges, schema = cut(len(store), pairs), _schema(store)
    files = []
    for number, places in enumerate(ranges):
        path = out / f"{store.manifest.split}-{number:05}-of-{len(ranges):05}.parquet"
        files.append(path)
        if not is_whole(path):
            rows = [_with_image(row(pair, catalog), png(pair)) for pair in read(store, places)]
            content = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, schema), content, row_group_size=100)
            write_listed(path, content.getvalue())
    return files


def _with_image(values: dict[str, Any], content: bytes) -> dict[str, Any]:
    return {"image": {"bytes": content, "path": f"{values['index']:09}.png"}, **values}


def _schema(store: PairStore) -> pa.Schema:
    """Return the columns, with the note by which `datasets` knows the image from a mere pair of values."""
    import pyarrow as pa

    def value(kind: str) -> dict[str, str]:
        return {"dtype": kind, "_type": "Value"}

    features: dict[str, Any] = {"image": {"_type": "Image"}, "index": value("int64")}
    features |= {name: value("string") for name in _TEXT}
    features |= {name: {"feature": value("string"), "_type": "List"} for name in _TEXTS}
    columns = [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("index", pa.int64()),
        *((name, pa.string()) for name in _TEXT),
        *((name, pa.list_(pa.string())) for name in _TEXTS),
    ]
    notes = {"huggingface": {"info": {"features": features}}, "synvlp": facts(store)}
    return pa.schema(columns, {key: json.dumps(value) for key, value in notes.items()})
