"""All callbacks together: no figure may depend on how the pass over the data was cut up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return tmp_path_factory.mktemp("reference")


@pytest.fixture
def expected(tiny, reference) -> dict:
    path = reference / "summary.json"
    return json.loads(path.read_text()) if path.exists() else tiny.evaluate_all(reference, batch=64)


def compare(found: dict, expected: dict) -> None:
    found, expected = dict(found), dict(expected)
    details, others = found.pop("details"), expected.pop("details")
    assert found.keys() == expected.keys() and len(found) > 60
    # Matrix products of other shapes round their last bits differently; one pair that swaps would move an
    # AUROC by 1e-4.
    assert found == pytest.approx(expected, abs=2e-6)
    for name in details:
        if not name.endswith("/run"):
            assert details[name].keys() == others[name].keys()
            assert details[name]["n"] == others[name]["n"] == 121
            assert details[name].get("intervals", {}).keys() == others[name].get("intervals", {}).keys()
            for figure, interval in details[name].get("intervals", {}).items():
                assert interval == pytest.approx(others[name]["intervals"][figure], abs=2e-6)


@pytest.mark.parametrize("batch", [7, 1, 500])
def test_no_figure_depends_on_the_batch_size(tiny, tmp_path, expected, batch: int) -> None:
    compare(tiny.evaluate_all(tmp_path, batch=batch), expected)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_no_figure_depends_on_the_number_of_ranks(tmp_path, expected, reference) -> None:
    """Two gloo processes; 121 samples are not even, so Lightning's sampler repeats one."""
    here = Path(__file__).resolve().parents[1] / "conftest.py"
    command = [
        sys.executable,
        str(ROOT / "tests" / "ddp.py"),
        str(here),
        "evaluate_on_two_ranks",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["details"]["test/run"]["world_size"] == 2
    compare(found, expected)
    pictures = [folder / "pictures" / "test_pairs.png" for folder in (tmp_path, reference)]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
