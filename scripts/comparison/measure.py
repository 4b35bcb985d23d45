"""How a trained arm is turned into figures: `Measure`, and the usual one, `main.py test`."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from main import main
from scripts.comparison.configuration import sha256, words
from scripts.comparison.definition import Layers, MeasureSettings
from scripts.comparison.draws import Draws
from scripts.comparison.files import write_json
from scripts.comparison.fit import one_device
from scripts.comparison.placeholders import fill
from scripts.comparison.run import Run
from scripts.resolved_config import resolved_config

MAIN_TEST = "scripts.comparison.measure.MainTest"


@dataclass(frozen=True)
class Measured:
    """What was measured of one run.

    Attributes:
        metrics: Figures by name.
        details: What stands behind them, by the part of their names that they share, as in ``summary.json``:
            ``{"test/probe": {"intervals": {"auroc_macro": [low, high]}, "split_sha256": …}}``.
        draws: Figures in each bootstrap resample of the test patients.
    """

    metrics: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)
    draws: Draws = field(default_factory=Draws)

    @classmethod
    def of_test(cls, directory: Path) -> Measured:
        """Read what a test has left in its directory: ``summary.json`` and ``bootstrap.npz``."""
        summary = json.loads((directory / "summary.json").read_text())
        details = summary.pop("details", {})
        return cls(summary, details, Draws.of_run(directory / "bootstrap.npz"))


class Measure(ABC):
    """Turns a trained run into figures. Its arguments are the measure's ``init_args`` in the YAML."""

    def identity(self, run: Run) -> Any:
        """Return what changes the figures beside the arguments and the training: a change measures again."""
        return None

    @abstractmethod
    def measure(self, run: Run, directory: Path) -> Measured:
        """Measure a run.

        Args:
            run: A run whose training, if it has one, has finished.
            directory: Belongs to this measure of this run alone; empty.
        """

    def report(self, directories: Mapping[str, Path], out: Path) -> None:  # noqa: B027  most have nothing to draw
        """Draw or tabulate what a table of figures cannot show; nothing by default.

        Args:
            directories: Title of the arm → directory of its first measured seed, in the order of the table.
            out: Where results go.
        """


class MainTest(Measure):
    """`main.py test` of the last checkpoint, with other data and callbacks than the training had.

    Args:
        layers: YAML files over base and scale.
        overrides: Values over them.
        arm: Whether the arm's own layers lie under them. A task's data and callbacks come from its layer; the
            data of an arm that differs in its training pairs must not.
        checkpoint: Which one, below the directory of the run.
    """

    def __init__(
        self,
        layers: Sequence[str] = (),
        overrides: Mapping[str, Any] | None = None,
        arm: bool = False,
        checkpoint: str = "checkpoints/last.ckpt",
    ) -> None:
        self.layers = Layers(tuple(layers), dict(overrides or {}))
        self.arm, self.checkpoint = arm, checkpoint

    def arguments(self, run: Run) -> tuple[str, ...]:
        """Return what stands after `test`, but for checkpoint, tokenizer and directory."""
        own = run.arm.layers if self.arm else Layers()
        return words(fill_layers(run.below + own + self.layers + run.over, run.facts))

    def identity(self, run: Run) -> Any:
        """Return the resolved configuration of the test."""
        return resolved_config("test", *self.arguments(run))

    def measure(self, run: Run, directory: Path) -> Measured:
        """Test, and read what that leaves."""
        given = [
            f"--ckpt_path={run.directory / self.checkpoint}",
            f"--data.init_args.tokenizer.path={run.directory / 'tokenizer'}",
            f"--run_dir={directory}",
            *one_device(self.identity(run)),
        ]
        main(["test", *self.arguments(run), *given])
        return Measured.of_test(directory / "test")


class TrainingSummary(Measure):
    """What the training itself left in ``summary.json``: figures of its last validation."""

    def measure(self, run: Run, directory: Path) -> Measured:
        """Read the file."""
        return Measured.of_test(run.directory)


def fill_layers(layers: Layers, facts: Mapping[str, str]) -> Layers:
    """Put facts into the placeholders of layers."""
    return Layers(tuple(fill(list(layers.files), facts)), fill(layers.overrides, facts))


def build(settings: MeasureSettings, run: Run) -> Measure:
    """Return the measure that a comparison asks for, with what the arm changes in it.

    Raises:
        ValueError: If the arguments are not those of the class; names measure, arm and reason.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    arguments = fill({**settings.init_args, **run.arm.settings.get(settings.name, {})}, run.facts)
    if settings.class_path == MAIN_TEST:  # jsonargparse would build the callbacks among its overrides
        return MainTest(**arguments)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Measure, "measure")
    given = {"measure": {"class_path": settings.class_path, "init_args": arguments}}
    try:
        found: Measure = parser.instantiate(parser.parse_object(given)).measure
    except ArgumentError as error:
        raise ValueError(f"measure {settings.name} of {run.name}: {error}") from error
    return found


def measured(settings: MeasureSettings, run: Run) -> Measured:
    """Return the figures of a run, measured now unless this very measure was taken here before.

    Args:
        settings: Which measure.
        run: A run that has been trained.
    """
    measure = build(settings, run)
    arguments = {**settings.init_args, **run.arm.settings.get(settings.name, {})}
    fingerprint = sha256([settings.class_path, arguments, measure.identity(run), run.fingerprint()])
    directory = place(settings, run)
    result = directory / "measured.json"
    if result.exists() and (found := json.loads(result.read_text()))["fingerprint"] == fingerprint:
        return Measured(found["metrics"], found["details"], Draws.read(directory / "draws.npz"))
    print(f"{run.name}: measuring, {settings.name}")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    made = measure.measure(run, directory)
    made.draws.write(directory / "draws.npz")
    content = {"fingerprint": fingerprint, "metrics": dict(made.metrics), "details": dict(made.details)}
    write_json(result, content)
    return made


def place(settings: MeasureSettings, run: Run) -> Path:
    """Return the directory of a measure of a run."""
    return run.directory / "measured" / settings.name
