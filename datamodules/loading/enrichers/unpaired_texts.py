"""Texts of other patients than the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datamodules.batch import Batch
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.sample import Sample, SampleSource


@dataclass
class UnpairedTexts:
    """Adds the texts of other samples, drawn anew in every epoch, and their labels as ``text_labels``.

    Attributes:
        texts: Chooses and encodes the texts.
        source: Where the other samples come from.
    """

    texts: Texts
    source: SampleSource

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        size = len(self.source)
        others = self.source.samples(
            [int(draws.rng(row, "unpaired").integers(size)) for row in range(len(samples))]
        )
        self.texts.enrich(batch, others, draws)
        batch["text_labels"] = torch.stack([other.labels for other in others])
