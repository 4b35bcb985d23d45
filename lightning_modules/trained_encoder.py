"""A trained dual encoder by the name of its file or directory, to predict with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule
from torch import Tensor

from datamodules.batch import IMAGE, INDEX, Batch, data_facts
from lightning_modules.checkpoints import load_model
from lightning_modules.dual_encoder import DualEncoder
from lightning_modules.encoders import ImageEncoder
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TrainedEncoder(LightningModule):
    """A dual encoder as it was trained, for `predict` alone.

    Unlike `DualEncoder`, which is built from a configuration, it is whatever the weights are of, so that one
    command predicts with any of them.

    Args:
        weights: A checkpoint of `fit` (``….ckpt``), or a directory that `make export` wrote.

    Raises:
        ValueError: If there is no such file or directory, or it holds no dual encoder with a tokenizer.
    """

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.weights = weights
        self.encoder = trained_encoder(weights)

    @property
    def image_encoder(self) -> ImageEncoder:
        """The tower for images, where a `DualEncoder` has it."""
        return self.encoder.image_encoder

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """What turns texts into numbers."""
        return self.encoder.tokenizer

    @property
    def temperature(self) -> float:
        """See `DualEncoder.temperature`."""
        return self.encoder.temperature

    def encode_image(self, images: Tensor) -> Tensor:
        """See `DualEncoder.encode_image`."""
        return self.encoder.encode_image(images.to(self.device))

    def encode_patches(self, images: Tensor) -> Tensor:
        """See `DualEncoder.encode_patches`."""
        return self.encoder.encode_patches(images.to(self.device))

    def encode_text(self, texts: Sequence[str], batch_size: int = 256) -> Tensor:
        """See `DualEncoder.encode_text`."""
        return self.encoder.encode_text(texts, batch_size)

    def setup(self, stage: str) -> None:
        """Let the data read reports with this model's words.

        Raises:
            ValueError: If it is to be trained or judged.
        """
        if stage != "predict":
            raise ValueError(
                f"TrainedEncoder only predicts, it does not {stage}: take a DualEncoder, with `weights` to "
                "start from"
            )
        if (facts := data_facts(self.trainer)).tokenizer is not None:
            facts.tokenizer = self.tokenizer

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> EvaluationOutput:
        """Return features for the callbacks."""
        return EvaluationOutput.of(self.image_encoder({IMAGE: batch[IMAGE]}), None, batch.get(INDEX))


def trained_encoder(weights: str | Path) -> DualEncoder:
    """Return the dual encoder of a checkpoint or of an exported directory, on the CPU, for evaluation.

    Args:
        weights: See `TrainedEncoder`.

    Raises:
        ValueError: See `TrainedEncoder`.
    """
    if not str(weights).endswith(".ckpt"):
        from lightning_modules.exported.reading import read_directory

        return read_directory(weights, "weights")
    model = load_model(weights, "cpu")
    if not isinstance(model, DualEncoder) or model.tokenizer is None:
        raise ValueError(
            f"weights={str(weights)!r} holds a {type(model).__name__} (or no tokenizer); give a checkpoint "
            "of a DualEncoder that was trained on pairs"
        )
    return model.eval()
