"""The concept catalogue: what can be seen on a chest radiograph, and what can be seen together.

Names, definitions, prompts and plausibility rules live in ``configs/concepts/*.yaml``, never in code. The
order of the file is the order of the labels everywhere.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synthesis.concepts.concept import NO_FINDING, Concept
from synthesis.concepts.reader import ConceptReader
from synthesis.configuration import shipped
from synthesis.strict_yaml import YamlError

DEFAULT_CATALOG = shipped("configs/concepts/chest_xray.yaml")


class UnknownConceptError(KeyError):
    """A concept was asked for that the catalogue does not hold; the message names near matches."""

    def __str__(self) -> str:
        """Return the message without the quotes that KeyError adds."""
        return str(self.args[0])


class ConceptCatalog:
    """All concepts, in label order, and the rules that make a set of them plausible.

    Rules reach the concepts that imply the ones they name: what excludes hyperinflation excludes emphysema.
    ``no_finding`` excludes everything but devices.

    Args:
        path: A catalogue file; None takes the one shipped, ``configs/concepts/chest_xray.yaml``.

    Attributes:
        path: The file read.
        names: The concept names, in label order.
        devices: Those of tubes, lines and implants.
        sha256: Hash of the file, and of those that it extends, for fingerprints.
        lexicon: The words by which reports are read that fit it; None: those shipped fit.
        phrases: The phrases of the grammar that fit it; None: those shipped fit.

    Raises:
        YamlError: If the file is missing, malformed, or contradicts itself.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = DEFAULT_CATALOG if path is None else Path(path)
        reader = ConceptReader(self.path)
        self.sha256 = hashlib.sha256(reader.content).hexdigest()
        self.lexicon, self.phrases = reader.words.get("lexicon"), reader.words.get("phrases")
        self._concepts = {concept.name: concept for concept in reader.concepts}
        self.names = tuple(self._concepts)
        self._index = {name: i for i, name in enumerate(self.names)}
        self.devices = frozenset(concept.name for concept in self if concept.is_device)
        self._closures: dict[str, frozenset[str]] = {}
        for name in self.names:
            self._close(name, ())
        self._heirs = {a: frozenset(b for b in self.names if a in self._closures[b]) for a in self.names}
        abnormal = (c.name for c in self if not c.is_device and c.name != NO_FINDING)
        self._excluded = self._pairs("excludes") | {frozenset((NO_FINDING, name)) for name in abnormal}
        self._excluded_same_side = self._pairs("excludes_same_side")
        self._check_rules()
        self._undeniable = {name: self._undeniable_with(name) for name in self.names}
        self._by_label = {key: concept for concept in self for key in _label_keys(concept)}

    @classmethod
    def load(cls, path: str | Path | None = None) -> ConceptCatalog:
        """Return the catalogue of a file; it is read again only after it has changed."""
        file = DEFAULT_CATALOG if path is None else Path(path)
        return _load(file, file.stat().st_mtime_ns if file.is_file() else 0)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self._concepts.values())

    def __len__(self) -> int:
        return len(self._concepts)

    def __contains__(self, name: object) -> bool:
        return name in self._concepts

    def __getitem__(self, name: str) -> Concept:
        try:
            return self._concepts[name]
        except KeyError:
            near = difflib.get_close_matches(str(name), self.names, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it holds: {', '.join(self.names)}."
            raise UnknownConceptError(f"{self.path}: no concept {name!r}; {hint}") from None

    def index(self, name: str) -> int:
        """Return the position of a concept in the labels."""
        return self._index[name if name in self._index else self[name].name]

    def closure(self, names: Iterable[str]) -> frozenset[str]:
        """Return the given concepts and all that they imply."""
        closures = self._closures
        return frozenset[str]().union(*[closures.get(name) or closures[self[name].name] for name in names])

    def implies(self, a: str, b: str) -> bool:
        """Return whether ``a`` implies ``b``; every concept implies itself."""
        return self[b].name in self._closures[self[a].name]

    def excluded(self, a: str, b: str) -> bool:
        """Return whether two concepts cannot be in the same case."""
        return frozenset((self[a].name, self[b].name)) in self._excluded

    def excluded_same_side(self, a: str, b: str) -> bool:
        """Return whether two concepts cannot be on the same side of a case."""
        return frozenset((self[a].name, self[b].name)) in self._excluded_same_side

    def deniable(self, present: Iterable[str]) -> list[str]:
        """Return what a report of these findings may deny, in label order.

        Left out: what is present or implied; special forms of it (an opacity may be the very pneumonia that
        would be denied); what the findings never deny; and ``no_finding``.
        """
        undeniable = frozenset[str]().union(*(self._undeniable[self[name].name] for name in present))
        return [name for name in self.names if name not in undeniable and name != NO_FINDING]

    def labels(self, concepts: Iterable[str]) -> npt.NDArray[np.float32]:
        """Return a vector ``(concept,)``: 1 for the concepts given, 0 for the others.

        Nothing is added; pass a closure (``Case.concepts``) to mark implied concepts too.
        """
        labels = np.zeros(len(self), dtype=np.float32)
        labels[[self.index(name) for name in concepts]] = 1
        return labels

    def concept_for(self, vocabulary: str, label: str) -> Concept | None:
        """Return the concept that a label of another data set means, or None.

        Args:
            vocabulary: "chexpert", "nih" or "padchest".
            label: The label as that data set spells it.
        """
        return self._by_label.get((vocabulary, label))

    def _close(self, name: str, trail: tuple[str, ...]) -> frozenset[str]:
        if name in trail:
            cycle = " → ".join((*trail[trail.index(name) :], name))
            raise YamlError(f"{self.path}, concept {name}, key implies: cycle {cycle}; remove one arrow.")
        if name not in self._closures:
            parents = (self._close(parent, (*trail, name)) for parent in self._concepts[name].implies)
            self._closures[name] = frozenset((name,)).union(*parents)
        return self._closures[name]

    def _pairs(self, key: str) -> frozenset[frozenset[str]]:
        """Spread a rule between two concepts to all that imply them."""
        rules = ((concept.name, other) for concept in self for other in getattr(concept, key))
        return frozenset(frozenset((x, y)) for a, b in rules for x in self._heirs[a] for y in self._heirs[b])

    def _undeniable_with(self, name: str) -> frozenset[str]:
        present = self._closures[name]
        related = (other for concept in present for other in self._concepts[concept].never_denies)
        return present | self._heirs[name] | self.closure(related)

    def _check_rules(self) -> None:
        for concept in self:
            self._check_consistent(concept, "excludes", self._excluded)
            self._check_consistent(concept, "excludes_same_side", self._excluded_same_side)
            for other in concept.excludes_same_side:
                self._check_sided(concept, other)
        normal = self[NO_FINDING]
        if normal.implies or normal.lateralities or normal.entity_type != "normality":
            raise YamlError(
                f"{self.path}, concept {NO_FINDING}: implies {list(normal.implies)}, lateralities "
                f"{list(normal.lateralities)}, entity_type {normal.entity_type!r}; a normal study needs "
                f"entity_type: normality and neither of the others."
            )

    def _check_consistent(self, concept: Concept, key: str, pairs: frozenset[frozenset[str]]) -> None:
        # Rules spread to heirs, so a concept whose implications exclude one another ends up excluding itself.
        if frozenset((concept.name,)) in pairs:
            implied = ", ".join(name for name in self.names if name in self._closures[concept.name])
            raise YamlError(
                f"{self.path}, concept {concept.name}, keys implies and {key}: contradiction, among "
                f"{implied} one excludes another, yet all are present together; remove one of these rules."
            )

    def _check_sided(self, concept: Concept, other: str) -> None:
        for name in (concept.name, other):
            if not any(self._concepts[heir].lateralities for heir in self._heirs[name]):
                raise YamlError(
                    f"{self.path}, concept {concept.name}, key excludes_same_side: {other!r} can have no "
                    f"effect, {name} has no sides; use excludes, or give it lateralities."
                )


@lru_cache(maxsize=16)
def _load(path: Path, modified_ns: int) -> ConceptCatalog:
    return ConceptCatalog(path)


def _label_keys(concept: Concept) -> Iterator[tuple[str, str]]:
    for vocabulary, label in concept.labels.items():
        yield from ((vocabulary, text) for text in (label, *concept.label_aliases[vocabulary]))
