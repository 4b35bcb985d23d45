"""Tasks as their YAML has them are trained where the validation data are too few for their figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_two_images_are_validated_by_their_loss(
    train: Callable[..., Any],
    weights: str,
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        summary, directory = train("fine_tune", weights, "--data.init_args.val_pairs=2")
    told = caplog.text + "".join(str(warning.message) for warning in recwarn)
    assert "best.ckpt is the best of val/loss (min)" in told and "training ends when val/loss is no" in told
    assert "val/fine_tune/auroc_macro: no concept has 10 positives" in told
    assert "val/fine_tune/auroc_macro" not in summary
    assert (directory / "checkpoints" / "best.ckpt").exists()


def test_a_question_is_asked_of_every_image(
    train: Callable[..., Any], weights: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        train("vqa", weights, "--data.init_args.val_pairs=2", "--trainer.max_epochs=1")
    assert "best.ckpt is the best of val/vqa/accuracy (max)" in caplog.text
