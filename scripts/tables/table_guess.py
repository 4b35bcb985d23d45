"""What the columns of a user's table are, by their names and what stands in them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.loading.batch_data_module import STAGES
from datamodules.tables.column_names import find_column
from datamodules.tables.image_listing import files_under
from datamodules.tables.table_error import TableError
from synthesis.concepts import ConceptCatalog

if TYPE_CHECKING:
    import pandas as pd

_SPLITS = dict.fromkeys(("train", "training"), "train") | dict.fromkeys(("test", "testing"), "test")
_SPLITS |= dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val")
_VALUES = {"1", "0", "-1", "?", "", "1.0", "0.0", "-1.0"}
_SEPARATORS = ("|", ";", ",")
_LOOKED_AT = 20_000  # rows; of what is the same in all of them the rest is believed


@dataclass
class TableGuess:
    """The data section for a folder of images and a table.

    Attributes:
        arguments: Those of the data module, but for paths.
        has_reports: Whether rows have reports.
        assumed: What was assumed, a sentence each.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    has_reports: bool = False
    assumed: list[str] = field(default_factory=list)


def guess_table(frame: pd.DataFrame, table: Path, folder: Path, catalog: ConceptCatalog) -> TableGuess:
    """Say what a table's columns mean.

    Args:
        frame: The table as text.
        table: Its file, for messages.
        folder: Where the images are.
        catalog: The concepts whose labels may be there.

    Raises:
        TableError: If no column names files of the folder, or there are neither labels nor reports.
    """
    guess = TableGuess()
    columns = [str(name) for name in frame.columns]
    image, folders, suffix = _image_column(frame.head(_LOOKED_AT), table, folder, guess)
    meant = {"image": image}
    for meaning in ("patient", "view", "findings", "impression", "split"):
        if (found := find_column(meaning, columns)) and found not in meant.values():
            meant[meaning] = found
    if "findings" not in meant and "impression" not in meant and (found := find_column("report", columns)):
        meant["report"] = found
    guess.has_reports = bool(meant.keys() & {"findings", "impression", "report"})
    labels = _labels(frame, [name for name in columns if name not in meant.values()], catalog, guess)
    if labels is None and not guess.has_reports:
        raise TableError(
            f"{table}: neither reports nor labels were found among {columns}. Call a column report, findings "
            "or impression, or labels as CheXpert, NIH or the concept catalogue call them; or write the YAML "
            "by hand (docs/own-data.md)."
        )
    if "patient" not in meant:
        guess.assumed.append("no column names patients: each image counts as a patient of its own")
    official = _official(frame, meant, guess)
    guess.arguments = {
        "columns": meant,
        **({"image_folders": folders} if folders != ["."] else {}),
        **({"image_suffix": suffix} if suffix else {}),
        **({"labels": labels} if labels else {}),
        **official,
    }
    return guess


def _image_column(
    frame: pd.DataFrame, table: Path, folder: Path, guess: TableGuess
) -> tuple[str, list[str], str | None]:
    """Return the column whose cells name most files of the folder, their folders, and their suffix."""
    files = [os.path.relpath(file, folder) for file in files_under(str(folder))]
    if not files:
        raise TableError(f"{folder}: holds no file; give the folder of the images.")
    paths = set(files)
    by_name = {os.path.basename(file): file for file in files}
    by_stem = {os.path.splitext(name)[0]: file for name, file in by_name.items()}
    best: tuple[int, str, list[tuple[str, str]]] = (0, "", [])
    for column in map(str, frame.columns):
        found = []
        for cell in set(frame[column]) - {""}:
            name = os.path.basename(cell)
            file = (
                cell if cell in paths else by_name.get(name) or by_stem.get(name) or by_stem.get(_stem(name))
            )
            if file is not None:
                found.append((cell, file))
        if len(found) > best[0]:
            best = (len(found), column, found)
    count, column, found = best
    if not count:
        raise TableError(
            f"{table}: no column names files under {folder} (such as {files[0]!r}); correct the folder, or "
            f"the names. The columns are {list(map(str, frame.columns))}."
        )
    distinct = len(set(frame[column]) - {""})
    guess.assumed.append(f"{column!r} names the images: {count:,} of {distinct:,} were found under {folder}")
    suffixes = Counter(os.path.splitext(file)[1] for cell, file in found if not file.endswith(cell))
    suffix = suffixes.most_common(1)[0][0] if suffixes else None
    if suffix:
        guess.assumed.append(f"the names stand without the files' suffix {suffix}")
    places = {_place(cell, file) for cell, file in found}
    if len(places) > 4:
        places = {re.sub(r"\d+", "*", place) for place in places}
    return column, sorted(places), suffix


