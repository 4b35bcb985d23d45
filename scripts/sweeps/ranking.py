"""The order of a sweep's runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def ranked(trials: Sequence[FrozenTrial], higher: bool) -> list[FrozenTrial]:
    """Return the runs that have ended with a figure, the best first; pruned ones behind, the latest first.

    Args:
        trials: All runs.
        higher: Whether more is better.
    """
    from optuna.trial import TrialState

    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.intermediate_values]
    sign = -1 if higher else 1
    return [
        *sorted(complete, key=lambda trial: sign * figure(trial)),
        *sorted(pruned, key=lambda trial: (-(trial.last_step or 0), sign * figure(trial))),
    ]


def figure(trial: FrozenTrial) -> float:
    """Return the figure of a run at its last validation."""
    value = trial.value if trial.value is not None else trial.intermediate_values[trial.last_step or 0]
    return math.nan if value is None else value
