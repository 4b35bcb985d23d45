"""Part of a source: the patients whose labels may be trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from datamodules.loading.dataset import Sample, SampleSource


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


def labelled(groups: npt.NDArray[np.int64], fraction: float, seed: int) -> npt.NDArray[np.int64]:
    """Choose the samples of a share of the patients, at least of one.

    Patients are taken in the order of a hash of seed and patient, so a smaller share is part of a larger one.

    Args:
        groups: Patient of each sample.
        fraction: The share, in (0, 1].
        seed: Other seeds, other patients.

    Returns:
        Numbers of the samples, ascending.
    """
    patients, patient = np.unique(groups, return_inverse=True)
    digests = [hashlib.sha256(f"{seed}:{int(number)}".encode()).digest() for number in patients]
    rank = np.argsort(np.argsort(digests, kind="stable"))
    return np.flatnonzero(rank[patient] < max(1, round(fraction * len(patients))))
