"""Samples from pairs, made or cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from datamodules.batch import VIEWS
from datamodules.dataset import Sample
from synthesis.concepts import ConceptCatalog
from synthesis.pairs import Pair


class PairSource:
    """Samples from pairs.

    Args:
        read: Returns the pairs of some indices.
        size: Number of pairs.
        catalog: The concepts, in label order.
        masks: Whether to keep the masks.
    """

    def __init__(
        self,
        read: Callable[[Sequence[int]], list[Pair]],
        size: int,
        catalog: ConceptCatalog,
        masks: bool = False,
    ) -> None:
        self.read = read
        self.size = size
        self.catalog = catalog
        self.masks = masks

    def __len__(self) -> int:
        """Number of pairs."""
        return self.size

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order."""
        return [self._sample(pair) for pair in self.read(indices)]

    def _sample(self, pair: Pair) -> Sample:
        sample = Sample(
            image=pair.image,
            labels=torch.from_numpy(pair.case.labels(self.catalog)),
            group=pair.index,
            view=VIEWS.index(pair.case.view),
            report=pair.report,
        )
        if self.masks:
            if pair.masks is None:
                raise ValueError(
                    "masks=true, but the image maker of these pairs knows no masks; set masks to false."
                )
            sample.masks = pair.masks
            concepts = [self.catalog.index(finding.concept) for finding in pair.case.findings]
            sample.mask_concepts = torch.tensor(concepts, dtype=torch.int64)
        return sample
