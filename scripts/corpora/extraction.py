"""How well the entity extraction reads hand-written sentences: precision and recall, part by part.

python -m scripts.corpora.extraction            # the table
python -m scripts.corpora.extraction --wrong    # and every sentence that is read wrongly
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.command_line.errors import exit_code
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.strict_yaml import read_mapping

SENTENCES = (
    Path(__file__).resolve().parents[2] / "tests" / "synthesis" / "reports" / "reading" / "sentences.yaml"
)
STATUSES = ("present", "absent", "uncertain")


@dataclass(frozen=True)
class Score:
    """How many statements (concept and status) were read rightly, invented and missed.

    Attributes:
        sentences: Number of sentences.
        hits: Statements found that are there.
        extra: Statements found that are not there.
        missed: Statements there that were not found.
        wrong: The sentences read wrongly, each with what was invented (+) and missed (−).
    """

    sentences: int
    hits: int
    extra: int
    missed: int
    wrong: tuple[str, ...]

    @property
    def precision(self) -> float:
        """Share of the statements found that are there."""
        return self.hits / max(self.hits + self.extra, 1)

    @property
    def recall(self) -> float:
        """Share of the statements there that were found."""
        return self.hits / max(self.hits + self.missed, 1)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.sentences + other.sentences,
            self.hits + other.hits,
            self.extra + other.extra,
            self.missed + other.missed,
            self.wrong + other.wrong,
        )


def score(extractor: EntityExtractor, items: Sequence[Mapping[str, Any]]) -> Score:
    """Hold what an extractor reads against what a person says that the sentences state.

    Args:
        extractor: Anything with `extract(text)`.
        items: Mappings with "text" and, for each status, the concepts that have it.
    """
    total = Score(0, 0, 0, 0, ())
    for item in items:
        wanted = {(concept, status) for status in STATUSES for concept in item.get(status, [])}
        found = {(m.concept, m.status) for m in extractor.extract(item["text"])}
        signs = [*(f"+{c} {s}" for c, s in found - wanted), *(f"−{c} {s}" for c, s in wanted - found)]
        wrong = (f"{item['text']}  {', '.join(sorted(signs))}",) if signs else ()
        total += Score(1, len(wanted & found), len(found - wanted), len(wanted - found), wrong)
    return total


def lines(scores: Mapping[str, Score]) -> Iterator[str]:
    """Yield a Markdown table, a row a part and one for all."""
    yield "| part | sentences | statements | precision | recall |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, s in {**scores, "all": sum(scores.values(), Score(0, 0, 0, 0, ()))}.items():
        yield f"| {name} | {s.sentences} | {s.hits + s.missed} | {s.precision:.3f} | {s.recall:.3f} |"


def main(args: Sequence[str] | None = None) -> None:
    """Print the table, and with ``--wrong`` what was read wrongly."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sentences", type=Path, default=SENTENCES, help="YAML: part → list of sentences")
    parser.add_argument("--wrong", action="store_true", help="list the sentences that are read wrongly")
    options = parser.parse_args(args)
    extractor = EntityExtractor()
    parts = read_mapping(options.sentences)
    scores = {name: score(extractor, items) for name, items in parts.items()}
    print(*lines(scores), sep="\n")
    for name, part in scores.items() if options.wrong else ():
        print(f"\n{name}", *part.wrong, sep="\n  ")


if __name__ == "__main__":
    sys.exit(exit_code(main))
