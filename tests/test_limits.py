"""Numbers that cannot be meant are refused by the class that is given them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from synthesis.limits import above, at_least, below, within

# Negative numbers that are meant.
SIGNED = {
    ("SigLIP", "bias"),
    ("ReportGeneration", "length_penalty"),
    ("RunCheckpoint", "save_top_k"),
    ("RunStopping", "stopping_threshold"),
    ("RunStopping", "divergence_threshold"),
}
# Refused together with others, or by Lightning, under the name of the class or the argument.
WITH_OTHERS = {
    ("MGCA", "weight"),
    ("MGCA", "temperature"),
    ("GLoRIA", "weight"),
    ("RunCheckpoint", "every_n"),
}
# Numbers that a directory holds, which is looked into first; or no numbers of ours.
LATER = {
    "AdversarialImageMaker",
    "VariationalImageMaker",
    "ImageQuestions",
    "ImageReports",
    "LabelledImages",
    "WeightAverage",
}


def arguments(found: type) -> dict[str, inspect.Parameter]:
    """What a constructor takes, those that it passes on included."""
    named: dict[str, inspect.Parameter] = {}
    for part in found.__mro__:
        if "__init__" not in vars(part):
            continue
        own = inspect.signature(vars(part)["__init__"]).parameters.values()
        for parameter in own:
            if parameter.name != "self" and parameter.kind not in (
                parameter.VAR_KEYWORD,
                parameter.VAR_POSITIONAL,
            ):
                named.setdefault(parameter.name, parameter)
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in own):
            break
    return named


def numbers() -> Iterator[tuple[type, str]]:
    """Every number that a class which YAML can name takes."""
    for package in ("synthesis", "datamodules", "lightning_modules", "callbacks"):
        module = importlib.import_module(package)
        for name in module.__all__:
            found = getattr(module, name)
            if (
                not inspect.isclass(found)
                or inspect.isabstract(found)
                or getattr(found, "_is_protocol", False)
            ):
                continue
            for argument, parameter in arguments(found).items():
                kind = str(parameter.annotation)
                if any(part in kind for part in ("int", "float")) and not any(
                    part in kind for part in ("dict", "Mapping", "Literal", "str")
                ):
                    yield found, argument


@pytest.mark.parametrize(
    ("found", "argument"), list(numbers()), ids=lambda part: getattr(part, "__name__", part)
)
def test_a_negative_number_is_refused_by_name(
    found: type, argument: str, tmp_path: Any, monkeypatch: Any
) -> None:
    if (found.__name__, argument) in SIGNED or found.__name__ in LATER:
        pytest.skip("may be negative, or is looked at later")
    parameters = arguments(found)
    listed = any(part in str(parameters[argument].annotation) for part in ("Sequence", "tuple"))
    given: dict[str, Any] = {
        name: 64 if "int" in str(parameter.annotation) else MagicMock()
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
    }
    with pytest.raises((ValueError, MisconfigurationException), match=r"-1") as error:
        found(**given | {argument: [-1] if listed else -1})
    together = any(found.__name__ == name and part in argument for name, part in WITH_OTHERS)
    assert argument in str(error.value) or together, error.value


@pytest.mark.parametrize(
    ("check", "limits", "good", "bad"),
    [
        (at_least, (1,), [1, 5, (1, 2)], [0, -1, None, float("nan"), float("inf"), (1, 0)]),
        (above, (0,), [0.1], [0, -1, None]),
        (within, (0, 1), [0, 0.5, 1], [1.1, -0.1, None]),
        (below, (1,), [0, 0.99], [1, -0.1]),
    ],
)
def test_limits(check: Any, limits: tuple[float, ...], good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check(int, *limits, layers=value)
    for value in bad:
        with pytest.raises(ValueError, match="int: layers="):
            check(int, *limits, layers=value)
