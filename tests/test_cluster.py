"""The Docker file and the SLURM script, as far as they can be tried without either."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.resolved_config import resolved_config
from tests.test_installed import FILES, FOLDERS

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "slurm" / "fit.sbatch"
JOB = {
    "SLURM_JOB_ID": "17",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_CPUS_PER_TASK": "9",
    "SLURM_SUBMIT_DIR": str(ROOT),
}


def test_the_docker_file_passes_its_linter() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert linter is not None, "make install brings hadolint"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_build_sees_all_that_the_wheel_is_made_of_and_little_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines  # else all but what is named
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert {*FOLDERS, *FILES, "constraints.txt"} <= allowed
    assert all((ROOT / path).exists() for path in allowed)


def test_the_image_names_extras_that_exist_and_a_user_that_is_not_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    extras = re.search(r"ARG EXTRAS=(\S+)", text)
    assert extras is not None
    declared = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(extras[1].split(",")) <= set(declared)
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["1000"]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """What the script has srun start on two nodes of four GPUs, given one more layer."""
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\nprintf "%q " "$SRUN_CPUS_PER_TASK" "$@"\n')
    srun.chmod(0o755)
    environment = {**os.environ, **JOB, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", SCRIPT, "-c", "configs/objectives/siglip.yaml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return shlex.split(done.stdout)


def test_the_slurm_script_starts_a_run_that_parses(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cores, python, program, *arguments = words
    assert (cores, python, program) == ("9", ".venv/bin/python", "main.py")
    monkeypatch.chdir(ROOT)
    config = resolved_config(*arguments)
    assert (config["trainer"]["num_nodes"], int(config["trainer"]["devices"])) == (2, 4)
    assert config["trainer"]["strategy"] == "ddp" and config["run_dir"] == "runs/slurm-17"
    assert config["model"]["init_args"]["objective"]["class_path"].endswith("SigLIP")


def test_the_job_is_warned_in_time_and_goes_on_with_a_task_for_each_gpu() -> None:
    options = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SCRIPT.read_text(), re.MULTILINE))
    assert "requeue" in options and options["signal"] == "SIGUSR1@90" and options["open-mode"] == "append"
    assert options["ntasks-per-node"] == options["gres"].rpartition(":")[2]
