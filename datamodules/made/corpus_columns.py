"""Which column of a corpus means what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CorpusColumns:
    """Which column of a Parquet file, or field of a tar's JSON, means what. The defaults are `make corpus`'s.

    Attributes:
        image: An encoded image: bytes, or what `datasets.Image` stores. In a tar it is the member with the
            suffix of a picture, whatever stands here.
        text: The report with its headings, where it is not cut into sections. In a tar also the ``.txt``.
        findings: Text of the FINDINGS section.
        impression: Text of the IMPRESSION section.
        case: What a made image shows, as JSON (`synthesis.store.rows`): gives labels and questions.
        absent: Concepts that the case says are absent.
        concepts: Names of the concepts present; labels of pairs without a case. None: labels are unknown.
        unmentioned: What it means that a concept is not among ``concepts``.
        view: Projection: "PA", "AP" and words with these ("AP supine"), or anything else for unknown.
        patient: Patient; without it every pair is of another one.
    """

    image: str = "image"
    text: str | None = "text"
    findings: str | None = "findings"
    impression: str | None = "impression"
    case: str | None = "case"
    absent: str | None = "absent"
    concepts: str | None = "concepts"
    unmentioned: Literal["absent", "unknown"] = "absent"
    view: str | None = "view"
    patient: str | None = None
