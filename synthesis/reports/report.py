"""A radiology report: two sections of running text."""

import re
from dataclasses import dataclass

_BREAK = re.compile(r"(?<=[.!?])\s+(?=[A-Z\d\"(])")


@dataclass(frozen=True)
class Report:
    """What a radiologist dictates about one frontal chest radiograph.

    Attributes:
        findings: Text of the FINDINGS section, without its heading.
        impression: Text of the IMPRESSION section, without its heading.
        notes: What happened while it was written, e.g. "findings, attempt 1: missing".
    """

    findings: str
    impression: str
    notes: tuple[str, ...] = ()

    @property
    def dropped(self) -> bool:
        """Whether the writer gave it up: both sections are empty, and ``notes`` say why."""
        return not (self.findings or self.impression)

    @property
    def text(self) -> str:
        """Both sections under their headings, on one line."""
        return f"FINDINGS: {self.findings} IMPRESSION: {self.impression}"

    def sentences(self) -> tuple[str, ...]:
        """Return the sentences of both sections in order, without headings and list numbers."""
        return (*split_sentences(self.findings), *split_sentences(self.impression))


def split_sentences(section: str) -> tuple[str, ...]:
    """Split the text of a section into sentences, each with its full stop, without list numbers ("2.").

    A decimal point ("1.5 cm") ends no sentence, for no blank follows it.
    """
    pieces = _BREAK.split(section.strip())
    return tuple(piece for piece in pieces if piece and not piece.rstrip(".").isdigit())
