"""What the Makefile promises beyond calling Python."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def make(directory: Path, *args: str) -> str:
    """Run make in a directory that looks set up, with a Python that only prints what it was asked to do."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-f", str(ROOT / "Makefile"), "PYTHON=echo python", *args]
    done = subprocess.run(command, cwd=directory, env=plain, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "constraints.txt").touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


def test_help_is_the_default_and_lists_every_target(checkout: Path) -> None:
    targets = set(re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    listed = set(
        re.findall(r"^  \S*?([a-z][a-z-]+)\S* ", re.sub(r"\x1b\[\d*m", "", make(checkout)), re.MULTILINE)
    )
    assert (
        listed
        == targets
        >= {"help", "install", "fit", "test", "check", "format", "gallery", "reproduce-paper"}
    )


def test_fit_moves_earlier_runs_aside(checkout: Path) -> None:
    for text in ("first", "second"):
        (checkout / "runs" / "fit").mkdir(parents=True)
        (checkout / "runs" / "fit" / "summary.json").write_text(text)
        printed = make(checkout, "fit", "RECIPE=long", "ARGS=--seed_everything=3")
        assert not (checkout / "runs" / "fit").exists()
    assert re.search(
        r"-c configs/recipes/long\.yaml --run_dir=runs/fit --trainer\.precision=\S+ --seed_everything=3",
        printed,
    )
    assert (checkout / "runs" / "fit-1" / "summary.json").read_text() == "first"
    assert (checkout / "runs" / "fit-2" / "summary.json").read_text() == "second"


def test_set_up_is_skipped_only_while_up_to_date(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir()
    (checkout / ".venv" / "bin" / "pip").touch(mode=0o755)
    assert "pip install" not in make(checkout, "install")
    later = (checkout / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(checkout / "constraints.txt", (later, later))
    assert "pip install" in make(checkout, "install")


def test_checking_pairs_has_an_example_where_no_data_are_named(checkout: Path) -> None:
    assert "-m scripts.corpora.check_pairs my.yaml" in make(checkout, "check-pairs", "CONFIG=my.yaml")
    printed = make(checkout, "check-pairs")
    assert "of your own: make check-pairs CONFIG=configs/data/YOURS.yaml" in printed
    assert printed.rstrip().endswith("-m scripts.corpora.check_pairs")


def test_an_agent_of_wandb_runs_in_the_environment(checkout: Path) -> None:
    program = checkout / ".venv" / "bin" / "python"
    program.parent.mkdir(exist_ok=True)
    program.write_text(
        '#!/bin/sh\ncase "$*" in *sweep*) echo "run: wandb agent me/it/7";; *) command -v python;; esac\n'
    )
    program.chmod(0o755)
    assert str(program) in make(checkout, "sweep", f"PYTHON={program}")


def test_a_sweep_has_a_scale(checkout: Path) -> None:
    printed = make(checkout, "sweep-local", "SWEEP=temperature", "SCALE=smoke")
    assert "-m scripts.sweeps configs/sweeps/temperature.yaml --scale=smoke" in printed


def test_every_program_that_make_calls_exists(checkout: Path) -> None:
    recipes = (ROOT / "Makefile").read_text()
    modules = re.findall(r"-m ((?:scripts|benchmarks)[\w.]+)", recipes)
    programs = [Path(*module.split(".")) for module in modules]
    programs = [p / "__main__.py" if (ROOT / p).is_dir() else p.with_suffix(".py") for p in programs]
    programs += map(Path, re.findall(r"\$\(PYTHON\) (\S+\.py)", recipes))
    assert len(programs) > 5
    assert [program for program in programs if not (ROOT / program).exists()] == []
