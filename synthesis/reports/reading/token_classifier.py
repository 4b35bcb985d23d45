"""Entities by a trained model: token classification from a directory, named by our lexicon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthesis.identity import identity
from synthesis.model_files import open_pretrained
from synthesis.reports.language_model.weights import Weights
from synthesis.reports.reading.cues import Status
from synthesis.reports.reading.entities import EntityExtractor, Mention

RATE_NER: Mapping[str, Status | None] = {
    "ABNORMALITY": "present",
    "DISEASE": "present",
    "NON-ABNORMALITY": "absent",
    "NON-DISEASE": "absent",
    "ANATOMY": None,
}
"""Entity types of RaTE-NER (Zhao et al., arXiv:2406.16845) → what they say about a concept."""


class TokenClassifier:
    """Reads entities with a trained model instead of rules alone; plugs in wherever an `EntityReader` does.

    The model decides which words are an entity and whether it is there; a lexicon says which concept of the
    catalogue the words name, and reads side, place and severity. So a mention of the rules counts if the
    model marks words of it, with the status of the model's label; a label that says nothing about that
    (ANATOMY) leaves the status of the rules, as "heart size is normal" needs. Where no label says "uncertain"
    (RaTE-NER), a "present" leaves what the rules doubt in doubt, as "possible pneumonia" needs.

    The model reads a whole text at a time, in overlapping pieces if it is longer than it takes.

    Args:
        weights: Directory (or ``hub:owner/name``) of a token-classification model with its tokenizer.
        statuses: Label (without "B-" and "I-") → "present", "absent", "uncertain", or None for a label that
            says nothing about it. None takes those of RaTE-NER.
        rules: Names the concepts; None takes the rules as shipped.
        device: Where it runs, e.g. "cuda:0"; None takes the CPU.

    Raises:
        ValueError: If the model knows a label that ``statuses`` does not, or a status is none.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(
        self,
        weights: str | Path,
        statuses: Mapping[str, Status | None] | None = None,
        rules: EntityExtractor | None = None,
        device: str | None = None,
    ) -> None:
        self.weights = weights
        self.statuses = dict(RATE_NER if statuses is None else statuses)
        wrong = set(self.statuses.values()) - {"present", "absent", "uncertain", None}
        if wrong:
            raise ValueError(f"statuses={self.statuses}: {wrong}: use present, absent, uncertain or null.")
        self.rules = rules or EntityExtractor.load()
        self.device = device
        self._identity: dict[str, str] | None = None
        self._pipeline: Any = None

    def describe(self) -> dict[str, Any]:
        """Return what is read depends on: the weights, the meaning of their labels, and the rules."""
        if self._identity is None:
            self._identity = Weights.find(self.weights).describe()
        return {
            "weights": self._identity,
            "statuses": self.statuses,
            "rules": identity(self.rules),
        }

    def extract(self, text: str) -> list[Mention]:
        """Return the mentions of a text in order."""
        mentions = self.rules.extract(text)
        if not mentions:
            return []
        self._load()
        entities = [(int(e["start"]), int(e["end"]), str(e["entity_group"])) for e in self._pipeline(text)]
        read = []
        for mention in mentions:
            labels = [label for start, end, label in entities if start < mention.end and mention.start < end]
            stated = [status for status in map(self.statuses.__getitem__, labels) if status]
            if labels:
                read.append(replace(mention, status=self._status(mention, stated)))
        return read

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights behind: every process loads its own."""
        return {**self.__dict__, "_pipeline": None}

    def _status(self, mention: Mention, stated: list[Status]) -> Status:
        """Return the status of a mention, given those that its labels state."""
        doubts = "uncertain" in self.statuses.values()
        if not stated or (stated[-1] == "present" and mention.status == "uncertain" and not doubts):
            return mention.status
        return stated[-1]

    def _load(self) -> None:
        if self._pipeline is not None:
            return
        from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

        found = Weights.find(self.weights)
        tokenizer = open_pretrained(AutoTokenizer, found.directory)
        model = open_pretrained(AutoModelForTokenClassification, found.directory)
        labels = {label.removeprefix("B-").removeprefix("I-") for label in model.config.label2id} - {"O"}
        if labels - self.statuses.keys():
            raise ValueError(
                f"{self.weights} knows the labels {sorted(labels)}, but statuses says nothing about "
                f"{sorted(labels - self.statuses.keys())}; add them, with null for what asserts nothing."
            )
        longest = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))
        tokenizer.model_max_length = longest
        self._pipeline = pipeline(
            "token-classification",
            model=model,
            tokenizer=tokenizer,
            aggregation_strategy="first",
            stride=longest // 4,
            device=self.device or "cpu",
        )
