"""Samples from pairs, made or stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from datamodules.batch import VIEWS
from datamodules.loading.sample import Sample
from synthesis.concepts import ConceptCatalog
from synthesis.pairs import Pair

ReadPairs = Callable[[Sequence[int]], list[Pair]]
"""Returns the pairs of some indices, in that order."""


class PairSource:
    """Samples from pairs.

    Args:
        read: Returns the pairs of some indices.
        size: Number of pairs.
        catalog: The concepts, in label order.
        masks: Whether samples hold their masks, where the pairs have any.
        companions: Batch key → what returns the companions of some indices, such as twins.
    """

    def __init__(
        self,
        read: ReadPairs,
        size: int,
        catalog: ConceptCatalog,
        masks: bool = False,
        companions: Mapping[str, ReadPairs] | None = None,
    ) -> None:
        self.read = read
        self.size = size
        self.catalog = catalog
        self.masks = masks
        self.companions = dict(companions or {})

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self.size

    def groups(self) -> npt.NDArray[np.int64]:
        """Return the number of each sample's patient: every made pair is of another one."""
        return np.arange(self.size)

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order."""
        samples = [self.sample(pair, self.masks) for pair in self.read(indices)]
        for key, read in self.companions.items():
            for sample, pair in zip(samples, read(indices), strict=True):
                sample.companions = {**sample.companions, key: self.sample(pair, masks=False)}
        return samples

    def sample(self, pair: Pair, masks: bool) -> Sample:
        """Return one pair as a sample."""
        sample = Sample(
            image=pair.image,
            labels=torch.from_numpy(pair.case.labels(self.catalog)),
            group=pair.index,
            view=VIEWS.index(pair.case.view),
            report=pair.report,
            case=pair.case,
        )
        if masks and pair.masks is not None:
            sample.masks = pair.masks
            concepts = [self.catalog.index(finding.concept) for finding in pair.case.findings]
            sample.mask_concepts = torch.tensor(concepts, dtype=torch.int64)
        return sample
