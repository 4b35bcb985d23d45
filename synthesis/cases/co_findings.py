"""Cases whose findings keep company as they do in patients."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthesis.cases.case import Finding
from synthesis.cases.rules import WeightedChoice
from synthesis.cases.samplers import BalancedCaseSampler
from synthesis.concepts import Concept, ConceptCatalog
from synthesis.configuration import shipped
from synthesis.strict_yaml import Entry

DEFAULT_CO_FINDINGS = shipped("configs/cases/co_findings.yaml")


@dataclass(frozen=True)
class CoFinding:
    """How often a concept joins a case that another one leads.

    Attributes:
        name: The concept that joins.
        rate: The probability that it does, where the rules of the catalogue let it.
        sides: Side → relative weight, where it is known; empty: all sides alike.
        same_side: Whether it lies on the sides of the leading finding.
    """

    name: str
    rate: float
    sides: Mapping[str, float]
    same_side: bool


class CoFindings:
    """The rates at which findings join a case, read and checked against a catalogue.

    Args:
        path: The YAML file; the comments at its head explain its keys.
        catalog: The concepts.

    Attributes:
        sha256: Of the file.
        of: Leading concept → what joins it.

    Raises:
        YamlError: The file is malformed, names an unknown concept or source, or two concepts that the
            catalogue keeps apart.
    """

    def __init__(self, path: Path, catalog: ConceptCatalog) -> None:
        root, content = Entry.read(path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._catalog = catalog
        self._sources = tuple(name for name, _ in root.named("sources", "source"))
        self._names = tuple(c.name for c in catalog if c.sampled)
        self.of: dict[str, tuple[CoFinding, ...]] = {}
        for lead, entry in root.named("leads", "lead"):
            if lead not in self._names:
                known = ", ".join(self._names)
                raise root.error("leads", lead, f"is no concept that is sampled; use one of: {known}.")
            named = [(n, Entry(f"{entry.where}, concept {n}", entry.take(n))) for n in entry.keys()]
            self.of[lead] = tuple(self._read(lead, name, one) for name, one in named)
        _check_sources(Entry.read(path)[0])
        root.close()

    def _read(self, lead: str, name: str, entry: Entry) -> CoFinding:
        if name not in self._names:
            raise entry.error("concept", name, f"is not sampled; use one of: {', '.join(self._names)}.")
        catalog = self._catalog
        apart = catalog.excluded(lead, name) or catalog.implies(lead, name) or catalog.implies(name, lead)
        if apart:
            raise entry.error("concept", name, f"can never join {lead}: {catalog.path} keeps them apart.")
        if "rate" in entry.keys():
            rate = entry.number("rate", 0, 1)
        else:
            total = entry.number("of", 1, 1e12)
            rate = entry.number("count", 0, total) / total
        entry.text("source", self._sources)
        sides = self._sides(catalog[name], entry)
        same_side = entry.flag("same_side", default=False)
        if same_side and not (catalog[lead].lateralities and catalog[name].lateralities):
            raise entry.error("same_side", True, f"asks for a side that {lead} or {name} does not have.")
        entry.close(optional=("rate", "count", "of", "sides", "sides_source"))
        return CoFinding(name, rate, sides, same_side)

    def _sides(self, concept: Concept, entry: Entry) -> dict[str, float]:
        if "sides" not in entry.keys():
            return {}
        sides = entry.entry("sides")
        weights = {}
        for side in sides.keys():
            if side not in concept.lateralities:
                known = ", ".join(concept.lateralities) or "none"
                raise sides.error(side, sides.take(side), f"is no side of {concept.name} ({known}).")
            weights[side] = sides.number(side, 0, 1e12)
        if not any(weights.values()):
            raise entry.error("sides", weights, "leaves no side; give one of them a weight above 0.")
        entry.text("sides_source", self._sources)
        return weights


def _check_sources(root: Entry) -> None:
    for _, entry in root.named("sources", "source"):
        entry.text("citation")
        entry.text("doi")
        entry.close()


class CoFindingCaseSampler(BalancedCaseSampler):
    """Lets every concept lead equally often, and others join it as often as they do in patients.

    Each co-finding of the leading concept joins by itself at its published rate, where the catalogue's rules
    let it. Places that ``findings_per_case`` leaves beyond those are drawn as by `BalancedCaseSampler`, from
    the concepts without a rate: so the rates hold.

    Args:
        co_findings: The file of rates; None takes ``configs/cases/co_findings.yaml``.
        **settings: As for `BalancedCaseSampler`.

    Raises:
        YamlError: The file is malformed or does not fit the catalogue.
    """

    version: int = 1

    def __init__(self, co_findings: str | Path | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        path = DEFAULT_CO_FINDINGS if co_findings is None else Path(co_findings)
        self.co_findings = CoFindings(path, self.catalog)

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {**super().describe(), "co_findings_sha256": self.co_findings.sha256}

    def _join(self, findings: list[Finding], number: int, rng: np.random.Generator) -> None:
        company = self.co_findings.of.get(findings[0].concept, ())
        for other in company:
            if rng.random() < other.rate:
                self._accompany(findings, other, rng)
        rated = {other.name for other in company}
        others = [name for name in self._names if name not in rated]
        for _ in range(number - (len(findings) - 1)):
            self._add(findings, others, rng)

    def _accompany(self, findings: list[Finding], other: CoFinding, rng: np.random.Generator) -> None:
        """Add a co-finding on one of the sides that are left for it, if any is."""
        if not self._fitting(findings, (other.name,)):
            return
        sides: Sequence[str | None] = self._free_sides(findings, other.name)
        lead = findings[0].laterality
        if other.same_side and lead in sides:
            sides = [lead]
        elif other.same_side:  # of a bilateral finding, one side or the other
            sides = sides if lead == "bilateral" else []
        weights = [other.sides.get(side or "", 0.0) if other.sides else 1.0 for side in sides]
        if any(weights):
            side = WeightedChoice(sides, weights).draw(rng)
            findings.append(self._rules[other.name].draw([side], self._settings["uncertain_rate"], rng))
