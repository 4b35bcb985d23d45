"""The base of downstream models: an image encoder, pre-trained or not, and what is put on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW

from datamodules.batch import IMAGE, Batch
from lightning_modules.checkpoints import require_same_architecture
from lightning_modules.contexts import seeded
from lightning_modules.encoders import ImageEncoder
from lightning_modules.evaluation_output import EvaluationOutput
from lightning_modules.optimization import layer_wise_groups, with_cosine
from lightning_modules.warm_start import Fit, TrainedWeights
from synthesis.limits import at_least


class ImageTask(LightningModule):
    """A downstream model, trained by AdamW with layer-wise learning rates, warm-up and cosine decay.

    A subclass adds its parts (in the constructor, or in `setup` where they depend on the data), `loss`,
    `outputs` with what its callback reads, and `outputs_and_loss`.

    Logs ``train/loss``, and as ``val/loss`` that of the first evaluation loader.

    Args:
        image_encoder: The tower.
        weights: Checkpoint of a pre-training run, exported directory (``results/encoders/short``) or
            ``hub:owner/name`` whose towers are loaded when training begins; None trains from scratch, the
            floor that pre-training has to beat.
        frozen: Whether the tower keeps its weights (and evaluates: no dropout).
        learning_rate: Peak learning rate of what comes after the tower's blocks.
        weight_decay: Decay of kernels.
        layer_decay: Learning rate of a block over that of the next one, see `layer_wise_groups`.
        warmup: Warm-up as a share of all steps (float below 1) or in steps (int).
        seed: Of dropout.
        tower_rate: Further factor of the learning rate of the tower's blocks.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        weights: str | None = None,
        frozen: bool = False,
        learning_rate: float = 5e-4,
        weight_decay: float = 0.05,
        layer_decay: float = 0.75,
        warmup: int | float = 0.1,
        seed: int = 0,
        tower_rate: float = 1.0,
    ) -> None:
        at_least(self, 0, learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup, seed=seed)
        at_least(self, 0, tower_rate=tower_rate)
        super().__init__()
        if not 0 < layer_decay <= 1:
            raise ValueError(f"{type(self).__name__}: layer_decay is {layer_decay}: give a factor in (0, 1]")
        # Under LightningCLI Lightning records the modules' configuration; elsewhere it would pickle them.
        self.save_hyperparameters(
            ignore=None if _given_hyperparameters.get() else ["image_encoder", "text_encoder"]
        )
        self.image_encoder = image_encoder
        self.weights, self.frozen = weights, frozen
        self.learning_rate, self.weight_decay, self.layer_decay = learning_rate, weight_decay, layer_decay
        self.warmup, self.seed, self.tower_rate = warmup, seed, tower_rate

    @classmethod
    def trained_when_built(cls, arguments: Mapping[str, Any]) -> bool:
        """Return False: what is on the tower is untrained, and ``weights`` are read where training begins.

        Args:
            arguments: Those of the constructor.
        """
        return False

    def setup(self, stage: str) -> None:
        """Load the pre-trained tower where training begins, and freeze it where that is asked for.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        if stage == "fit" and self.weights is not None:
            for name, tower in self.towers().items():
                load_tower_weights(tower, self.weights, name)
        for part in self.towers().values() if self.frozen else self.unused_modules():
            part.requires_grad_(False)
        self.train(self.training)

    def needs(self, stage: str) -> frozenset[str]:
        """Return the keys that batches must hold beside the images (see ``datamodules/batch.py``).

        Args:
            stage: ``train``, ``val`` or ``test``.
        """
        return frozenset()

    def towers(self) -> dict[str, nn.Module]:
        """Return the towers that pre-training has trained, by their names there."""
        return {"image_encoder": self.image_encoder}

    def unused_modules(self) -> list[nn.Module]:
        """Return what the task does not use of the tower: DDP refuses parameters without a gradient."""
        return [self.image_encoder.projection]

    def train(self, mode: bool = True) -> ImageTask:
        """Set the mode; frozen towers stay in evaluation."""
        super().train(mode)
        for tower in self.towers().values() if self.frozen else ():
            tower.eval()
        return self

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a training batch, a scalar."""

    @abstractmethod
    def outputs(self, batch: Batch) -> EvaluationOutput:
        """Return what the task's callback reads of an evaluation batch."""

    @abstractmethod
    def outputs_and_loss(self, batch: Batch) -> tuple[EvaluationOutput, Tensor]:
        """Return the outputs and the loss of a validation batch, of one pass."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute and log the loss of one batch."""
        with self.draws():
            loss = self.loss(batch)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch[IMAGE]))
        return loss

    def validation_step(  # type: ignore[override]  # Lightning names dicts alone, but passes on anything
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> EvaluationOutput:
        """Return the outputs, and log the loss of the first loader."""
        outputs, loss = self.outputs_and_loss(batch)
        if dataloader_idx == 0:
            size = len(batch[IMAGE])
            self.log("val/loss", loss, batch_size=size, sync_dist=True, add_dataloader_idx=False)
        return outputs

    def test_step(  # type: ignore[override]
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> EvaluationOutput:
        """Return the outputs."""
        return self.outputs(batch)

    def draws(self) -> AbstractContextManager[None]:
        """Return the random numbers of this step: the same after a resume."""
        return seeded(self.device, self.seed, self.global_rank, self.global_step)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over groups by depth, and a schedule stepped with it."""
        rates = self.layer_decay, self.tower_rate
        groups = layer_wise_groups(self, self.learning_rate, self.weight_decay, *rates)
        return with_cosine(AdamW(groups, lr=self.learning_rate), self.warmup, self.trainer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another architecture, or a head for other concepts.

        Raises:
            ValueError: If the checkpoint does not fit this model.
        """
        if "state_dict" in checkpoint:
            require_same_architecture(self.state_dict(), checkpoint["state_dict"])


def load_tower_weights(tower: nn.Module, weights: str, name: str) -> None:
    """Load a tower of a pre-training run, for images of any size.

    Args:
        tower: A tower of the same architecture.
        weights: See `TrainedWeights.read`.
        name: The tower's name in it, ``image_encoder`` or ``text_encoder``.

    Raises:
        ValueError: If they cannot be read, hold no such tower, or one of another architecture.
    """
    saved, own = TrainedWeights.read(weights).part(name), tower.state_dict()
    fit = Fit.of(own, saved)
    require_same_architecture(own, saved | fit.taken)  # a tower that is half random would judge nothing
    tower.load_state_dict(fit.taken)
