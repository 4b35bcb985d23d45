"""Tasks as their YAML has them are trained where the validation data are too few for their figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("fine_tune", "val/fine_tune/auroc_macro: no concept has 10 positives"),
        ("temporal_comparison", "val/change/accuracy_macro was not measured"),
    ],
)
def test_two_images_are_validated_by_their_loss(
    train: Callable[..., Any],
    weights: str,
    task: str,
    reason: str,
    recwarn: pytest.WarningsRecorder,
    caplog: Any,
) -> None:
    few = [
        "--data.init_args.val_pairs=2",
        "--data.init_args.synthesizer.init_args.sampler.init_args.normal_rate=1",
    ]
    with caplog.at_level("INFO"):
        summary, directory = train(task, weights, *few)
    told = caplog.text + "".join(str(warning.message) for warning in recwarn)
    assert reason in told and "best of val/loss" in told
    assert f"val/{task}/auroc_macro" not in summary and "val/loss" in summary
    assert (directory / "checkpoints" / "best.ckpt").exists()