def _place(cell: str, file: str) -> str:
    """Return the folder that a name is relative to."""
    depth = len(Path(cell).parts)
    return str(Path(*Path(file).parts[:-depth])) if len(Path(file).parts) > depth else "."


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _labels(
    frame: pd.DataFrame, columns: Sequence[str], catalog: ConceptCatalog, guess: TableGuess
) -> dict[str, Any] | None:
    """Return where labels stand: a column a label, or a column that lists them."""
    marks = [name for name in columns if set(frame[name]) <= _VALUES and set(frame[name]) - {""}]
    vocabularies = sorted({vocabulary for concept in catalog for vocabulary in concept.labels})
    by_vocabulary = {
        vocabulary: [name for name in marks if catalog.concept_for(vocabulary, name)]
        for vocabulary in vocabularies
    }
    own = {name: concept for name in marks if (concept := _concept(name, catalog))}
    best = max(by_vocabulary, key=lambda vocabulary: len(by_vocabulary[vocabulary]))
    if len(by_vocabulary[best]) >= max(1, len(own)):
        chosen = by_vocabulary[best]
        guess.assumed.append(f"{len(chosen)} columns are labels of {best}: empty cells and -1 are unknown")
        return {"columns": chosen, "vocabulary": best}
    if own:
        guess.assumed.append(
            f"{len(own)} columns are labels, called as the catalogue's concepts: empty is unknown"
        )
        return {"columns": list(own), "vocabulary": own}
    return _listed_labels(frame, columns, catalog, vocabularies, guess)


def _listed_labels(
    frame: pd.DataFrame,
    columns: Sequence[str],
    catalog: ConceptCatalog,
    vocabularies: Sequence[str],
    guess: TableGuess,
) -> dict[str, Any] | None:
    best: tuple[float, dict[str, Any]] = (0.5, {})  # of the labels in a column, at least half must be known
    for column in columns:
        for separator in _SEPARATORS:
            counts = Counter(
                part.strip() for cell in frame[column] for part in cell.split(separator) if part.strip()
            )
            for vocabulary in vocabularies:
                known = sum(n for label, n in counts.items() if catalog.concept_for(vocabulary, label))
                share = known / max(1, counts.total())
                if share > best[0]:
                    blank = {"blank": "unknown"} if (frame[column] == "").any() else {}
                    found = {"columns": column, "vocabulary": vocabulary, "separator": separator, **blank}
                    best = (share, {**found, **({"unmapped": "ignore"} if share < 1 else {})})
    if not best[1]:
        return None
    guess.assumed.append(
        f"{best[1]['columns']!r} lists the labels of {best[1]['vocabulary']}: what is not listed is absent"
    )
    return best[1]


def _concept(column: str, catalog: ConceptCatalog) -> str | None:
    """Return the concept that is called like a column."""
    plain = re.sub(r"[\s_\-]+", " ", column).strip().lower()
    names: Mapping[str, str] = {
        text.lower(): concept.name
        for concept in catalog
        for text in (concept.name.replace("_", " "), concept.preferred_name, *concept.synonyms)
    }
    return names.get(plain)


def _official(frame: pd.DataFrame, meant: dict[str, str], guess: TableGuess) -> dict[str, Any]:
    """Return the table's own splits, where its words for them are known; else shares of the patients."""
    column = meant.get("split")
    values = sorted(set(frame[column])) if column else []
    known = {value: _SPLITS.get(value.strip().lower()) for value in values}
    if column and all(known.values()) and "train" in known.values():
        own = {split: [value for value in values if known[value] == split] for split in STAGES}
        lacking = [split for split in STAGES if not own[split]]
        official = {split: own[split] or own["train"] for split in STAGES}
        guess.assumed.append(
            f"{column!r} says the split" + "".join(f"; a tenth of train becomes {s}" for s in lacking)
        )
        if not lacking:
            return {"official": official}
        shares = dict.fromkeys(lacking, 0.1)
        return {"official": official, "splits": {"train": round(1 - sum(shares.values()), 1), **shares}}
    meant.pop("split", None)
    said = f"{column!r} holds other words than train, val and test" if column else "no column says the split"
    guess.assumed.append(f"{said}: of the patients 70 % train, 10 % validate and 20 % test, by a hash")
    return {}
