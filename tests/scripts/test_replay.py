"""A training that runs away is stopped, saves nothing of it, and its last step can be looked at again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from callbacks.run.non_finite_guard import NonFiniteError
from lightning_modules.checkpoints import read_checkpoint
from main import main
from scripts import replay

LAYERS = ["-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml", "-c", "configs/model/tiny.yaml"]
SIZES = [
    "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.limit_val_batches=0", "--trainer.max_epochs=4", "--trainer.gradient_clip_val=null",
    "--trainer.logger=false", "--model.init_args.image_encoder.init_args.image_size=64",
    "--trainer.callbacks=[{class_path: callbacks.RunCheckpoint, init_args: {minutes: 0}}]",
    "--data.init_args.tokenizer_reports=100", "--model.init_args.warmup=0",
]  # fmt: skip


def test_a_step_that_was_not_finite_is_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.chdir(Path(__file__).resolve().parents[2])
    run = tmp_path / "fit"
    own = [f"--run_dir={run}", f"--data.init_args.artifacts_dir={tmp_path / 'artifacts'}"]
    with pytest.raises(SystemExit, match=r"no .*failure\.json"):
        replay.main([str(run)])
    with pytest.raises(NonFiniteError, match=rf"training samples \[\d+, .*make replay RUN={run}"):
        main(["fit", *LAYERS, *SIZES, *own, "--model.init_args.learning_rate=1e30"])
    failure = json.loads((run / "failure.json").read_text())
    saved = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert saved["global_step"] <= failure["step"]
    assert all(value.isfinite().all() for value in saved["state_dict"].values() if value.is_floating_point())
    capsys.readouterr()
    replay.main([str(run)])
    told = capsys.readouterr().out
    assert f"step {failure['step']}, epoch {failure['epoch']}, batch {failure['batch']}" in told
    assert f"training samples: {failure['samples']}" in told
    assert f"loss: {failure['loss']}" in told or "gradient is not finite: 0" not in told
