"""The standard filters: all that need neither a model nor a folder of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthesis.filters.appearance import ChestLikeness, Inversion, Mirroring, Rotation
from synthesis.filters.measured import Contrast, Noise, Saturation, Sharpness, Truncation
from synthesis.filters.reports import EntityAgreement, ReportLength, TemplateLeakage
from synthesis.identity import identity
from synthesis.pairs import Pair, PairFilter, Rejection

STANDARD: tuple[type[PairFilter], ...] = (
    EntityAgreement,
    ReportLength,
    TemplateLeakage,
    Contrast,
    Saturation,
    Truncation,
    Noise,
    Sharpness,
    Inversion,
    ChestLikeness,
    Rotation,
    Mirroring,
)
"""In the order in which they are asked: of the report and its case, then of the image."""


class StandardFilters:
    """Rejects what any of the standard filters rejects, each with its default limits.

    To give one of them other limits, name it in ``without`` and list it beside this.

    Args:
        without: Names of classes to leave out: ``EntityAgreement``, say, where the case is not known.

    Attributes:
        filters: Those that are asked, in order.

    Raises:
        ValueError: If a name is not that of a standard filter.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(self, without: Sequence[str] = ()) -> None:
        names = [part.__name__ for part in STANDARD]
        unknown = [name for name in without if name not in names]
        if unknown:
            raise ValueError(f"without={unknown}: not among the standard filters; give {', '.join(names)}.")
        self.filters = tuple(part() for part in STANDARD if part.__name__ not in without)

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair why the first filter that rejects it does so, or None."""
        reasons: list[Rejection | None] = [None] * len(pairs)
        for part in self.filters:
            passing = [k for k, reason in enumerate(reasons) if reason is None]
            if not passing:
                break
            for k, reason in zip(passing, part.reject([pairs[k] for k in passing]), strict=True):
                reasons[k] = reason
        return reasons

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        return {"filters": [identity(part) for part in self.filters]}
