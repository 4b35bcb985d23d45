"""What adds keys to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from datamodules.batch import Batch
from datamodules.loading.draws import Draws
from datamodules.loading.sample import Sample


class Enricher(Protocol):
    """Adds keys to a batch: images, texts, masks … A pure function of the samples and the draws.

    A batch is enriched in the order of the data module's list, so that one may replace what an earlier one
    has put there (questions replace reports).
    """

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """Add this feature's keys.

        Args:
            batch: The batch so far; row ``i`` of everything in it is ``samples[i]``.
            samples: What the batch is of.
            draws: The random numbers of each row.
        """
        ...
