"""The pieces under predictions: parts put in order, prompts as typed, names of files, progress lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbacks.base.progress_lines import ProgressLines, duration
from callbacks.prediction.map_drawer import MapDrawer
from callbacks.prediction.own_prompts import file_names, own_prompts
from callbacks.prediction.prediction_parts import PredictionParts, merged
from scripts.prediction.predict import long_form
from synthesis.configuration import shipped

SCHEMA = pa.schema([("index", pa.int64()), ("vector", pa.list_(pa.float32(), 2))])
TEMPLATES = shipped("configs/prompts/zero_shot/chexzero.yaml")


def write(path: Path, indices: list[int], batch: int, schema: pa.Schema = SCHEMA) -> Path:
    part = PredictionParts(path, schema)
    for start in range(0, len(indices), batch):
        chosen = indices[start : start + batch]
        part.write({"index": chosen, "vector": np.array([[i, -i] for i in chosen], np.float32)})
    part.close()
    return path


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(0, 40),
    ranks=st.integers(1, 4),
    batch=st.integers(1, 7),
    seed=st.integers(0, 9),
    data=st.data(),
)
def test_parts_come_in_order_each_index_once(
    size: int,
    ranks: int,
    batch: int,
    seed: int,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    owner = np.random.default_rng(seed).integers(0, ranks, size)
    twice = data.draw(st.lists(st.integers(0, max(0, size - 1)), max_size=3)) if size else []
    paths = [
        write(
            folder / str(rank),
            sorted({*np.flatnonzero(owner == rank).tolist(), *twice}),
            batch,
        )
        for rank in range(ranks)
    ]
    found = [rows for rows in merged(paths, size)]
    assert [i for rows in found for i in rows["index"].to_pylist()] == list(range(size))
    assert [v for rows in found for v in rows["vector"].to_pylist()] == [[i, -i] for i in range(size)]


def test_parts_that_lack_something_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one", [0, 2], 2)
    with pytest.raises(RuntimeError, match="2 images were predicted on, of 3"):
        list(merged([one], 3))
    with pytest.raises(RuntimeError, match="no such part"):
        list(merged([one, tmp_path / "two"], 3))
    other = write(tmp_path / "other", [1], 2, SCHEMA.with_metadata({"images": "other"}))
    with pytest.raises(RuntimeError, match="listed other images"):
        list(merged([one, other], 3))


def test_own_prompts_are_compared_with_their_negation_or_what_is_said() -> None:
    found = own_prompts(["rib fracture; big heart | normal heart", "", "mass"], TEMPLATES)
    assert found == {
        "rib fracture": {"present": ["rib fracture"], "absent": ["no rib fracture"]},
        "big heart": {"present": ["big heart"], "absent": ["normal heart"]},
        "mass": {"present": ["mass"], "absent": ["no mass"]},
    }
    for wrong in ("a | b | c", "| b", "a |"):
        with pytest.raises(ValueError, match="write a text"):
            own_prompts([wrong], TEMPLATES)
    with pytest.raises(ValueError, match="stands twice"):
        own_prompts(["mass", "mass | none"], TEMPLATES)


def test_files_of_maps_stay_in_their_folder_and_apart(tmp_path: Path) -> None:
    names = file_names(["a b", "a/b", "../..", "Ö-x"])
    assert len(set(names.values())) == 4 and not any("/" in name or "." in name for name in names.values())
    drawer = MapDrawer.__new__(MapDrawer)
    drawer.directory, drawer.folders = tmp_path, {"x": "x"}
    for image in ("../../etc/a.png", "/etc/a.png", "./a.png"):
        assert drawer.path("x", image).resolve().is_relative_to(tmp_path / "x")


def test_lines_say_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    lines = ProgressLines(1000, "images", clock=lambda: now[0])
    for seconds in (10.0, 31.0, 40.0, 62.0):
        now[0] = seconds
        lines.advance(31)
    assert capsys.readouterr().out.splitlines() == [
        "62 of 1,000 images, 2.0 images/s, 8 min left",
        "124 of 1,000 images, 2.0 images/s, 7 min left",
    ]
    assert [duration(s) for s in (5, 600, 12_000)] == ["5 s", "10 min", "3 h 20 min"]


def test_short_words_mean_long_ones() -> None:
    words = ["a b", "c.csv", "--prompts", "x; y | z", "--to", "out", "-c", "mine.yaml", "--trainer.devices=2"]
    assert long_form(words) == [
        "--config=configs/predict.yaml",
        "--config=mine.yaml",
        '--data.init_args.images=["a b", "c.csv"]',
        "--run_dir=out",
        '--trainer.callbacks.prompts=["x", "y | z"]',
        "--trainer.devices=2",
    ]
    assert long_form(["-c", "configs/predict.yaml"]) == ["--config=configs/predict.yaml"]
    spaced = '--trainer.callbacks=[{"class_path": "callbacks.Retrieval"}]'
    assert long_form(["-c", "configs/predict.yaml", spaced])[-1] == spaced, "no image"
    with pytest.raises(SystemExit):
        long_form(["folder", "--trainer.devices", "2"])
    with pytest.raises(SystemExit):
        long_form(["--to", "out"])
