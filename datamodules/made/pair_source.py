"""Samples from pairs, made or stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from datamodules.batch import ORGANS, VIEWS
from datamodules.loading.sample import Sample
from synthesis.cases import Case
from synthesis.concepts import ConceptCatalog
from synthesis.pairs import Pair
from synthesis.reports.report import Report
from synthesis.store import StoredPair

ReadPairs = Callable[[Sequence[int]], Sequence[Pair | StoredPair]]
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
                companion = self.sample(pair, masks=False)
                if key == ORGANS:
                    companion.masks = pair.masks
                sample.companions = {**sample.companions, key: companion}
        return samples

    def sample(self, pair: Pair | StoredPair, masks: bool) -> Sample:
        """Return one pair as a sample."""
        sample = PairSample(pair, self.catalog)
        if masks and pair.masks is not None:
            sample.masks = pair.masks
            concepts = [self.catalog.index(finding.concept) for finding in pair.case.findings]
            sample.mask_concepts = torch.tensor(concepts, dtype=torch.int64)
        return sample


class PairSample(Sample):
    """A pair as a sample; report and case of a stored one are read when they are asked for.

    Args:
        pair: The pair.
        catalog: The concepts, in label order.
    """

    def __init__(self, pair: Pair | StoredPair, catalog: ConceptCatalog) -> None:
        # Not that of a dataclass: it would set what is asked of the pair, and what has a default.
        self._pair = pair
        self.image = pair.image
        self.labels = pair.labels(catalog)
        self.group = pair.index
        self.view = VIEWS.index(pair.view)
        self.companions = {}

    @property
    def report(self) -> Report:  # type: ignore[override]
        """The report."""
        return self._pair.report

    @property
    def case(self) -> Case:  # type: ignore[override]
        """What the image shows."""
        return self._pair.case
