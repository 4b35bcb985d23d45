"""Runs a comparison: trains what is missing, measures it, records it; several processes share the work."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from callbacks.run.progress_lines import followed_by
from scripts.command_line.errors import answered, debugging
from scripts.comparison.configuration import check_equal, words
from scripts.comparison.definition import (
    Arm,
    Comparison,
    Layers,
    MeasureSettings,
    ScaleSettings,
)
from scripts.comparison.draws import Draws
from scripts.comparison.labels import labelled
from scripts.comparison.measure import fill_layers, measured
from scripts.comparison.record import Figure, Record, RunRecord, figures_of
from scripts.comparison.run import RESUME_MINUTES, Run
from synthesis.files import locked
from synthesis.progress import duration, write_line

_WAIT = 2.0  # seconds between two looks at what another process has claimed


@dataclass(frozen=True)
class Plan:
    """A comparison at a scale, in a directory.

    Attributes:
        comparison: What is compared.
        scale: Name of one of its scales.
        out: Directory of record, tables and pictures, with ``runs/`` for the runs.
        seeds: In place of the scale's.
        arms: Those that run here; None for all. The table shows all that the record holds.
        cache: Directory of pair caches, for ``{cache}``.
        variables: In place of the comparison's.
        overrides: Values over everything, for all trainings that have the comparison's base.
        precision: Value of `--trainer.precision` for training and test; None leaves it to the YAML.
        resume_minutes: Time between two checkpoints to go on from.
    """

    comparison: Comparison
    scale: str
    out: Path
    seeds: tuple[int, ...] = ()
    arms: tuple[str, ...] | None = None
    cache: Path = Path("cache")
    variables: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    precision: str | None = None
    resume_minutes: float = RESUME_MINUTES

    def __post_init__(self) -> None:
        """Refuse names that the comparison does not know.

        Raises:
            ValueError: Naming the scale or the arms, and those that there are.
        """
        known = self.comparison.scales
        if self.scale not in known:
            raise ValueError(f"{self.comparison.name}: no scale {self.scale!r}; there are {list(known)}")
        lines = self.comparison.lines
        if unknown := [name for name in self.arms or () if name not in lines]:
            raise ValueError(f"{self.comparison.name}: no such arms: {unknown}; there are {list(lines)}")
        given = self.comparison.variables
        if unknown := [name for name in self.variables if name not in given]:
            raise ValueError(f"{self.comparison.name}: no such variables: {unknown}; there are {list(given)}")

    @property
    def settings(self) -> ScaleSettings:
        """The scale."""
        return self.comparison.scales[self.scale]

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds that run here."""
        return self.seeds or self.settings.seeds or self.comparison.seeds

    @property
    def all_variables(self) -> dict[str, str]:
        """The comparison's variables with what the scale and the command line change in them."""
        return {**self.comparison.variables, **self.settings.variables, **self.variables}

    @property
    def record(self) -> Record:
        """The file of all figures."""
        return Record(self.out / "runs.csv")

    @property
    def measures(self) -> tuple[MeasureSettings, ...]:
        """The measures with what the scale changes in them."""
        return tuple(
            replace(m, init_args={**m.init_args, **self.settings.settings.get(m.name, {})})
            for m in self.comparison.measures
        )

    def wanted(self) -> list[Run]:
        """Return the runs of the table that are to be there when all is done, seed by seed."""
        lines = self.comparison.lines
        names = [name for name in lines if self.arms is None or name in self.arms]
        return [self.run(lines[name], seed) for seed in self.all_seeds for name in names]

    def run(self, arm: Arm, seed: int) -> Run:
        """Return an arm's run of a seed."""
        comparison, runs = self.comparison, self.out / "runs"
        directory = runs / f"{arm.slug}-{seed}"
        others = {
            f"run:{name}": str(runs / f"{other.slug}-{seed}") for name, other in comparison.arms.items()
        }
        facts = {
            "runs": str(runs),
            "cache": str(self.cache),
            "seed": str(seed),
            "arm": arm.name,
            "run": str(directory),
            **self.all_variables,
            **others,
        }
        precision = {} if self.precision is None else {"trainer.precision": self.precision}
        seeded = {} if "seed_everything" in arm.layers.overrides else {"seed_everything": seed}
        given = Layers((), {**(self.overrides if arm.base else {}), **precision, **seeded})
        layers = comparison.layers_of(arm, self.settings, self.scale) + given
        return Run(
            arm=arm,
            seed=seed,
            directory=directory,
            args=words(fill_layers(layers, facts)),
            below=comparison.base + self.settings.layers,
            over=self.settings.test + Layers((), precision),
            facts=facts,
        )

    def check(self) -> None:
        """Refuse chosen arms that do not train as the reference does, before anything is run.

        Raises:
            ValueError: Naming the key, the arms and their values.
        """
        seed = self.all_seeds[0]
        chosen = None if self.arms is None else {*self.arms, self.comparison.reference}
        configs = {
            name: self.run(arm, seed).config()
            for name, arm in self.comparison.lines.items()
            if arm.trained and (chosen is None or name in chosen)
        }
        ruled = {"trainer.max_epochs"} if self.settings.epochs is not None else set()
        equal = [key for key in self.comparison.equal if key not in ruled]
        if configs:
            check_equal(configs, equal, f"comparison {self.comparison.name}")


