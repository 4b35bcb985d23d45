"""Figures that a run is judged by while it trains: which of several its validation can measure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import lightning as L

from callbacks.base.evaluation import Evaluation

WORST = {"min": math.inf, "max": -math.inf}
"""What is best of a figure → the value that any other is better than."""


def figures_of(owner: object, monitor: str | Mapping[str, str] | None, mode: str) -> dict[str, str]:
    """Return figures with what is best of each.

    Args:
        owner: What they were given to; the message names its class.
        monitor: A figure, several with their modes, or none.
        mode: Of a single one.

    Raises:
        ValueError: If a mode is neither ``max`` nor ``min``.
    """
    figures = dict(monitor) if isinstance(monitor, Mapping) else {monitor: mode} if monitor else {}
    for name, best in figures.items():
        if best not in WORST:
            raise ValueError(
                f"{type(owner).__name__}: monitor {name}, mode={best}: what is best of a figure must be max "
                "or min"
            )
    return figures


def told(hindrances: Mapping[str, str | None]) -> str:
    """Return what speaks against figures, in a line."""
    return "; ".join(f"{name}: {why}" for name, why in hindrances.items() if why)


def hindrance(trainer: L.Trainer, figure: str) -> str | None:
    """Return why a fit cannot measure a figure; None where nothing speaks against it.

    Args:
        trainer: The trainer, with its data set up.
        figure: As it is logged: ``val/zero_shot/auroc_macro``.
    """
    stage, _, rest = figure.partition("/")
    if stage != "val":
        return None
    if trainer.limit_val_batches == 0 or not trainer.enable_validation:
        return "there is no validation"
    name = rest.partition("/")[0].partition("@")[0]
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    known = {callback.name: callback for callback in callbacks if isinstance(callback, Evaluation)}
    if name in known:
        return known[name].hindrance(trainer, stage)
    return None if "/" not in rest or not known else f"no evaluation is called {name}"
