"""Training goes on as if it had not been interrupted."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch

from main import main

FIT = ["fit", "-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml"]
TERMS = [f"-c=configs/terms/{name}.yaml" for name in ("renderings", "dense", "twin_direction")]
# Everything random in a step at once, and nothing that a resume does not concern.
HARD = [
    "--trainer.accelerator=cpu",
    "--trainer.logger=false",
    "--trainer.enable_progress_bar=false",
    "--trainer.limit_val_batches=0",
    "--trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint",
    "--trainer.callbacks.init_args.filename={epoch}",
    "--trainer.callbacks.init_args.save_top_k=-1",
    "--model.init_args.image_encoder.init_args.dropout=0.1",
    "--model.init_args.text_encoder.init_args.dropout=0.1",
    "--data.init_args.loader.num_workers=1",
]


def test_resuming_after_an_epoch_equals_the_straight_run_to_the_last_bit(tmp_path: Path) -> None:
    os.chdir(Path(__file__).resolve().parents[1])
    args = [*FIT, *TERMS, *HARD, f"--data.init_args.artifacts_dir={tmp_path / 'artifacts'}"]
    main([*args, f"--run_dir={tmp_path / 'straight'}"])
    first, straight = (tmp_path / "straight" / "checkpoints" / f"epoch={n}.ckpt" for n in (0, 1))
    torch.rand(123)  # a fresh process would stand elsewhere in the global stream
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="nothing was trained")
        main([*args, f"--run_dir={tmp_path / 'resumed'}", f"--ckpt_path={first}"])
    resumed = tmp_path / "resumed" / "checkpoints" / "epoch=1.ckpt"
    assert not (tmp_path / "resumed" / "checkpoints" / "epoch=0.ckpt").exists()
    start, one, other = (torch.load(path, weights_only=True) for path in (first, straight, resumed))
    assert_same(one["state_dict"], other["state_dict"])
    assert_same(one["optimizer_states"], other["optimizer_states"])
    assert one["lr_schedulers"] == other["lr_schedulers"]
    assert one["global_step"] == other["global_step"] == 2 * start["global_step"]
    with pytest.raises(AssertionError):  # the second epoch did change something
        assert_same(one["state_dict"], start["state_dict"])
    with pytest.warns(UserWarning, match=r"nothing was trained: .*epoch=1\.ckpt stands at step \d+"):
        main([*args, f"--run_dir={tmp_path / 'again'}", f"--ckpt_path={straight}"])


def assert_same(one: object, other: object) -> None:
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor) and torch.equal(one, other)
    elif isinstance(one, dict):
        assert isinstance(other, dict) and one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple) and len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other
