"""The rows of `make bench` beside scikit-learn, diffusers, nanodrr and an earlier commit, tiny."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import batch_memory, probe_speed, sampling_speed, simulator_rows
from benchmarks.rows import NOT_INSTALLED, installed


def test_the_probe_is_the_one_that_scikit_learn_fits() -> None:
    (row,) = probe_speed.rows(quick=True)
    assert row.version == installed("scikit-learn") and row.ratio is not None
    apart = float(row.note.rpartition("at most ")[2].rstrip("."))
    assert 0 <= apart <= 1e-3
    x, labels = probe_speed.made(400, 12, 3)
    assert labels.mean(0).tolist() == pytest.approx([0.1] * 3)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(12, dtype=x.dtype))


def test_more_steps_of_a_sampler_come_nearer_to_the_exact_samples() -> None:
    data = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    errors = sampling_speed.errors_of_steps(data, noises=16, exact=200)
    assert errors[25] < errors[12] < errors[5]
    assert 0 < errors[-sampling_speed.PLAIN] < errors[5]


def test_the_known_model_predicts_the_mean_of_what_the_noisy_sample_may_be() -> None:
    centre = torch.tensor([[2.0, -1.0]])
    velocity = sampling_speed.exact_velocity(centre, torch.tensor([0.64, 0.36]))
    noisy, width = torch.tensor([[1.5, 0.5]]), sampling_speed._SPREAD
    for step, (signal, noise) in enumerate([(0.8, 0.6), (0.6, 0.8)]):
        gain = signal * width**2 / (noise**2 + (signal * width) ** 2)  # of a Kalman filter
        clean = centre + gain * (noisy - signal * centre)
        expected = signal * (noisy - signal * clean) / noise - noise * clean
        torch.testing.assert_close(velocity(noisy, step), expected)


def test_a_projection_of_a_ct_is_timed_where_nanodrr_is_installed() -> None:
    row = simulator_rows.beside_nanodrr(10, 40, quick=True)
    assert row.version == (installed("nanodrr") or NOT_INSTALLED) and row.ours.median > 0
    assert (row.theirs is None) == (row.version == NOT_INSTALLED)
    if row.theirs is not None:
        assert simulator_rows.projector((16, 16, 8))(5.0, 20).min() > 0, "each ray meets the CT"


def test_a_commit_that_is_not_there_is_no_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert simulator_rows.unpacked("0" * 40, tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert simulator_rows.unpacked("HEAD", tmp_path) is None, "without git"


def test_a_step_in_parts_is_beside_the_same_of_fewer_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, bool]] = []

    def step(pairs: int, part: int, made: int = 0, returned: bool = False) -> dict[str, float]:
        asked.append((pairs, part, returned))
        megabytes = 100.0 + pairs / (100 if returned else 1)
        return {"megabytes": megabytes, "cpu": 0.01 * pairs * (1.25 if part else 1)}

    monkeypatch.setattr(batch_memory, "step", step)
    memory, time = batch_memory.rows(quick=False)
    assert set(asked) == {(4096, 64, False), (4096, 64, True), (512, 64, True), (64, 0, False)}
    assert memory.ratio is not None and memory.ratio.median == pytest.approx(105.12 / 140.96)
    assert time.ratio is not None and time.ratio.median == pytest.approx(1 / 1.25)
    assert "4,196 MB" in memory.note, "what it takes as it is"
    assert json.dumps([memory.note, time.note])


@pytest.mark.slow  # two processes, each with torch and the recipe
def test_a_larger_batch_in_parts_takes_no_more_activations() -> None:
    whole, parts = batch_memory.step(32, 0, 16), batch_memory.step(32, 4, 16)
    assert parts["megabytes"] < whole["megabytes"] and parts["cpu"] > 0
