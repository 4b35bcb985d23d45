"""Reading Parquet files batch by batch, and no further than what could be one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

UNPACKED = 2 << 30
"""Bytes of texts, numbers and pictures that any Parquet file may hold."""

RATIO = 50
"""How many times its own size a larger one may unpack to: texts pack to a tenth, pictures hardly."""

_ROWS = 256


class DecompressionBombError(Exception):
    """Raised where a file unpacks to far more than it could honestly hold; the message names it."""


def parquet_batches(file: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, some hundred at a time.

    Raises:
        DecompressionBombError: If they unpack to more than `UNPACKED` bytes and `RATIO` times its size.
        OSError: If it cannot be read; likewise `ValueError` for what is no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet

    unpacked, most = 0, max(UNPACKED, RATIO * file.stat().st_size)
    for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=_ROWS):
        for column in batch.columns:  # a value that repeats is stored once, and read as often as it stands
            unpacked += (column.dictionary_decode() if pa.types.is_dictionary(column.type) else column).nbytes
        if unpacked > most:
            raise DecompressionBombError(
                f"{file}: its rows unpack to more than {most:,} bytes, {RATIO} times its size (a "
                "decompression bomb?); take it away, or cut it into several files."
            )
        yield batch
