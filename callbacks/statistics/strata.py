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
    check_stratum(stratum, names)
    inside = np.ones(len(labels), bool)
    for name in stratum.split("+"):
        if name in VIEWS:
            inside &= view == VIEWS.index(name)
        else:
            inside &= labels[:, list(names).index(name)] == 1
    return inside


def check_stratum(stratum: str, names: Sequence[str]) -> None:
    """Refuse a stratum of views and concepts that there are not.

    Args:
        stratum: As `stratum_rows` reads it.
        names: Concepts of the data.

    Raises:
        ValueError: If a name is neither.
    """
    for name in stratum.split("+"):
        if name not in VIEWS and name not in names:
            raise ValueError(
                f"stratum {stratum!r}: {name!r} is neither a view ({', '.join(VIEWS)}) nor one of the "
                f"concepts {names}; give one of these"
            )
