"""Export to Parquet, which `datasets.load_dataset` opens with its images decoded."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.cache import PairCache
from synthesis.concepts import ConceptCatalog
from synthesis.corpus.export import open_export, parts, read
from synthesis.corpus.rows import png, row
from synthesis.files import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT, _TEXTS = ("text", "findings", "impression", "case", "view"), ("concepts", "absent", "notes")


def export_parquet(
    corpus: PairCache, out: str | Path, catalog: ConceptCatalog, pairs: int = 1000
) -> list[Path]:
    """Write ``train-00000-of-00003.parquet`` … (the split's name first), a row a pair, see `rows.row`.

    The column ``image`` is what `datasets.Image` reads: a PNG without loss. Masks stay behind.

    Args:
        corpus: The pairs.
        out: Directory of the export.
        catalog: The concepts.
        pairs: Pairs in a file.

    Returns:
        The files.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = Path(out)
    open_export(out, corpus, pairs)
    cut, schema = parts(len(corpus), pairs), _schema()
    files = []
    for number, indices in enumerate(cut):
        path = out / f"{corpus.manifest['split']}-{number:05}-of-{len(cut):05}.parquet"
        files.append(path)
        if not path.exists():
            rows = [_with_image(row(pair, catalog), png(pair)) for pair in read(corpus, indices)]
            content = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, schema), content, row_group_size=100)
            write_atomically(path, content.getvalue())
    return files


def _with_image(values: dict[str, Any], content: bytes) -> dict[str, Any]:
    return {"image": {"bytes": content, "path": f"{values['index']:09}.png"}, **values}


def _schema() -> pa.Schema:
    """The columns, with the note by which `datasets` knows the image from a mere pair of values."""
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
    return pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})
