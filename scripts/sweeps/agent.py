"""An agent of a sweep: takes one run after the other until all are done; others may do so beside it."""

from __future__ import annotations

import datetime
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from callbacks.run.progress_lines import followed_by
from scripts.command_line.errors import answered, debugging
from scripts.comparison.engine import Plan, tell_rest
from scripts.comparison.labels import labelled
from scripts.comparison.measure import Measured
from scripts.comparison.run import Run
from scripts.sweeps.metric_missing import MetricMissing
from scripts.sweeps.sweep_file import SweepFile
from scripts.sweeps.sweep_study import SweepStudy
from synthesis.files import locked

if TYPE_CHECKING:
    from optuna.trial import Trial

_WAIT = 2.0  # seconds between two looks at what other agents are at
_FACTS = ("global_step", "samples", "minutes", "threads", "commit", "date")


class Agent:
    """Trains the runs of a sweep that no other agent is at.

    A run is held by a lock, which ends with its agent, however that ends: another one then goes on with the
    run from its last checkpoint. What failed is tried again the next time, not by agents that are at work.

    Args:
        study: The sweep's runs.
        plan: Where they go, and at what scale.
    """

    def __init__(self, study: SweepStudy, plan: Plan) -> None:
        self.study, self.plan = study, plan
        self._began = _now()
        self._others_at_work = False

    @property
    def sweep(self) -> SweepFile:
        """The sweep file."""
        return self.study.sweep

    def work(self) -> None:
        """Carry out runs until none is left.

        Raises:
            MetricMissing: If the runs do not measure what the sweep ranks by.
        """
        seconds: list[float] = []
        while True:
            with ExitStack() as held:
                claimed = self._claim(held)
                if claimed is not None:
                    began, rest = time.monotonic(), max(0, self.sweep.size - len(self.study.trials))
                    with followed_by(rest):
                        if self._try(*claimed):
                            seconds.append(time.monotonic() - began)
                            tell_rest(seconds, rest)
                    continue
            if not self._others_at_work:
                return
            time.sleep(_WAIT)

    def _claim(self, held: ExitStack) -> tuple[Trial, Run] | None:
        """Return a run that is this agent's until `held` is closed; None if there is none to be had now."""
        from optuna.trial import TrialState

        self._others_at_work = False
        with locked(self.plan.out, ".study.lock"):
            for frozen in self.study.trials:
                tried = frozen.user_attrs.get("failed_at", "") >= self._began
                if frozen.state != TrialState.RUNNING or tried:
                    continue
                trial = self.study.again(frozen)
                if (run := self._held(trial, held)) is not None:
                    if self.study.trials[trial.number].state == TrialState.RUNNING:
                        return trial, run
                    held.close()  # its agent has ended it since
            while not self.study.exhausted:
                trial = self.study.next()
                if (run := self._held(trial, held)) is not None:
                    return trial, run
        return None

    def _held(self, trial: Trial, held: ExitStack) -> Run | None:
        """Return the run of a trial, locked; None if another agent is at it, or at one of the same values."""
        run = self.plan.run(self.sweep.arm(self.study.values(trial.params)), self.plan.all_seeds[0])
        run.directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.enter_context(locked(run.directory.parent, f".{run.directory.name}.lock", wait=False))
        except BlockingIOError:
            self._others_at_work = True
            return None
        return run

    def _try(self, trial: Trial, run: Run) -> bool:
        """Carry out a run; return whether that went well."""
        try:
            self._carry_out(trial, run)
        except MetricMissing:
            raise
        except Exception as error:  # named under the table; the other runs are none the worse
            sys.stderr.write(traceback.format_exc() if debugging() else answered(error))
            self._failed(trial, " ".join(f"{type(error).__name__}: {error}".split())[:300])
            return False
        return True

    def _carry_out(self, trial: Trial, run: Run) -> None:
        from optuna.trial import TrialState

        if "pruned" not in trial.user_attrs:
            with labelled(self.plan, run):
                facts = run.train(self.plan.resume_minutes, [self._reporter(trial)])
            trial.set_user_attr("facts", {name: facts.get(name) for name in _FACTS})
        if "pruned" in self.study.trials[trial.number].user_attrs:
            (run.directory / "fitted.json").unlink(missing_ok=True)  # another sweep may want the whole of it
            self.study.study.tell(trial.number, state=TrialState.PRUNED)
            return
        metric = self.sweep.metric.key
        value = Measured.of_test(run.directory).metrics.get(metric)
        if value is None:  # not finite, or not measured: its training has ended, so it would be so again
            trial.set_user_attr("failed", f"{metric} is no number in {run.directory / 'summary.json'}")
            self.study.study.tell(trial.number, state=TrialState.FAIL)
            return
        self.study.study.tell(trial.number, value)

    def _failed(self, trial: Trial, reason: str) -> None:
        trial.set_user_attr("failed", reason)
        trial.set_user_attr("failed_at", _now())

    def _reporter(self, trial: Trial) -> Mapping[str, Any]:
        """Return the callback that tells the study of validations."""
        termination = self.sweep.termination
        return {
            "class_path": "scripts.sweeps.trial_reporter.TrialReporter",
            "init_args": {
                "journal": str(self.study.journal),
                "study": self.study.name,
                "number": trial.number,
                "metric": self.sweep.metric.key,
                "file": str(self.sweep.path),
                "termination": None if termination is None else asdict(termination),
            },
        }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()
