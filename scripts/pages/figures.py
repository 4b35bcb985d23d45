"""Compare the figures of README and docs with the files under `results/` that they come from.

`docs/figures.yaml` says for each section of each page which numbers it shows, in order. A number that differs
from its file, or that no entry accounts for, is an error.

    python -m scripts.pages.figures           # compare: `make figures`
    python -m scripts.pages.figures --write   # and write the numbers of the files into the pages
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.command_line.errors import exit_code
from scripts.pages.figure_sources import ROOT, FigureSources, as_number
from synthesis.files import write_atomically

LIST = ROOT / "docs" / "figures.yaml"
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
# What is no text of its own: code, comments, the targets of links, tags.
APART = re.compile(r"^```.*?^```|<!--.*?-->|`[^`\n]*`|(?<=\])\([^)\s]*\)|<[^>\n]*>", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(
    r"(?<![\w.,@×/−-])[−-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?: ?%)?(?![\w×]|[.,]\d)"
)
FRACTION = re.compile(r"(?<![\w/@])(\d+)/(\d+)(?![\w/])")
# A cell that is numbers and nothing else.
NUMERIC = re.compile(r"[\s\d.,±\[\]()+−–*/-]*\d[\s\d.,±\[\]()+−–*/-]*")
# Numbers that name a thing.
NAMES = re.compile(r"(?:arXiv|Python|Diffusion|License) (?:\d[\d.]*x?(?: or )?)+")


@dataclass(frozen=True)
class Figure:
    """A number on a page.

    Attributes:
        text: As it is written, with its percent sign.
        start: Place of its first character in the page.
    """

    text: str
    start: int

    @property
    def digits(self) -> str:
        """The number without its percent sign."""
        return self.text.rstrip(" %")

    @property
    def decimals(self) -> int:
        """How many digits follow its point."""
        return len(self.digits.partition(".")[2])

    def shows(self, value: float) -> bool:
        """Return whether the number is `value`, rounded to as many decimals."""
        return abs(as_number(self.digits) - value) <= 0.5 * 10**-self.decimals + 1e-9

    def written(self, value: float) -> str:
        """Return `value` as this number is written: decimals, thousands, leading zero, minus sign."""
        text = (
            f"{value:,.{self.decimals}f}"
            if "," in self.text or abs(value) >= 10_000
            else f"{value:.{self.decimals}f}"
        )
        if self.digits.lstrip("−-").startswith("."):
            text = re.sub(r"^(-?)0\.", r"\1.", text)
        return text.replace("-", "−") + self.text[len(self.digits) :]


def blanked(page: str) -> str:
    """Return a page with spaces in place of what is no text of its own; all else stays where it is.

    Args:
        page: The text of the page.
    """
    return APART.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), page)


def sections(page: str) -> Iterator[tuple[str, int, int]]:
    """Yield the heading of each section of a page with the places where it begins and ends.

    Args:
        page: The text of the page.
    """
    headings = [(page[slice(*match.span(1))], match.start()) for match in HEADING.finditer(blanked(page))]
    for (title, start), (_, end) in zip(headings, [*headings[1:], ("", len(page))], strict=True):
        yield title, start, end


def figures(page: str, start: int, end: int, integers: bool = False) -> list[Figure]:
    """Return the numbers of a section that have to be accounted for, in order.

    They are decimals, numbers with thousands separators, percentages, fractions such as 18/24, and, in
    tables, all numbers of cells that hold nothing else. Code, comments and link targets are left out.

    Args:
        page: The text of the page.
        start: Where the section begins.
        end: Where it ends.
        integers: Count the integers of the text, too.
    """
    blank = NAMES.sub(lambda match: " " * len(match[0]), blanked(page))
    places: dict[int, str] = {}
    for match in FRACTION.finditer(blank, start, end):
        places |= {match.start(1): match[1], match.start(2): match[2]}
    for match in NUMBER.finditer(blank, start, end):
        if integers or re.search(r"[.,%]", match[0]) or in_numeric_cell(blank, match.start()):
            places.setdefault(match.start(), match[0])
    return [Figure(text, place) for place, text in sorted(places.items())]


def in_numeric_cell(page: str, place: int) -> bool:
    """Return whether a place is in a cell of numbers alone, not of the first column, of a table."""
    line_start, line_end = page.rfind("\n", 0, place) + 1, page.find("\n", place)
    line = page[line_start:line_end]
    if not line.startswith("|"):
        return False
    before, column = line[: place - line_start], line[: place - line_start].count("|")
    cell = line[before.rfind("|") + 1 :].partition("|")[0]
    return column > 1 and NUMERIC.fullmatch(cell) is not None


def compare(
    path: str, page: str, entries: Mapping[str, Any], given: Mapping[str, str], sources: FigureSources
) -> tuple[list[str], str, int]:
    """Return what is wrong with a page's figures, the page with them put right, and their number.

    Args:
        path: Path of the page, for messages.
        page: Its text.
        entries: For each heading with figures, the list of its entries.
        given: Numbers that are settings wherever they stand, with the reason.
        sources: Reads the numbers of the entries.
    """
    wrong, corrected, count = [], page, 0
    titles = [title for title, _, _ in sections(page)]
    wrong += [
        f"{path}: docs/figures.yaml names a section {title!r} that is not there"
        for title in entries
        if title not in titles
    ]
    wrong += [f"{path}: two sections are called {title!r}" for title in entries if titles.count(title) > 1]
    for title, start, end in reversed(list(sections(page))):
        listed = entries.get(title, ())
        integers = "integers" in listed
        shown = [figure for figure in figures(page, start, end, integers) if figure.text not in given]
        expected = [value for entry in listed if entry != "integers" for value in sources.numbers(entry)]
        if len(shown) != len(expected):
            wrong.append(
                f"{path}, {title!r}: {len(shown)} figures on the page ({' '.join(f.text for f in shown)}), "
                f"{len(expected)} in docs/figures.yaml ({' '.join(f'{value:.6g}' for value in expected)}). "
                "Name the file that each comes from there, or write a setting as `code`."
            )
            continue
        for figure, value in reversed(list(zip(shown, expected, strict=True))):
            count += 1
            if not figure.shows(value):
                right = figure.written(value)
                wrong.append(
                    f"{path}, {title!r}: {figure.text} on the page, {value:.6g} in its file: write {right}"
                )
                corrected = corrected[: figure.start] + right + corrected[figure.start + len(figure.text) :]
    return wrong, corrected, count


def main(args: Sequence[str] | None = None) -> int:
    """Compare all pages and print what is wrong; return how many errors are left."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the numbers of the files into the pages")
    write = parser.parse_args(args).write
    wrong, count = check(write=write)
    print("\n".join(wrong) or f"{count} figures agree with their files")
    return 0 if write else min(len(wrong), 1)


def check(write: bool = False, root: Path = ROOT) -> tuple[list[str], int]:
    """Return what is wrong with the figures of all pages, and how many figures were compared.

    Args:
        write: Put wrong numbers right in the pages.
        root: The directory whose pages are compared.
    """
    listed = yaml.safe_load(LIST.read_text())
    sources, pages = FigureSources(listed["files"]), listed["pages"]
    paths = ["README.md", *sorted(f"docs/{path.name}" for path in (root / "docs").glob("*.md"))]
    wrong = [f"docs/figures.yaml names {page}, which is not there" for page in pages if page not in paths]
    count = 0
    for path in paths:
        text = (root / path).read_text()
        errors, corrected, compared = compare(path, text, pages.get(path, {}), listed["given"], sources)
        wrong, count = wrong + errors, count + compared
        if write and corrected != text:
            write_atomically(root / path, corrected)
    return wrong, count


if __name__ == "__main__":
    sys.exit(exit_code(main))
