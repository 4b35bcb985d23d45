"""Where the figures of the pages come from: numbers in files, named in `docs/figures.yaml`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"[−-]?\d+(?:,\d{3})*(?:\.\d+)?|[−-]?\.\d+")


class FigureSources:
    """The numbers that an entry of `docs/figures.yaml` stands for, read from files.

    A source is written `FILE | KEY | …`. In JSON and YAML the keys lead to a number. In tables of CSV and
    Markdown they are a row (its first cell) and a column, and all numbers of that cell are meant. FILE may be
    a short name.

    Args:
        names: Short name of each file, with its path in the repository.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)
        self.forms: dict[str, Callable[..., list[float]]] = {
            "files": self._files,
            "rows": self._rows,
            "interval": self._interval,
            "mean": self._mean,
            "difference": self._difference,
            "times": self._times,
            "match": self._match,
        }

    def numbers(self, entry: Any) -> list[float]:
        """Return the numbers of one entry, in the order in which a page shows them.

        Args:
            entry: A source, or a mapping of one of the forms that the head of `docs/figures.yaml` describes.

        Raises:
            KeyError: If a file, key, row or column is not there; the message names it and the choices.
            ValueError: If the form is unknown.
        """
        if isinstance(entry, str):
            found = self._value(entry)
            return [found] if isinstance(found, float) else found
        for form, read in self.forms.items():
            if form in entry:
                return read(**entry)
        raise ValueError(f"{entry}: no form of {', '.join(self.forms)}; see the head of docs/figures.yaml")

    def _value(self, source: str) -> Any:
        name, *keys = [part.strip() for part in source.split("|")]
        path = ROOT / self.names.get(name, name)
        if not path.is_file():
            raise KeyError(f"{source}: no file {path.relative_to(ROOT)}")
        value: Any = contents(path)
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                choices = ", ".join(map(str, value))[:300] if isinstance(value, Mapping) else "no keys"
                raise KeyError(f"{source}: {path.relative_to(ROOT)} has no {key!r} there, but {choices}")
            value = value[key]
        if isinstance(value, Mapping):
            return [float(number) for number in value.values()]
        if isinstance(value, str):
            return [as_number(number) for number in NUMBER.findall(value)]
        return [float(number) for number in value] if isinstance(value, list) else float(value)

    def _interval(self, interval: str) -> list[float]:
        """Return a figure of a run's summary, and the bounds of its interval."""
        name, key = [part.strip() for part in interval.split("|")]
        stage, callback, figure = key.split("/", 2)
        bounds = f"{name} | details | {stage}/{callback} | intervals | {figure}"
        return [*self.numbers(interval), *self.numbers(bounds)]

    def _files(self, files: Sequence[str], keys: Sequence[str], interval: bool = False) -> list[float]:
        """Return each key of each file: a table with a column for each file and a row for each key."""
        read = self._interval if interval else self.numbers
        return [number for key, name in product(keys, files) for number in read(f"{name} | {key}")]

    def _rows(
        self, rows: Sequence[str], columns: Sequence[str], of: str, numbers: int | None = None
    ) -> list[float]:
        """Return each column of each row, of a cell only the first so many numbers."""
        cells = (f"{of} | {row} | {column}" for row, column in product(rows, columns))
        return [number for cell in cells for number in self.numbers(cell)[:numbers]]

    def _mean(self, mean: Sequence[str], over: Sequence[str] = ("",)) -> list[float]:
        """Return a mean for each source: over what takes the place of its {}, or over all that it holds."""
        groups = ([number for each in over for number in self.numbers(m.replace("{}", each))] for m in mean)
        return [sum(group) / len(group) for group in groups]

    def _difference(self, difference: Sequence[str]) -> list[float]:
        """Return the first number less the second."""
        first, second = (self.numbers(source)[0] for source in difference)
        return [first - second]

    def _times(self, times: Sequence[str], by: float) -> list[float]:
        """Return each number times a factor: shares as percentages, seconds as minutes."""
        return [number * by for source in times for number in self.numbers(source)]

    def _match(self, match: str, pattern: str) -> list[float]:
        """Return the numbers that the groups of a pattern find in a text, such as the note under a table."""
        name, *keys = [part.strip() for part in match.split("|")]
        path = ROOT / self.names.get(name, name)
        text: Any = contents(path) if keys else path.read_text()
        for key in keys:
            text = text[key]
        found = re.search(pattern, text)
        if found is None:
            raise KeyError(f"{match}: no {pattern!r} in it")
        return [as_number(number) for number in found.groups()]


def as_number(text: str) -> float:
    """Return a number as pages and tables write it: thousands by commas, a minus sign or a hyphen."""
    return float(text.replace(",", "").replace("−", "-"))


@cache
def contents(path: Path) -> Mapping[str, Any]:
    """Return what a file holds as nested mappings: of a table, the cells by row and column.

    Args:
        path: A file `.json`, `.yaml`, `.csv` or `.md`; of the last, all its tables together.

    Raises:
        ValueError: If the file is of another kind.
    """
    if path.suffix == ".json":
        return dict(json.loads(path.read_text()))
    if path.suffix == ".yaml":
        return dict(yaml.safe_load(path.read_text()))
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            header, *lines = csv.reader(file)
        return table(dict(zip(header, line, strict=True)) for line in lines)
    if path.suffix != ".md":
        raise ValueError(f"{path}: figures are read from .json, .yaml, .csv and .md files")
    rows: list[dict[str, str]] = []
    header = []
    for line in path.read_text().splitlines():
        cells = [cell.strip().strip("`*") for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif not set(line) <= set("|-: "):
            rows.append(dict(zip(header, cells, strict=True)))
    return table(rows)


def table(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return rows by their first cell; of rows that share it, the cells that they agree on.

    Args:
        rows: Each row by column.
    """
    named: dict[str, dict[str, str]] = {}
    for row in rows:
        first = next(iter(row.values()))
        before = named.get(first, row)
        named[first] = {column: cell for column, cell in row.items() if before.get(column) == cell}
    return named
