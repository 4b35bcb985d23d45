"""Pass real pairs of your own through the filters, and report those that are mis-paired, empty or spoilt.

    python -m scripts.corpora.check_pairs configs/data/YOURS.yaml

The configuration is that of training (`datamodules.ImageReports`, or `LabelledImages` without reports).
Nothing is changed: what is bad is listed in `results/check/refused.csv`, counted and shown beside it.
Reports that stand there again and again are listed too, but refused is none of them: those of normal studies
are alike by nature.
Without a configuration some simulated pairs are checked, as an example.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from callbacks.drawing.pictures import PicturedPair
from datamodules import SyntheticPairs
from datamodules.batch import VIEWS
from datamodules.tables.table_images import TableImages
from datamodules.tables.table_source import TableSource
from scripts.command_line.errors import exit_code
from scripts.corpora.corpus_gallery import pictured, save_sheet
from scripts.corpora.make_corpus import BASE, build_data, read_data, read_options
from scripts.resolved_config import resolved_config
from synthesis.cases import Case
from synthesis.files import write_atomically
from synthesis.filters import CorpusFilter, NearDuplicateReports
from synthesis.pairs import Pair, PairFilter, Rejection
from synthesis.progress import track
from synthesis.reports.report import Report

ALL, IMAGES = "configs/filters/real.yaml", "configs/filters/images.yaml"
NO_REPORT = Report("", "")
_CHUNK = 32
EXAMPLES = 64  # simulated pairs that are checked where no data are named


@dataclass(frozen=True)
class Found:
    """What is wrong with a row.

    Attributes:
        row: Number of the row in the table; the first below the header is 1.
        image: Its image, as the table has it.
        kind: By what it is counted.
        reason: What was found.
        refused: Whether it is more than a warning.
    """

    row: int
    image: str
    kind: str
    reason: str
    refused: bool = True


def read_table_data(configs: Sequence[str], overrides: Sequence[str] = ()) -> TableImages:
    """Build the data module of a table of real images.

    Raises:
        SystemExit: If the configuration does not parse, or is of other data.
    """
    layers = [word for path in (BASE, *configs) for word in ("-c", path)]
    data = build_data(resolved_config("fit", *layers, *overrides)["data"])
    if not isinstance(data, TableImages):
        raise SystemExit(
            f"{', '.join(configs)}: data is a {type(data).__name__}, no table of real images; "
            "give a layer of such, as configs/data/nih_chestxray14.yaml."
        )
    data.on_bad = "set_aside"
    return data


def check(
    data: TableImages | SyntheticPairs, filters: Sequence[PairFilter], corpus_filters: Sequence[CorpusFilter]
) -> tuple[list[Found], int, list[PicturedPair]]:
    """Look at every row.

    Returns:
        What was found in the order of the rows, the number of rows looked at, and pictures of some.
    """
    found: list[Found] = []
    if isinstance(data, TableImages):
        TableImages.prepare_data(data)  # the table and its images, but no tokenizer
        found = [Found(bad.row, bad.image, bad.kind, bad.reason) for bad in data.bad_rows]
    count, seen = len({bad.row for bad in found}), Counter[str]()
    pictures: list[PicturedPair] = []
    signatures: list[list[np.ndarray]] = [[] for _ in corpus_filters]
    passed: list[tuple[int, str]] = []
    for rows, pairs in _chunks(data) if isinstance(data, TableImages) else _made(data):
        count += len(pairs)
        reasons = _reasons(filters, pairs)
        for row, pair, reason in zip(rows, pairs, reasons, strict=True):
            if reason is not None:
                found.append(Found(*row, reason.kind, str(reason)))
                seen[reason.kind] += 1
                if seen[reason.kind] <= 4:
                    pictures.append(pictured(pair, f"row {row[0]}: {reason}"))
        good = [k for k, reason in enumerate(reasons) if reason is None]
        passed += [rows[k] for k in good]
        for part, signed in zip(corpus_filters, signatures, strict=True):
            signed.append(part.sign([pairs[k] for k in good])) if good else None
    for part, signed in zip(corpus_filters, signatures, strict=True):
        reasons = part.reject(np.concatenate(signed)) if signed else []
        named = zip(passed, reasons, strict=True)
        refused = not isinstance(part, NearDuplicateReports)
        found += [
            Found(*row, reason.kind, str(reason), refused) for row, reason in named if reason is not None
        ]
    return sorted(found, key=lambda entry: entry.row), count, pictures


def write_report(out: Path, found: Sequence[Found], count: int, pictures: Sequence[PicturedPair]) -> str:
    """Write ``refused.csv``, ``README.md`` and ``refused.local.jpg``, and return the text."""
    out.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.DictWriter(table, ["row", "image", "kind", "reason", "refused"])
    writer.writeheader()
    writer.writerows(asdict(entry) for entry in found)
    write_atomically(out / "refused.csv", table.getvalue().encode())
    bad = len({entry.row for entry in found if entry.refused})
    lines = [f"{bad:,} of {count:,} rows ({bad / max(count, 1):.1%}) were refused.", ""]
    lines += ["| reason | rows | share |", "| --- | ---: | ---: |"]
    for kind, rows in Counter(entry.kind for entry in found if entry.refused).most_common():
        lines.append(f"| {kind} | {rows:,} | {rows / count:.1%} |")
    for kind, rows in Counter(entry.kind for entry in found if not entry.refused).most_common():
        lines += ["", f"Warning, not refused: {kind}, {rows:,} rows ({rows / count:.1%})."]
    text = "\n".join([*lines, ""])
    if pictures:  # ".local.": ignored by git, for the pictures are not ours to publish
        save_sheet(pictures, "refused", out / "refused.local.jpg")
    write_atomically(out / "README.md", f"# Check of real pairs\n\n{text}".encode())
    return text


def _chunks(data: TableImages) -> Iterator[tuple[list[tuple[int, str]], list[Pair]]]:
    """Yield number and image of some rows, and their pairs."""
    for split in data.filled_splits:
        source = data.source(split)
        starts = range(0, len(source), _CHUNK)
        for start in track(starts, f"checking {len(source):,} images of {split}", transient=True):
            indices = range(start, min(start + _CHUNK, len(source)))
            yield [_row(source, i) for i in indices], _pairs(source, indices)


def _made(data: SyntheticPairs) -> Iterator[tuple[list[tuple[int, str]], list[Pair]]]:
    """Yield simulated pairs as if they were rows of a table."""
    for start in track(range(0, EXAMPLES, _CHUNK), f"checking {EXAMPLES} simulated pairs", transient=True):
        indices = range(start, min(start + _CHUNK, EXAMPLES))
        yield [(i + 1, f"simulated {i}") for i in indices], data.synthesizer.make(indices, 0, "val")


def _row(source: TableSource, index: int) -> tuple[int, str]:
    place = int(source.chosen[index])
    return int(source.rows.rows[place]), source.rows.names[place]


def _pairs(source: TableSource, indices: range) -> list[Pair]:
    """Make rows what filters look at."""
    return [
        Pair(i, _case(sample.view), sample.report or NO_REPORT, sample.image, None)
        for i, sample in zip(indices, source.samples(indices), strict=True)
    ]


def _case(view: int) -> Case:
    """Return what is known of a real image: its view at most."""
    return Case((), (), "AP" if view == VIEWS.index("AP") else "PA")


def _reasons(filters: Sequence[PairFilter], pairs: Sequence[Pair]) -> list[Rejection | None]:
    """Return the first reason of each pair."""
    reasons: list[Rejection | None] = [None] * len(pairs)
    for part in filters:
        open_ = [k for k, reason in enumerate(reasons) if reason is None]
        if open_:
            for k, reason in zip(open_, part.reject([pairs[k] for k in open_]), strict=True):
                reasons[k] = reason
    return reasons


def main(args: Sequence[str] | None = None) -> list[Found]:
    """Check a table and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("config", nargs="*", help="layers over configs/pretrain.yaml that name your data")
    parser.add_argument(
        "--filters", nargs="+", help=f"layers with filters: {ALL}, or {IMAGES} without reports"
    )
    parser.add_argument("--corpus", default="configs/corpus/default.yaml", help="a file of configs/corpus/")
    parser.add_argument("--out", type=Path, default=Path("results/check"))
    known, overrides = parser.parse_known_args(args)
    data = read_table_data(known.config, overrides) if known.config else read_data([], overrides)
    reports = not isinstance(data, TableImages) or data.columns.texts
    layers = known.filters or [ALL if reports else IMAGES]
    filters = read_data(layers).synthesizer.filters
    found, count, pictures = check(data, filters, read_options(known.corpus).filters)
    print(write_report(known.out, found, count, pictures))
    return found


if __name__ == "__main__":
    sys.exit(exit_code(main))
