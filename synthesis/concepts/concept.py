"""One concept: something that a chest radiograph can show, as the catalogue defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NO_FINDING = "no_finding"
LATERALITIES = ("left", "right", "bilateral")
VIEWS = ("PA", "AP")
ENTITY_TYPES = ("normality", "abnormality", "disease", "device")


@dataclass(frozen=True)
class Location:
    """A place where a concept may be seen.

    Attributes:
        name: The place as reports name it, e.g. "middle lobe".
        lateralities: The sides on which the place exists; empty for a concept without sides.
    """

    name: str
    lateralities: tuple[str, ...]


@dataclass(frozen=True)
class Concept:
    """One entry of the catalogue.

    Attributes:
        name: Key of the concept, in snake case.
        preferred_name: The name in a radiologist's sentence.
        synonyms: Other names that reports use; no name belongs to two concepts.
        codes: Terminology ("umls", "radlex", "snomed") → identifier; only those that are certain.
        definition: What it looks like, in our own words.
        citation: Peer-reviewed source of the definition.
        doi: The DOI of that source.
        entity_type: One of ``ENTITY_TYPES``.
        lateralities: Allowed sides, a subset of ``LATERALITIES``; empty if it has no side.
        locations: Allowed places; empty if the place goes without saying.
        severities: Grades from mildest to most severe; empty if it is not graded.
        implies: Concepts that are present whenever this one is (its parents).
        excludes: Concepts that cannot be in the same case.
        excludes_same_side: Concepts that cannot be on the same side of the same case.
        never_denies: Concepts that a report of this one cannot deny, although it does not imply them.
        views: Projections on which it occurs, a subset of ``VIEWS``.
        prevalence: Share of a published data set that shows it, in [0, 1].
        prevalence_source: The count, the data set and its DOI behind ``prevalence``.
        absent_weight: How readily reports deny it, relative to the others, ≥ 0.
        prompts_present: Sentences that say that it is there.
        prompts_absent: Sentences that say that it is not there.
        labels: Vocabulary ("chexpert", "nih", "padchest") → the label of the same meaning there.
        label_aliases: Vocabulary → further labels there that mean the concept or a narrower one.
        sampled: Whether it can be a finding; False for a mere parent of others.
    """

    name: str
    preferred_name: str
    synonyms: tuple[str, ...]
    codes: Mapping[str, str]
    definition: str
    citation: str
    doi: str
    entity_type: str
    lateralities: tuple[str, ...]
    locations: tuple[Location, ...]
    severities: tuple[str, ...]
    implies: tuple[str, ...]
    excludes: tuple[str, ...]
    excludes_same_side: tuple[str, ...]
    never_denies: tuple[str, ...]
    views: tuple[str, ...]
    prevalence: float
    prevalence_source: str
    absent_weight: float
    prompts_present: tuple[str, ...]
    prompts_absent: tuple[str, ...]
    labels: Mapping[str, str]
    label_aliases: Mapping[str, tuple[str, ...]]
    sampled: bool

    @property
    def is_device(self) -> bool:
        """Whether it is a tube, a line or an implant; a study with nothing else is without finding."""
        return self.entity_type == "device"

    def level(self, severity: str | None) -> float:
        """Return where a severity stands between the mildest (0) and the most severe (1) of this concept.

        Args:
            severity: One of ``severities``, or None.

        Returns:
            A number in [0, 1]; 0.5 for None and for a concept with a single grade.

        Raises:
            ValueError: If the concept has no such severity.
        """
        if severity is None:
            return 0.5
        if severity not in self.severities:
            known = ", ".join(self.severities) or "None only"
            raise ValueError(f"concept {self.name}: no severity {severity!r}; use one of: {known}.")
        last = len(self.severities) - 1
        return self.severities.index(severity) / last if last else 0.5

    def places(self, laterality: str | None) -> tuple[str, ...]:
        """Return the names of the places on a side; None stands for a concept without sides."""
        return tuple(p.name for p in self.locations if laterality is None or laterality in p.lateralities)
