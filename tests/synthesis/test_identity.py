from __future__ import annotations

from typing import Any

import pytest

from synthesis.cases import BalancedCaseSampler, UniformCaseSampler
from synthesis.identity import identity
from synthesis.images.simulator import Simulator
from synthesis.reports.grammar import GrammarWriter


class Unversioned:
    """A part of a user's own, who knows nothing of versions."""

    def describe(self) -> dict[str, Any]:
        return {"setting": 1}


class Versioned(Unversioned):
    version = 3


class WriterOfOnesOwn(GrammarWriter):
    """Inherits the version of what it changes, and is told from it by its source."""


def test_parts_of_the_project_are_named_without_their_file_and_versioned_with_what_they_inherit() -> None:
    described = identity(BalancedCaseSampler(cap=3))
    assert described["name"] == "BalancedCaseSampler" and described["version"] == "1.1"
    assert described["cap"] == 3
    assert identity(UniformCaseSampler())["name"] != described["name"]


def test_a_raised_version_of_a_base_reaches_its_heirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BalancedCaseSampler.__mro__[1], "version", 4)
    assert identity(BalancedCaseSampler())["version"] == "4.1"


def test_parts_of_others_are_named_with_their_module_and_known_by_their_source() -> None:
    plain, own = identity(Unversioned()), identity(WriterOfOnesOwn())
    assert plain["name"] == f"{__name__}.Unversioned" and plain["setting"] == 1
    assert len(plain["version"]) == 16
    assert own["version"] == f"{identity(GrammarWriter())['version']}.{plain['version']}", (
        "one file, one hash"
    )
    assert identity(Versioned())["version"] == f"{plain['version']}.3"


def test_a_class_of_the_same_name_elsewhere_is_another() -> None:
    namesake = type("Simulator", (Simulator,), {"__module__": __name__})
    assert identity(namesake(64))["name"] == f"{__name__}.Simulator" != identity(Simulator(64))["name"]


@pytest.mark.parametrize("version", ["2", 0, 1.5])
def test_a_version_is_a_whole_number(monkeypatch: pytest.MonkeyPatch, version: Any) -> None:
    monkeypatch.setattr(Versioned, "version", version)
    with pytest.raises(TypeError, match=rf"Versioned.version={version!r}: give a whole number"):
        identity(Versioned())


def test_a_class_without_version_and_source_is_refused() -> None:
    names: dict[str, Any] = {"__name__": "nowhere"}
    exec("class Made:\n    def describe(self):\n        return {}", names)
    with pytest.raises(TypeError, match=r"nowhere.Made declares no version.*add `version: int = 1`"):
        identity(names["Made"]())