def carry_out(plan: Plan) -> dict[str, str]:
    """Train, measure and record what is missing; return what failed: name of the run → reason.

    Each run is claimed by a lock. What another process has claimed is left to it, and waited for at the end;
    if that process has died, it is gone on with here. A run that fails does not keep the others from running.

    Raises:
        SystemExit: If the place of the results is a file.
        ValueError: If the arms do not train alike.
    """
    if plan.out.exists() and not plan.out.is_dir():
        raise SystemExit(f"--out={plan.out} is a file; give the path of a directory")
    waiting = plan.wanted()
    if waiting:
        plan.check()
    failed: dict[str, str] = {}
    seconds: list[float] = []
    if fits := _untrained(waiting):
        write_line(f"{fits} of {len(waiting)} runs are to be trained, one after another")
    while waiting:
        left = []
        for place, run in enumerate(waiting):
            new, others, began = _untrained([run]), _untrained(waiting[place + 1 :]), time.monotonic()
            try:
                with followed_by(others), labelled(plan, run):
                    done = _with_stages(plan, run)
                if not done:
                    left.append(run)
                elif new:
                    seconds.append(time.monotonic() - began)
                    tell_rest(seconds, others)
            except Exception as error:  # named in the table; the other arms are none the worse
                sys.stderr.write(traceback.format_exc() if debugging() else answered(error))
                failed[run.name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        if len(left) == len(waiting):  # all in other hands
            time.sleep(_WAIT)
        waiting = left
    return failed


def _untrained(runs: list[Run]) -> int:
    """Return how many of some runs have not been trained yet, by what lies in their directories."""
    return sum(run.arm.trained and not (run.directory / "fitted.json").exists() for run in runs)


def tell_rest(seconds: Sequence[float], others: int) -> None:
    """Say how long other runs will take, by what these took."""
    if others:
        rest = duration(others * sum(seconds) / len(seconds))
        write_line(f"{len(seconds)} done, {others} to go: about {rest} on this machine")


def _with_stages(plan: Plan, run: Run) -> bool:
    """Do a run and what it needs before; return whether it is done, False if another process is at it."""
    earlier = [plan.comparison.arms[name] for name in plan.comparison.earlier(run.arm, plan.scale)]
    for arm in earlier:
        if not _with_stages(plan, replace_measured(plan.run(arm, run.seed))):
            return False
    runs = run.directory.parent
    runs.mkdir(parents=True, exist_ok=True)
    try:
        with locked(runs, f".{run.directory.name}.lock", wait=False):
            run.train(plan.resume_minutes)
            if run.arm.measured:
                record(plan, run)
    except BlockingIOError:
        return False
    return True


def replace_measured(run: Run) -> Run:
    """Return a run as a stage of another one: trained, and not measured."""
    return replace(run, arm=replace(run.arm, measured=False))


def record(plan: Plan, run: Run) -> None:
    """Measure a trained run and put its figures into the record."""
    facts = run.train()
    before = [plan.run(plan.comparison.arms[name], run.seed).train() for name in _counted(plan, run.arm)]
    for name in ("global_step", "samples", "minutes"):
        if before and all(one.get(name) is not None for one in (facts, *before)):
            facts = {**facts, name: sum(one[name] for one in (facts, *before))}
    figures: dict[str, Figure] = {}
    values: dict[str, Any] = {}
    samples: dict[str, str] = {}
    split = ""
    keys = [metric.key for metric in plan.comparison.metrics]
    for settings in plan.measures:
        prefix = "" if settings.name == "test" else f"{settings.name}:"
        found, draws, its_split = figures_of(measured(settings, run), prefix, keys)
        figures |= found
        values |= draws.values
        samples |= draws.sample
        split = split or its_split
    known = {
        "steps": facts.get("global_step"),
        **{name: facts.get(name) for name in ("samples", "minutes", "threads", "commit", "date")},
        "precision": _precision(run.config()),
        "split_sha256": split,
    }
    texts = {name: str(value) for name, value in known.items() if value not in (None, "")}
    ordered = {key: figures[key] for key in keys if key in figures}
    if missing := [key for key in keys if key not in figures]:
        print(f"{run.name}: no figure {missing}; the table will say so")
    if not ordered:
        raise ValueError(f"{run.name}: none of the metrics {keys} was measured; correct `metrics`")
    plan.record.add(RunRecord(run.arm.name, run.seed, texts, ordered, Draws(values, samples)))


def _counted(plan: Plan, arm: Arm) -> list[str]:
    """Return all that an arm goes on from, and what these go on from."""
    return [name for one in arm.counts for name in (one, *_counted(plan, plan.comparison.arms[one]))]


def _precision(config: Mapping[str, Any]) -> str | None:
    """Return the precision of training; None in the YAML is Lightning's default."""
    return (config["trainer"]["precision"] or "32-true") if config else None


def check_alike(plan: Plan, runs: list[RunRecord]) -> None:
    """Refuse a record whose runs did not train for equally many steps, or were tested on different pairs.

    Raises:
        ValueError: Naming record, runs and values.
    """
    if plan.comparison.budget == "steps":
        lengths = {run.name: plan.comparison.length(run.arm) for run in runs}
        steps = {run.name: run.facts.get("steps") for run in runs}
        once = {n: s if s is None else f"{float(s) / lengths[n]:.10g}" for n, s in steps.items()}
        _same("number of steps", once, plan.record.path)
    for seed in sorted(
        {run.seed for run in runs}
    ):  # the arms of a seed: others may be of other days and code
        splits = {run.name: run.facts.get("split_sha256") for run in runs if run.seed == seed}
        _same("test split", splits, plan.record.path)


def _same(what: str, values: Mapping[str, str | None], path: Path) -> None:
    if len({value for value in values.values() if value is not None}) > 1:
        raise ValueError(f"{path}: the runs differ in {what}, so they cannot be compared: {dict(values)}")
