"""Reports with left and right exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datamodules.batch import Batch
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.sample import Sample
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.sentences import split_sentences
from synthesis.reports.sides import names_a_side, with_sides_exchanged


@dataclass
class ExchangedSides:
    """Adds ``sides_exchanged`` to a batch: its reports with left and right exchanged.

    Only what says that a finding is present on one side becomes false by that: "No left effusion." hardly
    ever does, nor does a report of the same finding on both sides. ``contradicts`` says which became false.

    Attributes:
        texts: Encodes them, and has read the reports of the batch.
    """

    texts: Texts

    def __post_init__(self) -> None:
        """Make the reader before there are workers."""
        self._extractor = EntityExtractor.load(self.texts.catalog.path)

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        ids, mask = self.texts.encoded([with_sides_exchanged(text) for text in batch["report"]])
        contradicts = torch.tensor([self.becomes_false(text) for text in batch["report"]])
        batch["sides_exchanged"] = {"input_ids": ids, "attention_mask": mask, "contradicts": contradicts}

    def becomes_false(self, text: str) -> bool:
        """Return whether a text says that a finding is on one side, and nowhere that it is on the other."""
        found: dict[str, set[str]] = {}
        for sentence in filter(names_a_side, split_sentences(text)):
            for mention in self._extractor.extract(sentence):
                if mention.status == "present" and mention.laterality is not None:
                    found.setdefault(mention.concept, set()).add(mention.laterality)
        return any(sides in ({"left"}, {"right"}) for sides in found.values())
