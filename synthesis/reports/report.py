"""A radiology report: two sections of running text."""

from dataclasses import dataclass

from synthesis.reports.sections import with_headings
from synthesis.reports.sentences import split_sentences


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
        """The sections that are not empty, under their headings."""
        return with_headings(self.findings, self.impression)

    def sentences(self) -> tuple[str, ...]:
        """Return the sentences of both sections in order, without headings and list marks."""
        return (*split_sentences(self.findings), *split_sentences(self.impression))
