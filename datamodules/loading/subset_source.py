"""Part of a source: the patients whose labels may be trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from datamodules.loading.sample import Sample, SampleSource


class SubsetSource:
    """Some samples of a source.

    Args:
        source: The source.
        chosen: Numbers of the samples in it, ``(samples,)``.
    """

    def __init__(self, source: SampleSource, chosen: npt.NDArray[np.int64]) -> None:
        self.source = source
        self.chosen = chosen

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.chosen)

    def groups(self) -> npt.NDArray[np.int64]:
        """Return the number of each sample's patient."""
        return self.source.groups()[self.chosen]

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order."""
        return self.source.samples([int(self.chosen[index]) for index in indices])
