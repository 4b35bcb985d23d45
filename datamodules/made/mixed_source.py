"""Several sources as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from datamodules.loading.sample import Sample, SampleSource

_PATIENTS = 2**40  # more than any source has: patients of different sources never share a number


class MixedSource:
    """The samples of several sources, one after the other.

    Args:
        sources: The sources.
    """

    def __init__(self, sources: Sequence[SampleSource]) -> None:
        self.sources = tuple(sources)
        self.starts = np.cumsum([0, *(len(source) for source in sources)])

    def __len__(self) -> int:
        """Return the number of samples of all sources."""
        return int(self.starts[-1])

    def groups(self) -> npt.NDArray[np.int64]:
        """Return the number of each sample's patient."""
        groups = [source.groups() % _PATIENTS + k * _PATIENTS for k, source in enumerate(self.sources)]
        return np.concatenate(groups)

    def samples(self, indices: Sequence[int]) -> list[Sample]:
        """Return the samples of some indices, in that order; each says which source it is of."""
        found: dict[int, Sample] = {}
        owners = np.searchsorted(self.starts, indices, "right") - 1
        for k in np.unique(owners).tolist():
            rows = np.flatnonzero(owners == k).tolist()
            asked = [indices[row] - int(self.starts[k]) for row in rows]
            for row, sample in zip(rows, self.sources[k].samples(asked), strict=True):
                sample.source = k
                sample.group = sample.group % _PATIENTS + k * _PATIENTS
                found[row] = sample
        return [found[row] for row in range(len(indices))]
