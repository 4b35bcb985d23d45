"""The runs of a sweep as trials of an Optuna study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.comparison.configuration import differences, sha256
from scripts.sweeps.journal import open_journal
from scripts.sweeps.sweep_file import SweepFile

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

JOURNAL = "study.journal"
_RANDOM = 10  # trials before TPE begins, at most; Optuna's own number


class SweepStudy:
    """What is known of a sweep's runs, in a file that agents of several processes share.

    Grid and random sweeps hand their rows out in order; of bayes each run is chosen by TPE (Bergstra et al.
    2011) from those before, those that were pruned included. Chance begins anew with each run, from its
    number: an agent that was killed and one that was not choose alike.

    A sweep whose file or layers have changed begins a study of its own in the same file.

    Args:
        sweep: The sweep file.
        journal: The file.
        configuration: What every run is given beside its parameters.
    """

    def __init__(self, sweep: SweepFile, journal: Path, configuration: Mapping[str, Any]) -> None:
        import optuna

        self.sweep, self.journal = sweep, journal
        self.distributions = {p.name: p.distribution() for p in sweep.parameters}
        identity = {
            "method": sweep.method,
            "metric": {"name": sweep.metric.key, "goal": "maximize" if sweep.metric.higher else "minimize"},
            "early_terminate": None if sweep.termination is None else str(sweep.termination),
            "parameters": {p.name: str(self.distributions[p.name]) for p in sweep.parameters},
            "configuration": json.loads(json.dumps(configuration, default=str)),
        }
        self.name = f"{sweep.path.stem}-{sha256(identity)[:8]}"
        storage = open_journal(journal)
        before = optuna.get_all_study_names(storage)
        if before and self.name not in before:
            self._tell_of_change(optuna.load_study(study_name=before[-1], storage=storage), identity)
        self.study: Study = optuna.create_study(
            study_name=self.name,
            storage=storage,
            direction=identity["metric"]["goal"],
            load_if_exists=True,
        )
        if "sweep" not in self.study.user_attrs:
            self.study.set_user_attr("sweep", identity)

    def _tell_of_change(self, earlier: Study, identity: Mapping[str, Any]) -> None:
        changed = differences(earlier.user_attrs.get("sweep", {}), identity)
        shown = "; ".join(f"{key}: {old!r} → {new!r}" for key, (old, new) in list(changed.items())[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        print(f"{self.journal}: the sweep has changed since ({shown}{more}); it begins anew beside it")

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials so far, in their order."""
        return self.study.get_trials(deepcopy=False)

    @property
    def exhausted(self) -> bool:
        """Whether as many runs have been handed out as there are to be."""
        from optuna.trial import TrialState

        trials = self.trials
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        return len(trials) >= self.sweep.size and not waiting

    def next(self) -> Trial:
        """Return a trial that nobody has yet; one agent at a time may ask."""
        import optuna

        trials = self.trials
        number = len(trials)
        startup = min(_RANDOM, max(4, self.sweep.size // 4))
        self.study.sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=startup)
        listed = self.sweep.method != "bayes"
        if listed and not any(trial.state == optuna.trial.TrialState.WAITING for trial in trials):
            row = self.sweep.rows()[number]
            self.study.enqueue_trial({p.name: p.stored(row[p.name]) for p in self.sweep.parameters})
        return self.study.ask(self.distributions)

    def again(self, frozen: FrozenTrial) -> Trial:
        """Return a trial that an agent was killed at, to go on with; with what it had not chosen yet."""
        import optuna

        self.study.sampler = optuna.samplers.TPESampler(seed=frozen.number)
        trial = optuna.trial.Trial(self.study, frozen._trial_id)
        for name, distribution in self.distributions.items():
            if name not in frozen.params:
                trial._suggest(name, distribution)
        return trial

    def values(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a trial's parameters as the command line has them."""
        return {p.name: p.restored(stored[p.name]) for p in self.sweep.parameters}
