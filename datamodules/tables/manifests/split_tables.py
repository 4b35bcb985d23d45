"""One list for each of a data set's own splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import TableError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Derived:
    """A column that another one contains.

    Attributes:
        column: The column that is there.
        pattern: Regular expression; its first group is the new value.
    """

    column: str
    pattern: str


class SplitTables(Manifest):
    """Several lists of the same form, one below the other; the column ``split`` says where a row comes from.

    Args:
        tables: Split → its list, relative to the folder of the data set.
        header: Names of the columns, where the lists have no header.
        separator: Between the columns.
        derived: New column → where it comes from.
    """

    def __init__(
        self,
        tables: Mapping[str, str],
        header: list[str] | None = None,
        separator: str = ",",
        derived: Mapping[str, Derived] | None = None,
    ) -> None:
        self.tables = dict(tables)
        self.header = header
        self.separator = separator
        self.derived = dict(derived or {})

    def frame(self, root: Path) -> pd.DataFrame:
        """Return all lists, in the order given; see `Manifest`."""
        import pandas as pd

        frames = [self._read(split, root / name) for split, name in self.tables.items()]
        first = next(iter(self.tables.values()))
        for name, frame in zip(self.tables.values(), frames, strict=True):
            other = sorted(set(frame.columns) ^ set(frames[0].columns))
            if other:
                raise TableError(
                    f"{root / name}: has other columns than {first}: only one of them has {other}; are both "
                    f"of the same release?"
                )
        joined = pd.concat(frames, ignore_index=True)
        joined.index = pd.RangeIndex(1, len(joined) + 1)
        return joined

    def _read(self, split: str, path: Path) -> pd.DataFrame:
        frame = read_frame(path, self.separator, self.header)
        for column, source in self.derived.items():
            cells = select(frame, path, [source.column])[source.column]
            found = cells.str.extract(source.pattern, expand=False)
            if found.isna().any():
                row = int(found.index[found.isna()][0])
                raise TableError(
                    f"{path}, row {row}, column {source.column!r}, value {cells[row]!r}: {column} is not to "
                    f"be found in it by {source.pattern!r}; give the list of the release that "
                    "the images are of."
                )
            frame[column] = found
        return frame.assign(split=split)
