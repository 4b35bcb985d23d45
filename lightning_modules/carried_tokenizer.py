"""The tokenizer that a model has learnt its words by, in its checkpoint and from there in the data."""

from __future__ import annotations

from typing import Any

from datamodules.batch import data_facts
from lightning_modules.checkpoints import restore_tokenizer, tokenizer_to_text


def keep_tokenizer(model: Any, checkpoint: dict[str, Any]) -> None:
    """Add a model's tokenizer to its checkpoint, where it has one.

    Args:
        model: A `LightningModule` with a ``tokenizer``.
        checkpoint: What is going to be written.
    """
    if model.tokenizer is not None:
        checkpoint["tokenizer"] = tokenizer_to_text(model.tokenizer)


def take_tokenizer(model: Any, checkpoint: dict[str, Any]) -> None:
    """Give a model the tokenizer of its checkpoint.

    Outside training the data take it too: a model reads the texts of any data with its own words. So they do
    in training that began from other weights, whose tokenizer it had.

    Args:
        model: A `LightningModule` with a ``tokenizer`` and ``weights``.
        checkpoint: What was read.

    Raises:
        ValueError: If in training the data have another tokenizer.
    """
    stored, trainer = checkpoint.get("tokenizer"), model._trainer
    judged = stored is not None and trainer is not None
    judged = judged and (trainer.state.fn != "fit" or model.weights is not None)
    model.tokenizer = restore_tokenizer(stored, None if judged else model.tokenizer)
    if judged and (facts := data_facts(trainer)).tokenizer is not None:
        facts.tokenizer = model.tokenizer
