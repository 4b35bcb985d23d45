"""What a sweep leaves to be read: a table of its runs, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.comparison.tables import Row, write_table
from scripts.sweeps.pictures import draw_importance, draw_parallel, draw_slices
from scripts.sweeps.ranking import figure, ranked
from synthesis.files import locked

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def write_results(study: Study, out: Path, title: str, size: int | None = None) -> str:
    """Write ``table`` (``.md``, ``.csv``, ``.tex``) and three pictures; return the table.

    Complete runs come first, the best on top; then those that were pruned, the latest on top. ``parallel``
    has a line a run, ``slices`` a panel a parameter, ``importance`` says how much each parameter decides.

    Args:
        study: The sweep's runs.
        out: Directory of the results.
        title: How the sweep is named.
        size: How many runs there are to be; None for those that there are.

    Raises:
        ValueError: If no run has ended.
    """
    trials = study.get_trials(deepcopy=False)
    said = study.user_attrs["sweep"]
    metric = said["metric"]["name"]
    ended = ranked(trials, said["metric"]["goal"] == "maximize")
    if not ended:
        raise ValueError(f"{out}: no run has ended. {_not_ended(trials)}")
    with locked(out, ".table.lock"):
        rows = [_row(trial, metric) for trial in ended]
        table = write_table(rows, out / "table", _note(study, title, trials, size or len(trials)))
        heading = f"{title}: {said['method']}, {len(ended)} runs, {metric}"
        draw_parallel(ended, metric, heading, out)
        draw_slices(ended, metric, heading, out)
        draw_importance(study, heading, out)
    return table


def _row(trial: FrozenTrial, metric: str) -> Row:
    values = {name: _text(value) for name, value in trial.params.items()}
    end = "complete" if trial.state.name == "COMPLETE" else f"pruned after {trial.last_step}"
    return {"run": trial.number, **values, metric: figure(trial), "end": end}


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _note(study: Study, title: str, trials: Sequence[FrozenTrial], size: int) -> str:
    """Return what a reader has to know of the table."""
    said = study.user_attrs["sweep"]
    states = [trial.state.name for trial in trials]
    facts = [trial.user_attrs.get("facts", {}) for trial in trials]
    steps, minutes = (sum(one.get(name) or 0 for one in facts) for name in ("global_step", "minutes"))
    counted = f"{states.count('COMPLETE')} complete, {states.count('PRUNED')} pruned"
    note = (
        f"{title}: {said['metric']['goal']} {said['metric']['name']}, of the last validation, one run a row; "
        f"{said['method']}. {counted} of {size}."
    )
    if said["early_terminate"]:
        note += f" Pruned by {said['early_terminate']}."
    if steps:
        note += f" {steps:,.0f} steps in {minutes:.0f} minutes of training."
    return " ".join([note, _not_ended(trials, size)]).strip()


def _not_ended(trials: Sequence[FrozenTrial], size: int = 0) -> str:
    """Name what is not in the table."""
    told = []
    for trial in trials:
        if trial.state.name in ("COMPLETE", "PRUNED"):
            continue
        reason = trial.user_attrs.get("failed", "")
        told.append(f"run {trial.number}: {f'failed ({reason})' if reason else 'not ended'}")
    if size > len(trials):
        told.append(f"{size - len(trials)} not begun")
    return f"{'; '.join(told)}." if told else ""
