"""The script for a GPU, tried on the CPU with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import device_speed


def test_everything_is_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--device=cpu", "--quick", "--peak-tflops=1", f"--results={tmp_path}"]
    device_speed.main(given)
    found = json.loads((tmp_path / "device.json").read_bytes())
    rate = found["training samples a second"] * found["GFLOP a sample"] / 1e3
    assert found["TFLOP/s of training"] == pytest.approx(rate)
    assert found["share of the vendor's peak"] == pytest.approx(rate)
    assert found["share of the product's rate"] > 0 and found["simulated pairs a second"] > 0
    assert 0.1 < found["time of a step under DDP over without"] < 10
    assert not torch.distributed.is_initialized()
    assert (tmp_path / "device.md").read_text() in capsys.readouterr().out


def test_where_there_is_no_gpu_it_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        device_speed.parsed([])
    assert "torch finds no GPU here; give --device=cpu --quick" in capsys.readouterr().err
