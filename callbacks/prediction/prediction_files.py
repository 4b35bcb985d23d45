"""The files that predictions end in."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from callbacks.base.files import written_whole

if TYPE_CHECKING:
    import pyarrow as pa


_ROWS = 16_384  # of a table are written at a time: Parquet notes something of each group of rows


class PredictionTable:
    """One table as CSV and as Parquet, written batch by batch; both are there whole or not at all.

    Args:
        path: Its place without a suffix.
        schema: Its columns, plain ones.
        formats: "csv", "parquet" or both.
    """

    def __init__(self, path: Path, schema: pa.Schema, formats: Sequence[str] = ("csv", "parquet")) -> None:
        self.path, self.schema, self.formats = path, schema, formats

    def __enter__(self) -> Self:
        from contextlib import ExitStack

        import pyarrow.csv
        import pyarrow.parquet

        self._stack = ExitStack()
        self._writers: list[Any] = []
        self._held: list[pa.Table] = []
        for kind in self.formats:
            partial = self._stack.enter_context(
                written_whole(self.path.with_name(f"{self.path.name}.{kind}"))
            )
            opened = pyarrow.csv.CSVWriter if kind == "csv" else pyarrow.parquet.ParquetWriter
            self._writers.append(self._stack.enter_context(opened(str(partial), self.schema)))
        return self

    def write(self, columns: Sequence[Any]) -> None:
        """Add rows, column by column."""
        import pyarrow as pa

        arrays = [
            values if isinstance(values, pa.Array) else pa.array(values, field.type)
            for values, field in zip(columns, self.schema, strict=True)
        ]
        self._held.append(pa.Table.from_arrays(arrays, schema=self.schema))
        if sum(map(len, self._held)) >= _ROWS:
            self._flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._stack.__exit__(kind, error, trace)

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            rows = pa.concat_tables(self._held)
            self._held = []
            for writer in self._writers:
                writer.write_table(rows)


def write_npz(
    path: Path, arrays: dict[str, tuple[tuple[int, ...], np.dtype[Any], Iterable[np.ndarray]]]
) -> None:
    """Write arrays that come in pieces as a file for `numpy.load`; memory holds a piece.

    Args:
        path: The file.
        arrays: Name → shape, type, and the pieces along the first axis.
    """
    with written_whole(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, (shape, dtype, pieces) in arrays.items():
            header = io.BytesIO()
            facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, facts)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                file.write(header.getvalue())
                for piece in pieces:
                    file.write(np.ascontiguousarray(piece, dtype).tobytes())
