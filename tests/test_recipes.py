"""Recipes for machines that tests do not have take a step, in small."""

from __future__ import annotations

import math
import os
from pathlib import Path

from main import main


def test_the_recipe_for_a_gpu_takes_a_step_in_small(tmp_path: Path) -> None:
    """All of it but the device: its towers' kinds, its precision, its optimiser and its schedule."""
    os.chdir(Path(__file__).resolve().parents[1])
    small = {
        "model.init_args.image_encoder.init_args": (
            "{image_size: 64, width: 24, layers: 2, stem_channels: [4, 4, 4, 4]}"
        ),
        "model.init_args.text_encoder.init_args": "{width: 16, layers: 1, vocab_size: 512}",
        "data.init_args.loader": "{batch_size: 4, epoch_size: 4, eval_batch_size: 4, ahead: false}",
        "data.init_args.synthesizer.init_args.image_maker.init_args": "{device: cpu, chunk: 4}",
    }
    line = main(
        [
            *("fit", "-c", "configs/pretrain.yaml", "-c", "configs/recipes/gpu.yaml"),
            *(f"--{key}={value}" for key, value in small.items()),
            *("--trainer.accelerator=cpu", "--trainer.max_steps=1", "--trainer.limit_val_batches=0"),
            *("--trainer.logger=false", "--trainer.callbacks=[]", "--trainer.enable_progress_bar=false"),
            f"--data.init_args.artifacts_dir={tmp_path}",
            *("--data.init_args.tokenizer_reports=200", f"--run_dir={tmp_path / 'run'}"),
        ]
    )
    assert line.trainer.global_step == 1 and line.trainer.precision == "bf16-mixed"
    assert math.isfinite(line.trainer.callback_metrics["train/loss"])
    data = line.datamodule
    assert data.sizes["train"] >= 1_000_000 and data.synthesizer.image_size == 64
