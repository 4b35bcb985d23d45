"""All callbacks together: no figure may depend on how the pass over the data was cut up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.ddp import launch


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


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> Path:
    """What two gloo processes leave of `evaluate_on_two_ranks`."""
    if not torch.distributed.is_available():
        pytest.skip("torch was built without distributed")
    here, directory = Path(__file__).resolve().parents[1] / "conftest.py", tmp_path_factory.mktemp("ranks")
    launch(here, "evaluate_on_two_ranks", directory)
    return directory


def test_no_figure_depends_on_the_number_of_ranks(two_ranks, expected, reference) -> None:
    """121 samples are not even, so Lightning's sampler repeats one."""
    found = json.loads((two_ranks / "summary.json").read_text())
    assert found["details"]["test/run"]["world_size"] == 2
    compare(found, expected)
    pictures = [folder / "pictures" / "test_pairs.png" for folder in (two_ranks, reference)]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


@pytest.mark.parametrize("name", ["uneven", "shared"])
def test_shares_of_any_size_are_each_sample_once_on_rank_zero_alone(
    tiny, two_ranks, tmp_path, name: str
) -> None:
    zero, other = (json.loads((two_ranks / f"rank-{rank}.json").read_text())[name] for rank in range(2))
    wanted = sorted({index for share in tiny.SHARES[name] for index in share})
    alone = tiny.evaluate_share(tmp_path, wanted, 1)
    assert zero["index"] == alone["index"] == wanted and zero["floats"] == alone["floats"]
    assert zero["sums"] == pytest.approx(alone["sums"], abs=1e-4), "each sample with its own features"
    assert zero["figures"] == other["figures"] == pytest.approx(alone["figures"], abs=2e-6)
    assert len(alone["figures"]) > 3 and (other["index"], other["floats"]) == ([], 0)


def test_what_rank_zero_finds_wrong_is_raised_by_all(two_ranks) -> None:
    says = "ValueError: pooled features of 1 of 5 samples are NaN or infinite (first: index 66)"
    for rank in range(2):
        found = json.loads((two_ranks / f"rank-{rank}.json").read_text())
        assert found["diverged"]["error"].startswith(says)


def test_a_rank_may_have_no_rows_of_a_loader_and_must_have_the_same_columns(two_ranks) -> None:
    zero, other = (json.loads((two_ranks / f"rank-{rank}.json").read_text()) for rank in range(2))
    for k in range(2):
        assert zero[f"rows of {k}"] == {"index": [k], "reports": [f"of {k}"]}
        assert other[f"rows of {k}"] is None
    for rank in (zero, other):
        assert rank["rows that differ"]["error"].startswith("['text'] stand in some batches")
