from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from callbacks.run.draws_file import DRAWS, read_draws, store_draws
from callbacks.statistics.intervals import percentile_interval


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory) -> Path:
    """A fit and then a test in the same directory."""
    directory = tmp_path_factory.mktemp("run")
    model, data = tiny.Model(), tiny.Data(n=60)
    tiny.trainer(directory).fit(model, data)
    tiny.trainer(directory).test(model, data)
    return directory


def test_every_interval_is_made_of_draws_that_are_kept(finished) -> None:
    details = json.loads((finished / "summary.json").read_text())["details"]
    draws, about = read_draws(finished / DRAWS)
    intervals = {
        f"{place}/{figure}": interval
        for place, told in details.items()
        for figure, interval in told.get("intervals", {}).items()
    }
    assert {key.split("/")[0] for key in intervals} == {"val", "test"} and len(intervals) > 100
    assert intervals.keys() <= draws.keys()
    for name, interval in intervals.items():
        assert draws[name].dtype == np.float32 and draws[name].shape == (60,)
        assert percentile_interval(draws[name]) == pytest.approx(interval, abs=1e-5), name
    assert about["test/probe"] == {
        "seed": 0, "resamples": 60, "n": 60, "split_sha256": "hash of test",
    }  # fmt: skip


def test_two_runs_are_compared_draw_by_draw(tiny, tmp_path) -> None:
    """The spread of the differences is smaller than that of either run: the patients are the same."""
    draws = []
    for name, scale in (("a", 1.0), ("b", 1.02)):
        model = tiny.Model()
        model.image_encoder.body.weight.data *= scale
        tiny.trainer(tmp_path / name).test(model, tiny.Data(n=80))
        draws.append(read_draws(tmp_path / name / DRAWS)[0]["test/probe/auroc_macro"])
    assert (draws[0] != draws[1]).any()
    assert np.std(draws[0] - draws[1]) < 0.5 * np.std(draws[0])


def test_a_stage_replaces_its_own_draws_and_leaves_the_others(tmp_path) -> None:
    path, told = tmp_path / DRAWS, {"seed": 0}
    store_draws(path, {"val/probe": {}}, {"val/probe": told}, ("val",))
    assert not path.exists(), "no draws, no file"
    store_draws(path, {"val/probe": {"a/b@1": np.arange(3.0)}}, {"val/probe": told}, ("val",))
    store_draws(path, {"test/probe": {"x": np.ones(2)}}, {"test/probe": told}, ("test",))
    draws, about = read_draws(path)
    assert draws.keys() == {"val/probe/a/b@1", "test/probe/x"} and about.keys() == {"val/probe", "test/probe"}
    store_draws(path, {"val/probe": {}}, {"val/probe": told}, ("val",))
    assert read_draws(path)[0].keys() == {"test/probe/x"} and read_draws(path)[1].keys() == {"test/probe"}
    assert [file.name for file in tmp_path.iterdir()] == [DRAWS]


def test_a_damaged_file_is_made_anew(tmp_path) -> None:
    path = tmp_path / DRAWS
    path.write_bytes(b"PK\x03\x04 half of it")
    with pytest.warns(UserWarning, match="bootstrap.npz holds no bootstrap draws .*begins anew"):
        store_draws(path, {"val/probe": {"x": np.ones(2)}}, {"val/probe": {"seed": 0}}, ("val",))
    assert read_draws(path)[0].keys() == {"val/probe/x"}
    with pytest.raises(ValueError, match=r"gone\.npz holds no bootstrap draws"):
        read_draws(tmp_path / "gone.npz")
