"""Samples from pairs, made or cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from datamodules.batch import VIEWS
from datamodules.loading.dataset import Sample
from synthesis.concepts import ConceptCatalog
from synthesis.pairs import Pair


class PairSource:
    """Samples from pairs.

    Args:
        read: Returns the pairs of some indices.
        size: Number of pairs.
        catalog: The concepts, in label order.
        masks: Whether to keep the masks.
        read_twins: Returns the twins of some indices; None leaves them out.
    """

    def __init__(
        self,
        read: Callable[[Sequence[int]], list[Pair]],
        size: int,
        catalog: ConceptCatalog,
        masks: bool = False,
        read_twins: Callable[[Sequence[int]], list[Pair]] | None = None,
    ) -> None:
        self.read = read
        self.size = size
        self.catalog = catalog
        self.masks = masks
        self.read_twins = read_twins

    def __len__(self) -> int:
        """Number of pairs."""
        return self.size

    def groups(self) -> npt.NDArray[np.int64]:
        """Return the number of each sample's patient: every made pair is of another one."""
        return np.arange(self.size)

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order."""
        pairs = self.read(indices)
        samples = [self._sample(pair, self.masks) for pair in pairs]
        if self.read_twins is not None:
            for sample, pair, twin in zip(samples, pairs, self.read_twins(indices), strict=True):
                sample.twin, sample.left_out = self._sample(twin, masks=False), self._left_out(pair, twin)
        return samples

    def _left_out(self, pair: Pair, twin: Pair) -> int:
        for i, finding in enumerate(pair.case.findings):
            if pair.case.without(i) == twin.case:
                return self.catalog.index(finding.concept)
        return -1

    def _sample(self, pair: Pair, masks: bool) -> Sample:
        sample = Sample(
            image=pair.image,
            labels=torch.from_numpy(pair.case.labels(self.catalog)),
            group=pair.index,
            view=VIEWS.index(pair.case.view),
            report=pair.report,
            case=pair.case,
        )
        if masks:
            if pair.masks is None:
                raise ValueError(
                    "masks=true, but the image maker of these pairs knows no masks; set masks to false."
                )
            sample.masks = pair.masks
            concepts = [self.catalog.index(finding.concept) for finding in pair.case.findings]
            sample.mask_concepts = torch.tensor(concepts, dtype=torch.int64)
        return sample
