"""Stored pairs are used as long as identities are the same: results may not change without a version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from inspect import getmembers, isclass
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, Protocol

import pytest
import torch

import synthesis
from synthesis.filters import Contrast
from synthesis.images.simulator import Simulator
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.reading.entities import EntityExtractor
from tests import golden_pairs

ROOT = Path(__file__).resolve().parents[2]
# What runs weights of somebody else's: there is nothing of ours to write down.
NEED_WEIGHTS = {
    "AdversarialImageMaker", "DiffusionImageMaker", "LatentImageMaker", "LocalModel", "PretrainedEncoder",
    "ServedModel", "TokenClassifier", "VariationalImageMaker", "VisionLanguageJudge",
}  # fmt: skip
# Covered by those that inherit from them.
BASES = {"AppearanceFilter", "CaseSampler", "FolderSimilarity", "MeasuredFilter"}
VERSIONED_OTHERWISE = {
    "CompanionSynthesizer",  # settles no result: each kind of companion has its version
    "Weights",  # are known by their own checksum
}


@pytest.fixture(scope="module")
def goldens() -> dict[str, golden_pairs.Golden]:
    return golden_pairs.goldens()


def parts() -> Iterator[type]:
    """Yield every class of `synthesis` that describes itself."""
    for module in walk_packages(synthesis.__path__, "synthesis."):
        for _, kind in getmembers(import_module(module.name), isclass):
            own = kind.__module__ == module.name and Protocol not in kind.__bases__
            if own and hasattr(kind, "describe"):
                yield kind


def test_what_is_made_is_what_was_written_down(goldens: dict[str, golden_pairs.Golden]) -> None:
    _, messages = golden_pairs.compare(golden_pairs.read(), goldens)
    assert not messages, "\n".join(messages.values())
    assert golden_pairs.read().keys() == goldens.keys()


def test_every_part_declares_a_version_and_is_written_down(goldens: dict[str, golden_pairs.Golden]) -> None:
    found = list(parts())
    without = {kind.__qualname__ for kind in found if "version" not in vars(kind)}
    assert without == VERSIONED_OTHERWISE, "declare `version: int = 1`"
    names = Counter(kind.__qualname__ for kind in found)
    assert names.most_common(1)[0][1] == 1, "two parts of one name cannot be told apart"
    written = {type(golden.part).__name__ for golden in goldens.values()}
    assert names.keys() - VERSIONED_OTHERWISE == (written | NEED_WEIGHTS | BASES)


def less_clutter(self: Simulator, anatomy: Any, case: Any, seed: int) -> torch.Tensor:
    return anatomy.base


CHANGES = [
    ("GrammarWriter", GrammarWriter, "_weight", lambda self, finding: 1.0),
    ("Simulator 64", Simulator, "_cluttered", less_clutter),
    ("Contrast", Contrast, "measure", lambda self, images: images.std((1, 2))),
    ("EntityExtractor", EntityExtractor, "extract", lambda self, text: []),
]


@pytest.mark.parametrize(
    ("name", "kind", "method", "other"), CHANGES[:4], ids=lambda c: getattr(c, "__name__", None)
)
def test_other_results_want_another_version(
    goldens: dict[str, golden_pairs.Golden],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: type,
    method: str,
    other: Any,
) -> None:
    stored = golden_pairs.read()[name]
    assert golden_pairs.changed(name, stored, golden_pairs.made(goldens[name])) is None
    golden_pairs._some_reports.cache_clear()
    monkeypatch.setattr(kind, method, other)
    message = golden_pairs.changed(name, stored, golden_pairs.made(goldens[name]))
    golden_pairs._some_reports.cache_clear()
    assert message is not None and "other results" in message
    assert f"raise `{kind.__name__}.version` and run `python -m tests.golden_pairs`" in message
    monkeypatch.setattr(kind, "version", kind.version + 1)  # type: ignore[attr-defined]
    message = golden_pairs.changed(name, stored, golden_pairs.made(goldens[name]))
    assert message is not None and "version: " in message and "write down what it makes now" in message
    golden_pairs._some_reports.cache_clear()


def test_a_part_that_is_given_something_else_is_not_blamed() -> None:
    class Part:
        version = 1

        def describe(self) -> dict[str, Any]:
            return {}

    def golden(result: int, *inputs: str) -> golden_pairs.Golden:
        return golden_pairs.Golden(Part(), lambda: {"result": result}, inputs)

    stored, _ = golden_pairs.compare(
        {}, {"a": golden(1), "b": golden(1, "a"), "c": golden(1, "b"), "d": golden(1)}
    )
    later = {"a": golden(2), "b": golden(2, "a"), "c": golden(2, "b"), "d": golden(1)}
    assert list(golden_pairs.compare(stored, later)[1]) == ["a"]


def test_nothing_is_written_down_that_has_no_version_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "golden.json"
    monkeypatch.setattr(golden_pairs, "FILE", file)
    only = {"GrammarWriter": golden_pairs.goldens()["GrammarWriter"]}
    monkeypatch.setattr(golden_pairs, "goldens", lambda: only)
    golden_pairs.main()
    first = json.loads(file.read_text())
    assert first["GrammarWriter"] == golden_pairs.read()["GrammarWriter"]
    golden_pairs._some_reports.cache_clear()
    monkeypatch.setattr(GrammarWriter, "_weight", lambda self, finding: 1.0)
    with pytest.raises(SystemExit, match=r"raise `GrammarWriter.version`"):
        golden_pairs.main()
    assert json.loads(file.read_text()) == first
    monkeypatch.setattr(GrammarWriter, "version", 2)
    golden_pairs.main()
    golden_pairs._some_reports.cache_clear()
    assert json.loads(file.read_text())["GrammarWriter"]["identity"]["version"] == "2"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, to be edited."""
    root = tmp_path_factory.mktemp("tree")
    for folder in ("synthesis", "configs", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def run(tree: Path, code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} no longer says {old!r}: choose another edit"
    path.write_text(text.replace(old, new))


FINGERPRINT = """
import synthesis
from synthesis.cases import BalancedCaseSampler
from synthesis.corruption import ClinicSynthesizer
from synthesis.filters import StandardFilters
from synthesis.images.simulator import Simulator
from synthesis.reports.grammar import GrammarWriter

parts = BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=64)
print(synthesis.__path__[0], ClinicSynthesizer(*parts, filters=[StandardFilters()]).fingerprint)
"""


@pytest.mark.slow
def test_a_docstring_or_a_moved_file_leaves_the_fingerprint(tree: Path) -> None:
    place, before = run(tree, FINGERPRINT).split()
    assert place == str(tree / "synthesis"), "the copy is what runs"
    for path in (tree / "synthesis").rglob("*.py"):
        text = path.read_text()
        assert text.startswith('"""')
        path.write_text(f'"""Edited. {text[3:]}\n# a comment\n')
    grammar = tree / "synthesis" / "reports" / "grammar"
    shutil.move(grammar / "grammar_writer.py", grammar / "writer.py")
    edit(grammar / "__init__.py", "grammar.grammar_writer", "grammar.writer")
    assert run(tree, FINGERPRINT).split() == [place, before]
    edit(tree / "synthesis/images/simulator/simulator.py", "version: int = 2", "version: int = 3")
    assert run(tree, FINGERPRINT).split()[1] != before


def test_an_edit_that_changes_pairs_is_found(tree: Path) -> None:
    """The phrases of a report in another order: nobody has to remember that the writer has a version."""
    (writer,) = (tree / "synthesis/reports/grammar").glob("*writer.py")
    edit(writer, "return self._weight(finding) / 10", "return self._weight(finding) / 9")
    code = """
from tests.golden_pairs import compare, goldens, read
found = goldens()
chosen = {name: found[name] for name in ("UniformCaseSampler", "GrammarWriter")}
print(*compare(read(), chosen)[1].values(), sep="\\n")
"""
    assert "raise `GrammarWriter.version` and run" in run(tree, code)
