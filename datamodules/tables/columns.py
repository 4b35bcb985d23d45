"""Which column of a table means what."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Columns:
    """Which column of a table means what.

    Attributes:
        image: File of the image, relative to one of the image folders. It is the id of a row: none stands
            twice, but where each row is a question.
        patient: Patient, for splits and intervals; without it every image counts as a patient of its own.
        view: Projection: "PA", "AP" and words with these ("AP supine"), or anything else for unknown.
        findings: Text of the FINDINGS section.
        impression: Text of the IMPRESSION section.
        report: Text of a report that is not cut into sections.
        split: The data set's own split, see `TableImages`.
        regions: Where the findings are, as JSON, see `datamodules.tables.regions`.
    """

    image: str
    patient: str | None = None
    view: str | None = None
    findings: str | None = None
    impression: str | None = None
    report: str | None = None
    split: str | None = None
    regions: str | None = None

    def __post_init__(self) -> None:
        """Refuse a column of text that is that of the images, patients, views or splits too.

        Raises:
            ValueError: If there is one.
        """
        for name in ("image", "patient", "view", "split"):
            for text in ("findings", "impression", "report"):
                column = getattr(self, text)
                if column is not None and column == getattr(self, name):
                    raise ValueError(
                        f"columns.{text}={column!r} is that of {name} too: give the column of the {text}"
                    )

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that hold report text."""
        return tuple(column for column in (self.findings, self.impression, self.report) if column)

    @property
    def names(self) -> tuple[str, ...]:
        """All columns named here."""
        return tuple(column for column in asdict(self).values() if column)
