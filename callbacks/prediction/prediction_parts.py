"""What each process has predicted, on disk, and all of it in the order of the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

INDEX = "index"
"""Column by which parts are put in order: the number of the image."""


class PredictionParts:
    """Rows of one process, streamed into a file as they come: memory holds one batch.

    Args:
        path: The file, an Arrow stream; its folder is made.
        schema: Columns, `INDEX` among them, ascending within the file. Its metadata go along.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import pyarrow as pa

        path.parent.mkdir(parents=True, exist_ok=True)
        self.schema = schema
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_stream(self._file, schema)

    def write(self, columns: dict[str, Any]) -> None:
        """Add some rows.

        Args:
            columns: Name → values; lists, or arrays ``(rows,)`` or ``(rows, width)``.
        """
        import pyarrow as pa

        arrays = [as_arrow(columns[field.name], field.type) for field in self.schema]
        self._writer.write_batch(pa.record_batch(arrays, schema=self.schema))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
        self._file.close()


def as_arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """Return a column; an array ``(rows, width)`` becomes lists of a fixed size."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        flat = np.ascontiguousarray(values).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), kind.list_size)
    return pa.array(values, kind)


def merged(paths: Sequence[Path], size: int | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all parts by ascending `INDEX`, each index once; memory holds a batch a part.

    Args:
        paths: The parts, at least one.
        size: Number of rows there have to be; None takes what there is.

    Raises:
        RuntimeError: If a part is missing, was written under other metadata, or rows are missing.
    """
    import pyarrow as pa

    for path in paths:
        if not path.is_file():
            raise RuntimeError(
                f"{path}: no such part; all processes have to see the directory of the run: give one on a "
                "file system that they share"
            )
    readers = [pa.ipc.open_stream(pa.OSFile(str(path))) for path in paths]
    schemas = [reader.schema.metadata for reader in readers]
    if any(metadata != schemas[0] for metadata in schemas):
        raise RuntimeError(
            f"{paths[0].parent}: the processes have listed other images than each other; run again, and let "
            "nothing be written to the folders meanwhile"
        )
    count, last = 0, -1
    buffers = [_next(reader) for reader in readers]
    while any(buffer is not None for buffer in buffers):
        bound = min(buffer[INDEX][-1].as_py() for buffer in buffers if buffer is not None)
        ready = []
        for i, buffer in enumerate(buffers):
            if buffer is None:
                continue
            upto = int(np.searchsorted(buffer[INDEX].to_numpy(), bound, side="right"))
            ready.append(buffer.slice(0, upto))
            buffers[i] = buffer.slice(upto) if upto < len(buffer) else _next(readers[i])
        rows = _in_order(ready, last)
        if len(rows):
            last = int(rows[INDEX][-1].as_py())
            count += len(rows)
            yield rows
    if size is not None and count != size:
        raise RuntimeError(f"{paths[0].parent}: {count:,} images were predicted on, of {size:,}; run again")


def _next(reader: Any) -> pa.RecordBatch | None:
    for batch in reader:
        if len(batch):
            return batch
    return None


def _in_order(batches: Sequence[pa.RecordBatch], last: int) -> pa.RecordBatch:
    import pyarrow as pa

    table = pa.Table.from_batches(batches).combine_chunks()
    index = table[INDEX].to_numpy()
    unique, first = np.unique(index, return_index=True)
    fresh = pa.array(first[unique > last])
    return table.take(fresh).combine_chunks().to_batches()[0] if len(fresh) else batches[0].slice(0, 0)
