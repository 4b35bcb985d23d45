"""Plans of large runs, against figures that are easy to reckon with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cache_speed import SIZE
from scripts import plan


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for folder in ("bench", "llm", "generators"):
        (tmp_path / folder).mkdir()
    size = {"what": SIZE, "ours": {"median": 17.0}, "theirs": {"median": 16.0}}
    (tmp_path / "bench" / "bench.json").write_text(json.dumps([{"what": "other"}, size]))
    speeds = {
        "pairs_per_second": {"128": 100.0, "224": 50.0},
        "training": {"flop_per_sample": 1e9, "training_flop_per_second": 1e11},
        "epoch": {"cached_pairs_per_second": 100.0},
    }
    (tmp_path / "bench" / "throughput.json").write_text(json.dumps(speeds))
    writer = {"model": {"weights": {"file": "small.gguf"}}}
    (tmp_path / "llm" / "section.json").write_text(
        json.dumps({"seconds": 90.0, "threads": 2, "cases": 5, "writer": writer})
    )
    rates = "arm,metric,mean\ndiffusion,recall,1\ndiffusion,images/s,2\nvariational,images/s,400\n"
    (tmp_path / "generators" / "summary.csv").write_text(rates)
    return tmp_path


def planned(results: Path, *args: str) -> dict[str, str]:
    return {line.what: line.amount for line in plan.plan(plan.parsed(args), results)}


def test_simulated_pairs_on_the_machine_measured(results: Path) -> None:
    found = planned(results, "--pairs=3_600_000", "--cores=10", "--passes=2", "--core-hour=0.5", "--size=224")
    assert found["images of simulator, on 10 cores"] == "2.0 h"
    assert found["corpus on disk, with masks"] == "184.2 GB"  # 224² and 1,000 bytes each
    assert found["memory for the order of an epoch, a rank"] == "144.0 MB"
    assert found["optimiser steps"] == "112,500"
    assert found["training, 2 passes"] == "20.0 h" and found["cost of making"] == "10.00"


def test_written_and_diffused_pairs_on_gpus_of_ones_own(results: Path) -> None:
    own = ("--writer=llm", "--images=diffusion", "--gpus=8", "--gflop=10")
    found = planned(results, "--pairs=1000", "--cores=1", *own)
    assert found["reports of a language model, on 1 cores"] == "10.0 h"  # 36 core seconds each
    assert found["images of diffusion, on 1 cores"] == "33.3 min"  # four times as many pixels
    assert found["training, 1 passes"] == "not known", "no GPU was measured, and none is made up"
    given = ("--peak-tflops=100", "--share=0.5", "--gpu-hour=2", "--passes=144_000_000")
    found = planned(results, "--pairs=1000", "--cores=1", *own, *given)
    assert found["training, 1.44e+08 passes"] == "1,000.0 h" and found["cost of training"] == "16,000.00"


def test_every_line_names_its_figure(results: Path) -> None:
    lines = plan.plan(plan.parsed(["--pairs=10", "--images=variational"]), results)
    assert all(line.rests_on for line in lines)
    with pytest.raises(ValueError, match="measured at 128, 224 px"):
        planned(results, "--pairs=10", "--size=99")
    with pytest.raises(SystemExit):
        plan.parsed(["--pairs=0"])
