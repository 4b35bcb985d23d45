"""One parameter of a sweep file: the values it may take, or how they are distributed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_RANGES = ("int_uniform", "uniform", "q_uniform", "log_uniform_values")
_LISTED = ("categorical", "categorical_w_probabilities", "constant")
_KEYS = {"value", "values", "probabilities", "distribution", "min", "max", "q"}


@dataclass(frozen=True)
class Parameter:
    """A key of the configuration, and where its values come from.

    Attributes:
        name: The key with dots; ``config`` stands for one more layer.
        where: The file that it is of, for messages.
        choices: The values, where they are listed.
        probabilities: Of each of them; None draws all equally often.
        shape: ``int_uniform``, ``uniform``, ``q_uniform`` or ``log_uniform_values`` where they are not.
        low: Least value.
        high: Greatest value.
        step: Of ``q_uniform``: values are this far apart.
    """

    name: str
    where: str
    choices: Sequence[Any] = ()
    probabilities: Sequence[float] | None = None
    shape: str = ""
    low: float = 0
    high: float = 0
    step: float = field(default=1, kw_only=True)

    @classmethod
    def read(cls, name: str, spec: Any, where: str) -> Parameter:
        """Read what a sweep file says of a parameter, in W&B's terms.

        Raises:
            ValueError: If it cannot be carried out without W&B's server; names file, key, value and remedy.
        """
        at = f"{where}: parameter '{name}' is {spec}"
        if not isinstance(spec, Mapping):
            raise ValueError(f"{at}; write {{values: [1, 2]}}, {{value: 1}} or {{min: 0.1, max: 1.0}}")
        if "parameters" in spec:
            raise ValueError(f"{at}, which is nested: write flat names with dots, as in model.init_args.lr")
        if unknown := sorted(spec.keys() - _KEYS):
            raise ValueError(
                f"{at}: nothing here reads {', '.join(unknown)}; leave it out, or use `make sweep`"
            )
        if "value" in spec or "values" in spec:
            return cls(name, where, *_listed(spec, at))
        if not {"min", "max"} <= spec.keys():
            raise ValueError(f"{at}: give 'values', 'value', or 'min' and 'max'")
        return cls(name, where, **_range(spec, at))

    def draw(self, rng: np.random.Generator) -> Any:
        """Return a value at random."""
        match self.shape:
            case "":
                return self.choices[rng.choice(len(self.choices), p=self.probabilities)]
            case "int_uniform":
                return int(rng.integers(int(self.low), int(self.high), endpoint=True))
            case "uniform":
                return float(rng.uniform(self.low, self.high))
            case "q_uniform":
                steps = int(
                    rng.integers(0, math.floor((self.high - self.low) / self.step + 1e-9), endpoint=True)
                )
                return self.low + steps * self.step
            case _:
                return float(np.exp(rng.uniform(math.log(self.low), math.log(self.high))))

    def distribution(self) -> BaseDistribution:
        """Return the same for Optuna, in whose terms a study keeps it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        match self.shape:
            case "":
                return CategoricalDistribution([self.stored(value) for value in self.choices])
            case "int_uniform":
                return IntDistribution(int(self.low), int(self.high))
            case "q_uniform" if all(isinstance(number, int) for number in (self.low, self.high, self.step)):
                return IntDistribution(int(self.low), int(self.high), step=int(self.step))
            case "q_uniform":
                return FloatDistribution(self.low, self.high, step=self.step)
            case _:
                return FloatDistribution(self.low, self.high, log=self.shape == "log_uniform_values")

    def stored(self, value: Any) -> Any:
        """Return a value as a study keeps it: lists and mappings as JSON."""
        return json.dumps(value) if isinstance(value, list | dict) else value

    def restored(self, stored: Any) -> Any:
        """Return the value that `stored` made this of."""
        return next((value for value in self.choices if self.stored(value) == stored), stored)


def _listed(spec: Mapping[str, Any], at: str) -> tuple[list[Any], list[float] | None]:
    """Return values and probabilities."""
    if spec.get("distribution", "categorical") not in _LISTED:
        raise ValueError(f"{at}: listed values have no distribution; leave it out")
    choices = [spec["value"]] if "value" in spec else spec["values"]
    if not isinstance(choices, list) or not choices:
        raise ValueError(f"{at}: give a list of one value or more, as in values: [1, 2]")
    weights = spec.get("probabilities")
    if weights is not None and (len(weights) != len(choices) or not math.isclose(sum(weights), 1)):
        raise ValueError(f"{at}: give a probability for each value, with the sum 1")
    return choices, weights


def _range(spec: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return the shape of a range, and its bounds."""
    low, high, step = spec["min"], spec["max"], spec.get("q", 1)
    if not all(isinstance(number, int | float) for number in (low, high, step)) or low > high or step <= 0:
        raise ValueError(f"{at}: give numbers, min not over max, q above 0 (YAML reads 1e-3 as text: 1.0e-3)")
    whole = isinstance(low, int) and isinstance(high, int)
    shape = spec.get("distribution", "int_uniform" if whole else "uniform")
    if shape not in _RANGES:
        raise ValueError(
            f"{at}: distribution '{shape}' needs W&B's server (`make sweep`); give one of {_RANGES}"
        )
    if shape == "int_uniform" and not whole:
        raise ValueError(f"{at}: int_uniform takes whole numbers; write distribution: uniform")
    if shape == "log_uniform_values" and low <= 0:
        raise ValueError(f"{at}: a logarithmic range begins above 0; raise min")
    if "q" in spec and shape != "q_uniform":
        raise ValueError(f"{at}: q belongs to q_uniform; leave it out, or write distribution: q_uniform")
    return {"shape": shape, "low": low, "high": high, "step": step}
