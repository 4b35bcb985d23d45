"""Which samples belong to a stratum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from callbacks.statistics.intervals import Array
from datamodules.batch import VIEWS


def stratum_rows(stratum: str, labels: Array, view: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Find the samples of a stratum, ``(n,)`` bool.

    Args:
        stratum: ``"PA"`` or ``"AP"`` (samples of that view), a concept (samples in which it is present), or
            several with ``+`` between them (samples of which all holds): ``"pneumonia+PA"``.
        labels: ``(n, concept)``.
        view: ``(n,)``: 0 PA, 1 AP, -1 unknown.
        names: Concepts, in column order.

    Raises:
        ValueError: If a name is neither.
    """
    inside = np.ones(len(labels), bool)
    for name in stratum.split("+"):
        if name in VIEWS:
            inside &= view == VIEWS.index(name)
        elif name in names:
            inside &= labels[:, list(names).index(name)] == 1
        else:
            raise ValueError(
                f"stratum {stratum!r}: {name!r} is neither a view ({', '.join(VIEWS)}) nor one of the "
                f"concepts {names}"
            )
    return inside
