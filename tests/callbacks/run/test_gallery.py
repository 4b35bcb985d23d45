from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image

from callbacks import FeatureCollector, PairGallery
from callbacks.base.records import save_picture
from callbacks.drawing.pictures import (
    ConceptBars,
    PicturedPair,
    Retrieved,
    concept_bars,
    metric_curves,
    pair_sheet,
    retrieval_sheet,
)
from callbacks.run.gallery import curve_panels


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        image.load()
        return np.asarray(image.convert("RGB"), np.float32)


def drawn(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(np.float32)


def run(tiny, tmp_path, call: str = "fit", data=None, **settings):
    gallery = PairGallery(pairs=4, queries=2, found=3, every_n_epochs=2)
    trainer = tiny.trainer(tmp_path, callbacks=[FeatureCollector(), gallery], **settings)
    getattr(trainer, call)(tiny.Model(), data or tiny.Data(n=40, batch=7))
    return gallery


def test_a_fit_leaves_pictures_of_some_epochs_and_curves(tiny, tmp_path) -> None:
    run(tiny, tmp_path, max_epochs=4)
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    epochs = ("000", "002", "003")  # every second, and the last
    assert names == {
        "curves.png",
        "val_pairs.png",
        *(f"train_pairs_{epoch}.png" for epoch in epochs),
        *(f"val_retrieval_{epoch}.png" for epoch in epochs),
    }
    for name in names:
        picture = pixels(tmp_path / "pictures" / name)
        assert min(picture.shape[:2]) > 200 and picture.std() > 5, name


def test_image_only_data_is_shown_with_its_labels_and_without_retrieval(tiny, tmp_path) -> None:
    run(tiny, tmp_path, "test", tiny.Data(n=12, text=False))
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["test_pairs.png"]


def test_fast_dev_run_leaves_nothing(tiny, tmp_path) -> None:
    run(tiny, tmp_path, fast_dev_run=True, logger=False, default_root_dir=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_pairs_shown_do_not_depend_on_the_batch(tiny, tmp_path) -> None:
    data = tiny.Data(n=30)
    rows = data.samples("test")[::-1]
    data.samples = lambda split: rows
    for batch in (3, 30):
        data.batch = batch
        run(tiny, tmp_path / str(batch), "test", data)
    small, large = (pixels(tmp_path / batch / "pictures" / "test_pairs.png") for batch in ("3", "30"))
    assert (small == large).all()


def test_curves_survive_a_resume(tiny, tmp_path) -> None:
    before = run(tiny, tmp_path, max_epochs=2)
    after = PairGallery()
    after.load_state_dict(before.state_dict())
    assert after.state_dict() == before.state_dict()
    before._losses = [torch.tensor(2.0)]  # a checkpoint within an epoch
    after.load_state_dict(before.state_dict())
    assert after.state_dict()["losses"] == [2.0]
    curves = after.state_dict()["curves"]
    assert [step for step, _ in curves["train/loss"]] == [1, 2, 3, 4]  # each line of the log, not each epoch


def test_panels_hold_what_was_measured() -> None:
    curves = {"train/loss": [(1, 2.0)], "val/probe/auroc_macro": [(1, 0.6)], "val/other": [(1, 0.0)]}
    curves["val/probe/PA/auroc_macro"] = [(1, 0.5)]
    panels = curve_panels(curves)
    assert {title: list(panel) for title, panel in panels.items()} == {
        "loss": ["train/loss"],
        "AUROC, mean over concepts": ["val/probe/auroc_macro"],
    }
    assert drawn(metric_curves(panels, "curves")).std() > 5


def test_an_outline_is_drawn_where_the_mask_ends_also_at_the_edge() -> None:
    image, mask = np.full((32, 32), 0.5), np.zeros((32, 32), bool)
    mask[:12, 10:20] = True
    plain, outlined = (
        drawn(pair_sheet([PicturedPair(image, "text", masks=masks)], "")) for masks in ((), [("", mask)])
    )
    changed = (plain != outlined).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    grey = np.abs(plain - 127.5).max(2) < 3  # the image, and here and there the edge of a letter
    top, bottom = np.flatnonzero(grey.sum(1) > 100)[[0, -1]]
    left, right = np.flatnonzero(grey.sum(0) > 100)[[0, -1]]
    height, width = bottom - top, right - left
    assert (rows[0] - top) / height == pytest.approx(0, abs=0.02)  # closed along the upper edge
    assert (rows[-1] - top) / height == pytest.approx(12 / 32, abs=0.02)
    assert (columns[0] - left) / width == pytest.approx(10 / 32, abs=0.02)
    assert (columns[-1] - left) / width == pytest.approx(20 / 32, abs=0.02)
    inner = changed[rows[0] + 5 : rows[-1] - 5, columns[0] + 5 : columns[-1] - 5]
    assert not inner.any()


def test_long_reports_and_dollar_signs_are_shown_as_text() -> None:
    pair = PicturedPair(
        np.zeros((8, 8)), "FINDINGS: $x_2$ costs $5.\nIMPRESSION: " + "much text " * 300, "title"
    )
    strips = [Retrieved(pair, 3, 100, [(0.5, "right", True), (0.25, "wrong $", False)])]
    assert drawn(pair_sheet([pair] * 3, "pairs")).std() > 5
    assert drawn(retrieval_sheet(strips, "strips")).std() > 5


def test_concept_bars_show_intervals_and_the_supervised_tower() -> None:
    bars = {"val": {"probe": ConceptBars({"a": 0.7, "b": 0.9}, {"a": [0.6, 0.8]})}}
    without, with_supervised = drawn(concept_bars(bars, {}, "")), drawn(concept_bars(bars, {"a": 0.95}, ""))
    assert (without != with_supervised).any() and without.std() > 5
    low = {"val": {"probe": ConceptBars({"a": 0.15}, {"a": [0.05, 0.3]})}}
    (axes,) = concept_bars(low, {}, "").axes
    assert axes.get_xlim()[0] <= 0.05, "no interval is cut"
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_width()) == pytest.approx((0.5, -0.35)), "bars begin at chance"


def test_pictures_reach_the_loggers_that_take_images(tmp_path, monkeypatch) -> None:
    wandb, board = WandbLogger.__new__(WandbLogger), TensorBoardLogger.__new__(TensorBoardLogger)
    calls: list[tuple] = []
    monkeypatch.setattr(WandbLogger, "log_image", lambda self, **kwargs: calls.append(("wandb", kwargs)))
    experiment = SimpleNamespace(add_figure=lambda *args, **kwargs: calls.append(("board", args[0], kwargs)))
    monkeypatch.setattr(TensorBoardLogger, "experiment", experiment)
    trainer = SimpleNamespace(loggers=[SimpleNamespace(), wandb, board], global_step=7)
    figure, path = pair_sheet([PicturedPair(np.zeros((4, 4)), "text")], ""), tmp_path / "folder" / "a.png"
    save_picture(trainer, figure, path, "pictures/a")
    assert calls == [
        ("wandb", {"key": "pictures/a", "images": [str(path)]}),
        ("board", "pictures/a", {"global_step": 7}),
    ]
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("wrong", [{"pairs": 0}, {"every_n_epochs": 0}])
def test_impossible_settings_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        PairGallery(**wrong)
