"""When a run of a sweep that falls behind the others ends: `early_terminate` of a sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

_KEYS = {"type", "min_iter", "max_iter", "s", "eta", "strict"}


@dataclass(frozen=True)
class EarlyTermination:
    """W&B's hyperband: at some validations only the best share of the runs goes on.

    All runs are judged at the same validations, first, first · eta, first · eta² …: that is successive
    halving as its asynchronous form does it (Li et al. 2020, arXiv 1810.05934), which Optuna has.

    Attributes:
        first: Number of the validation after which runs are judged for the first time, from 1.
        eta: One in so many goes on, and the next judgement is so many times as late.
        last: The last validation after which they are judged; None for no last one.
    """

    first: int
    eta: int = 3
    last: int | None = None

    @classmethod
    def read(cls, spec: Any, where: str) -> EarlyTermination | None:
        """Read what a sweep file says; None where it ends nothing early.

        Raises:
            ValueError: If that cannot be carried out; names file, key, value and remedy.
        """
        if spec is None:
            return None
        at = f"{where}: early_terminate is {spec}"
        if not isinstance(spec, Mapping) or spec.get("type") != "hyperband":
            raise ValueError(
                f"{at}; there is hyperband alone: write {{type: hyperband, min_iter: 1}}, or leave it out"
            )
        if unknown := sorted(spec.keys() - _KEYS):
            raise ValueError(
                f"{at}: {', '.join(unknown)} means nothing; there are {', '.join(sorted(_KEYS))}"
            )
        if spec.get("strict", True) is not True:
            raise ValueError(f"{at}: only W&B's server can be lenient; leave strict out")
        numbers = {key: spec[key] for key in ("min_iter", "max_iter", "s", "eta") if key in spec}
        if wrong := [key for key, n in numbers.items() if not isinstance(n, int) or n < 1 + (key == "eta")]:
            raise ValueError(
                f"{at}: {', '.join(wrong)} must be a whole number from 1, eta from 2; correct it"
            )
        eta = numbers.get("eta", 3)
        if "min_iter" in numbers:
            return cls(numbers["min_iter"], eta)
        if not {"max_iter", "s"} <= numbers.keys():
            raise ValueError(f"{at}: give min_iter, or max_iter and s")
        bands = [numbers["max_iter"] // eta**k for k in range(1, numbers["s"] + 1)]
        bands = [band for band in bands if band]
        if not bands:
            raise ValueError(f"{at}: max_iter is below eta, so nothing is ever judged; raise it")
        return cls(bands[-1], eta, bands[0])

    def pruner(self) -> BasePruner:
        """Return what says for Optuna whether a run goes on."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=self.first, reduction_factor=self.eta)

    def __str__(self) -> str:
        """How a note names it."""
        last = "" if self.last is None else f" and not after {self.last}"
        return f"hyperband, one in {self.eta} goes on, first after validation {self.first}{last}"
