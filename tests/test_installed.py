"""The wheel: what it holds, and that it runs on its own configuration from any directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CODE = ("callbacks", "datamodules", "lightning_modules", "scripts", "synthesis")
FOLDERS = (*CODE, "configs", "results/supervised", "results/encoders")
FILES = ("main.py", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
PHRASES = "configs/reports/grammar.yaml"
CALLBACKS = (
    "--trainer.callbacks=[{class_path: callbacks.FeatureCollector}, "
    "{class_path: callbacks.EmbeddingGeometry}, "
    "{class_path: callbacks.RunSummary, init_args: {supervised: results/supervised}}]"
)
LEAN = ("--trainer.logger=false", "--trainer.max_epochs=1", "--trainer.enable_checkpointing=false")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this checkout, installed into a directory of its own."""
    place = tmp_path_factory.mktemp("wheel")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, place / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, place / "source" / name)
    (place / "source" / "configs" / "local").mkdir(exist_ok=True)
    (place / "source" / "configs" / "local" / "own.yaml").write_text("# a user's own, not to be shipped\n")
    build = [*PIP, "wheel", str(place / "source"), "--no-deps", "--no-build-isolation", "-w", str(place)]
    subprocess.run(build, check=True)
    (wheel,) = place.glob("*.whl")
    target = place / "target"
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    return target


def synvlp(installed: Path, directory: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Call the installed command in a directory; the packages come from the wheel, not from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", str(installed / "bin" / "synvlp"), *args]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_the_configuration_and_nothing_of_the_user(installed: Path) -> None:
    shipped = installed / "synthesis" / "shipped"
    here = {path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.yaml")}
    there = {path.relative_to(shipped) for path in shipped.rglob("*.yaml")}
    assert there == {path for path in here if path.parts[1] != "local"}
    assert (shipped / "results" / "supervised" / "table.md").is_file()
    measured = json.loads((shipped / "results" / "supervised" / "128px.json").read_text())
    assert measured, "what a run on simulated pairs is compared with"
    tops = (installed / "synvlp-0.1.0.dist-info" / "top_level.txt").read_text().split()
    assert sorted(tops) == sorted([*CODE, "main"])


def test_it_trains_on_its_own_configuration_in_an_empty_directory(installed: Path, tmp_path: Path) -> None:
    layers = ("-c", "configs/pretrain.yaml", "--config=configs/recipes/smoke.yaml")
    phrases = f"--data.init_args.synthesizer.init_args.writer.init_args.phrases={PHRASES}"
    done = synvlp(installed, tmp_path, "fit", *layers, phrases, CALLBACKS, *LEAN)
    assert done.returncode == 0, done.stderr
    saved = yaml.safe_load((tmp_path / "runs" / "fit" / "config.yaml").read_text())
    synthesizer = saved["data"]["init_args"]["synthesizer"]["init_args"]
    assert synthesizer["writer"]["init_args"]["phrases"] == PHRASES, "saved as it was written"
    summary = json.loads((tmp_path / "runs" / "fit" / "summary.json").read_text())
    assert summary["details"]["fit/run"]["optimiser_steps"] > 0


def test_a_mistake_comes_with_an_exit_code_and_both_places(installed: Path, tmp_path: Path) -> None:
    wrong = synvlp(installed, tmp_path, "fit", "-c", "configs/pretain.yaml")
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: configs/pretain.yaml: ")
    assert f"no such file in {tmp_path} nor in {installed / 'synthesis' / 'shipped'}" in wrong.stderr


def test_a_further_program_is_listed_and_runs(installed: Path, tmp_path: Path) -> None:
    words = synvlp(installed, tmp_path, "--help").stdout
    assert "  check-pairs   pass real pairs" in words
    own = synvlp(installed, tmp_path, "export", "--help")
    assert own.returncode == 0 and "--checkpoint" in own.stdout
