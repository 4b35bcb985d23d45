"""What reaches TensorBoard and MLflow."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger

from callbacks.base.records import save_files, save_picture
from callbacks.drawing.pictures import PicturedPair, pair_sheet


def test_pictures_figures_and_files_reach_tensorboard(tiny, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "config.yaml").write_text("seed_everything: 3\n")
    board = TensorBoardLogger(str(tmp_path), name="tensorboard", version="")
    csv = CSVLogger(str(tmp_path), name="", version="")
    tiny.trainer(tmp_path, logger=[csv, board], max_epochs=1).fit(tiny.Model(), tiny.Data(n=40))
    events = EventAccumulator(board.log_dir).Reload()
    tags = events.Tags()
    assert {"train/loss", "val/probe/auroc_macro"} <= set(tags["scalars"])
    assert {"pictures/val_pairs", "pictures/curves", "pictures/concepts"} <= set(tags["images"])
    assert "charts/val_geometry_similarity/own report" in tags["histograms"]
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
    assert texts["table.md/text_summary"] == (tmp_path / "table.md").read_text()
    assert "seed_everything: 3" in texts["config.yaml/text_summary"]


def test_pictures_and_files_reach_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple] = []
    monkeypatch.setattr(
        MLFlowLogger, "experiment", SimpleNamespace(log_artifact=lambda *words: sent.append(words))
    )
    monkeypatch.setattr(MLFlowLogger, "run_id", "7")
    trainer = SimpleNamespace(loggers=[MLFlowLogger.__new__(MLFlowLogger)], global_step=1)
    (tmp_path / "table.md").touch()
    picture = tmp_path / "pictures" / "a.png"
    save_picture(trainer, pair_sheet([PicturedPair(np.zeros((4, 4)), "text")], ""), picture, "pictures/a")
    save_files(trainer, [tmp_path / "table.md"], {})
    assert sent == [("7", str(picture), "pictures"), ("7", str(tmp_path / "table.md"))]
