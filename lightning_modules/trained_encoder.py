"""A trained dual encoder by the name of its file or directory, to predict with."""

from __future__ import annotations

from pathlib import Path

from datamodules.batch import IMAGE, INDEX, Batch, data_facts
from lightning_modules.checkpoints import load_model
from lightning_modules.dual_encoder import DualEncoder
from lightning_modules.evaluation_output import EvaluationOutput
from lightning_modules.two_towers import TwoTowers


class TrainedEncoder(TwoTowers):
    """A dual encoder as it was trained, for `predict` alone.

    Unlike `DualEncoder`, which is built from a configuration, it is whatever the weights are of, so that one
    command predicts with any of them.

    Args:
        weights: A checkpoint of `fit` (``….ckpt``), or a directory that `make export` wrote.

    Raises:
        ValueError: If there is no such file or directory, or it holds no dual encoder with a tokenizer.
    """

    def __init__(self, weights: str) -> None:
        trained = trained_encoder(weights)
        super().__init__(trained.image_encoder, trained.text_encoder, trained.objective)
        self.save_hyperparameters()
        self.weights = weights
        self.tokenizer = trained.tokenizer

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


def trained_encoder(weights: str | Path, argument: str = "weights", device: str = "cpu") -> DualEncoder:
    """Return the dual encoder of a checkpoint or of an exported directory, for evaluation.

    Args:
        weights: See `TrainedEncoder`.
        argument: What the caller calls them, for messages.
        device: Where it goes.

    Raises:
        ValueError: See `TrainedEncoder`.
    """
    if not (str(weights).endswith(".ckpt") or Path(weights).is_file()):
        from lightning_modules.exported.reading import read_directory

        return read_directory(weights, argument).to(device)
    model = load_model(weights, device)
    if not isinstance(model, DualEncoder) or model.tokenizer is None:
        raise ValueError(
            f"{argument}={str(weights)!r} holds a {type(model).__name__} (or no tokenizer); give a "
            "checkpoint of a DualEncoder that was trained on pairs"
        )
    return model.eval()
