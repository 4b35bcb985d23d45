"""Real pairs without labels, and validation sets of a few pairs: trained to the end, with checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from main import main
from tests.datamodules.tables.fake_data_sets import chexpert_plus


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_a_preset_without_labels_leaves_its_best_and_last_checkpoint(share: float, tmp_path: Path) -> None:
    chexpert_plus(tmp_path / "images")
    layers = ["pretrain", "recipes/smoke", "objectives/clip", "data/chexpert_plus"]
    options = {
        "run_dir": tmp_path / "run",
        "trainer.max_epochs": 1,
        "data.init_args.image_root": tmp_path / "images",
        "data.init_args.artifacts_dir": tmp_path / "artifacts",
        "data.init_args.loader.batch_size": 2,
        "data.init_args.splits": f"{{train: {1 - share}, val: {share}}}",
    }
    words = [word for layer in layers for word in ("-c", f"configs/{layer}.yaml")]
    line = main(["fit", *words, *(f"--{name}={value}" for name, value in options.items())])
    assert {path.name for path in (tmp_path / "run/checkpoints").iterdir()} >= {"best.ckpt", "last.ckpt"}
    chosen = line.trainer.checkpoint_callback.monitor  # type: ignore[union-attr]
    assert "zero_shot" not in chosen
