"""What the files around the code promise."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from importlib.metadata import distributions
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.constraints import LEFT_OUT, closure, requirements

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def constraints() -> dict[str, Version]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pairs = [line.partition("==")[::2] for line in lines]
    return {name: Version(version) for name, version in pairs}


def test_constraints_cover_everything_that_is_needed_and_allow_what_is_declared() -> None:
    pinned = constraints()
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert LEFT_OUT < extras.keys()
    declared = requirements()
    assert {line.name for line in declared} >= {"torch", "nanodrr", "onnx", "tensorboard", "gradio"}
    for line in declared:
        assert pinned[canonicalize_name(line.name)] in line.specifier, str(line)
    assert all(version.local is None for version in pinned.values())  # torch==…+cpu is on no public index
    # The peers of `make bench` are measured where they are installed.
    here = {canonicalize_name(found.name) for found in distributions()}
    peers = {Requirement(line).name for line in extras["bench"]}
    assert closure(line for line in declared if line.name not in peers - here).keys() <= pinned.keys()


def test_withdrawn_releases_of_lightning_are_excluded() -> None:
    (lightning,) = (Requirement(r) for r in PYPROJECT["project"]["dependencies"] if r.startswith("lightning"))
    assert all(version not in lightning.specifier for version in ("2.6.2", "2.6.3", "2.7.0"))
    assert "2.6.6" in lightning.specifier


def test_what_the_code_reads_beside_itself_is_package_data_and_small_enough_to_ship() -> None:
    packages = PYPROJECT["tool"]["setuptools"]["package-data"]
    shipped = {
        "synthesis.images.simulator": "atlas*",
        "synthesis.filters": "appearance*",
        "scripts.demo": "*.css",
        "callbacks.run": "*.j2",
        "scripts.comparison.outcomes": "*.j2",
    }
    assert packages.keys() == shipped.keys()
    for package, name in shipped.items():
        data = [path for path in (ROOT / package.replace(".", "/")).glob(name) if path.suffix != ".py"]
        assert data and all(
            any(fnmatch(path.name, pattern) for pattern in packages[package]) for path in data
        )
        assert sum(path.stat().st_size for path in data) <= 12 * 2**20


def test_versions_and_licences_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PYPROJECT["project"]["version"]
    assert citation["license"] == PYPROJECT["project"]["license"] == "Apache-2.0"
    licence = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in licence and "END OF TERMS AND CONDITIONS" in licence
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[Unreleased\]", changelog, re.MULTILINE)


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("\nmake test")
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_hooks_use_the_tools_of_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}  # nothing is fetched
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)
    assert {"ruff-check", "ruff-format", "mypy"} <= {hook["id"] for hook in hooks}
