"""Downstream tasks as columns of a comparison."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.comparison.engine import Plan
from scripts.comparison.measure import build, measured
from scripts.comparison.reader import read_comparison
from scripts.task_measure import TaskMeasure

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    """Paths in YAML are those of a checkout."""
    os.chdir(ROOT)


def test_a_task_trains_from_the_towers_checkpoint_or_from_scratch(tmp_path: Path) -> None:
    plan = Plan(read_comparison("tasks"), "cpu", tmp_path)
    scratch, short = (plan.run(plan.comparison.arms[name], 0) for name in ("scratch", "short"))
    (few,) = (m for m in plan.measures if m.name == "detection_1")
    alone, warm = (build(few, run).arguments(run) for run in (scratch, short))  # type: ignore[attr-defined]
    same = set(alone) & set(warm)
    assert {*alone} - same == {"--model.init_args.weights=null"}
    assert {*warm} - same == {f"--model.init_args.weights={tmp_path}/runs/short-0/checkpoints/last.ckpt"}
    assert {"configs/tasks/detection.yaml", "--data.init_args.loader.label_fraction=0.01"} <= same
    assert "--trainer.max_epochs=2" in same and "--data.init_args.cache_dir=cache" in same


def test_figures_are_those_of_the_tasks_own_test(tmp_path: Path) -> None:
    plan = replace(Plan(read_comparison("tasks"), "smoke", tmp_path), cache=tmp_path / "cache")
    run = plan.run(plan.comparison.arms["scratch"], 0)
    (settings,) = (m for m in plan.measures if m.name == "detection_100")
    found = measured(settings, run)
    assert found.details["test/detection"]["split_sha256"]
    assert "test/detection/map50" in found.metrics or found.details["test/detection"]["left_out"]
    place = run.directory / "measured" / "detection_100" / "measured.json"
    before = place.stat().st_mtime_ns
    assert measured(settings, run).metrics == found.metrics and place.stat().st_mtime_ns == before


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(ValueError, match=r"task='segment': there is no configs/tasks/segment.yaml; give one"):
        TaskMeasure("segment")
