"""A sweep file of W&B, and what it asks to be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from scripts.comparison.definition import Arm, Comparison, Layers, Metric, ScaleSettings
from scripts.sweeps.early_termination import EarlyTermination
from scripts.sweeps.parameter import Parameter
from synthesis.configuration import located, shipped
from synthesis.strict_yaml import read_mapping

RECIPES = Path("configs/recipes")
USUAL_RUNS = 20  # of random and bayes without run_cap, which W&B would never end
LAYER = "config"
"""The parameter whose values are layers, as ``--config`` is on the command line."""

_NEEDED = ("program", "command", "method", "metric", "parameters")
_OPTIONAL = ("name", "description", "run_cap", "early_terminate", "project", "entity")


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says.

    Attributes:
        path: The file, as it was named.
        method: ``grid``, ``random`` or ``bayes``.
        metric: Figure of validation that runs are ranked by.
        parameters: What is varied.
        under: What the command lays under the parameters …
        over: … and over them.
        run_cap: How many runs there are at most; None for all of a grid, else `USUAL_RUNS`.
        termination: When runs that fall behind end; None for never.
    """

    path: Path
    method: str
    metric: Metric
    parameters: tuple[Parameter, ...]
    under: Layers
    over: Layers
    run_cap: int | None = None
    termination: EarlyTermination | None = None

    @classmethod
    def read(cls, path: Path) -> SweepFile:
        """Read a sweep file.

        Args:
            path: YAML in the form of W&B's sweep configuration, here or among those shipped.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no sweep of `main.py fit` that can be carried out here; names file, key,
                value and remedy.
        """
        sweep = read_mapping(located(path))
        for key in _NEEDED:
            if key not in sweep:
                raise ValueError(
                    f"{path}: key '{key}' is missing: add it, as in configs/sweeps/temperature.yaml"
                )
        if unknown := sorted(sweep.keys() - {*_NEEDED, *_OPTIONAL}):
            raise ValueError(
                f"{path}: {', '.join(unknown)}: nothing here reads that; leave it out, or use `make sweep`"
            )
        if sweep["method"] not in ("grid", "random", "bayes"):
            raise ValueError(f"{path}: method is {sweep['method']!r}; give grid, random or bayes")
        under, over = _split_command(sweep["command"], path)
        return cls(
            path,
            sweep["method"],
            _metric(sweep["metric"], path),
            _parameters(sweep["parameters"], sweep["method"], path),
            under,
            over,
            _run_cap(sweep.get("run_cap"), path),
            EarlyTermination.read(sweep.get("early_terminate"), str(path)),
        )

    @property
    def size(self) -> int:
        """How many runs there are."""
        if self.method != "grid":
            return self.run_cap or USUAL_RUNS
        return len(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Return the values of every run of a grid or random sweep; of bayes, values that it may choose."""
        names = [parameter.name for parameter in self.parameters]
        if self.method == "grid":
            grid = product(*(parameter.choices for parameter in self.parameters))
            return [dict(zip(names, values, strict=True)) for values in grid][: self.run_cap]
        rng = np.random.default_rng(0)
        return [{p.name: p.draw(rng) for p in self.parameters} for _ in range(self.size)]

    def layers(self, values: Mapping[str, Any]) -> Layers:
        """Return what some values lay between the two ends of the command."""
        files = (values[LAYER],) if LAYER in values else ()
        return Layers(files, {key: value for key, value in values.items() if key != LAYER})

    def arm(self, values: Mapping[str, Any]) -> Arm:
        """Return the run with some values as an arm of a comparison."""
        name = ", ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in values.items())
        return Arm(name, self.under + self.layers(values) + self.over)

    def comparison(self) -> Comparison:
        """Return the frame of the runs, whose arms `arm` gives: scales, seed, directory of results."""
        return Comparison(
            name=self.path.stem,
            title=self.path.stem,
            arms={},
            reference="",
            seeds=(0,),
            scales=scales(),
            metrics=(self.metric,),
            budget="none",
        )


def scales() -> dict[str, ScaleSettings]:
    """Return the scales of every sweep: ``full``, as its file says, and a recipe laid over that."""
    recipes = {path.name for folder in (RECIPES, shipped(RECIPES)) for path in folder.glob("*.yaml")}
    return {"full": ScaleSettings()} | {
        name.removesuffix(".yaml"): ScaleSettings(Layers((str(RECIPES / name),))) for name in sorted(recipes)
    }


def _short(value: Any) -> Any:
    """Return a value as the name of a run has it: of a layer what stands below ``configs/``."""
    layer = isinstance(value, str) and value.endswith(".yaml")
    return value.removeprefix("configs/").removesuffix(".yaml") if layer else value


def _metric(metric: Any, path: Path) -> Metric:
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        raise ValueError(f"{path}: metric is {metric!r}; write {{name: val/…, goal: maximize}}")
    goal = metric.get("goal", "minimize")  # as W&B
    if goal not in ("minimize", "maximize"):
        raise ValueError(f"{path}: metric.goal is {goal!r}; give minimize or maximize")
    if not metric["name"].startswith("val/"):
        raise ValueError(
            f"{path}: metric.name is {metric['name']}: runs are ranked by their validation; give val/…"
        )
    return Metric(metric["name"], metric["name"], goal == "maximize")


def _parameters(given: Any, method: str, path: Path) -> tuple[Parameter, ...]:
    if not isinstance(given, dict) or not given:
        raise ValueError(f"{path}: parameters is {given}; write a mapping {{name: {{values: […]}}}}")
    found = tuple(Parameter.read(str(name), spec, str(path)) for name, spec in given.items())
    for parameter in found:
        at = f"{path}: parameter '{parameter.name}' is {given[parameter.name]}"
        if method == "grid" and parameter.shape:
            raise ValueError(f"{at}: a grid needs 'values'; give {{values: [1, 2]}}, or take random or bayes")
        if method != "random" and parameter.probabilities is not None:
            raise ValueError(
                f"{at}: only random draws by probabilities; leave them out, or take method: random"
            )
        if parameter.name == LAYER and not all(str(value).endswith(".yaml") for value in parameter.choices):
            raise ValueError(f"{at}: config stands for a layer; give paths of YAML files")
    return found


def _run_cap(cap: Any, path: Path) -> int | None:
    if cap is not None and (not isinstance(cap, int) or cap < 1):
        raise ValueError(f"{path}: run_cap is {cap!r}; give a whole number from 1, or leave it out")
    return cap


def _split_command(command: Any, path: Path) -> tuple[Layers, Layers]:
    """Return what a sweep's command lays under and over the parameters of a run."""
    if not isinstance(command, list) or "fit" not in command or "${args}" not in command:
        raise ValueError(f"{path}: command is {command}: give fit and ${{args}} among its words")
    words = [str(word) for word in command[command.index("fit") + 1 :]]
    place = words.index("${args}")
    return _layers(words[:place], path), _layers(words[place + 1 :], path)


def _layers(words: Sequence[str], path: Path) -> Layers:
    files: list[str] = []
    overrides: dict[str, Any] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if word in ("-c", "--config") and left:
            files.append(left.pop(0))
        elif word.startswith("--") and equals:
            overrides[key] = value
        else:
            raise ValueError(f"{path}: command has {word!r}: write -c FILE or --key=value")
    return Layers(tuple(files), overrides)
