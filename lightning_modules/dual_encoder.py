"""The model: two towers trained to agree on which image and which report belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from datamodules.batch import IMAGE, INDEX, TWINS, Batch, DataFacts, data_facts
from lightning_modules.carried_tokenizer import keep_tokenizer, take_tokenizer
from lightning_modules.checkpoints import require_same_architecture
from lightning_modules.chunks import Encode, in_chunks
from lightning_modules.contexts import seeded
from lightning_modules.encoders import ImageEncoder, TextEncoder
from lightning_modules.evaluation_output import EvaluationOutput
from lightning_modules.objectives import Gather, LossTerm, Objective
from lightning_modules.optimization import (
    clip_gradients,
    layer_wise_groups,
    parameter_groups,
    scales_gradients,
    with_cosine,
)
from lightning_modules.training_loss import TrainingLoss
from lightning_modules.two_towers import TwoTowers
from lightning_modules.views import encode_views
from lightning_modules.warm_start import TrainedWeights, frozen_modules, take_weights
from synthesis.limits import above, at_least, below, within


class DualEncoder(TwoTowers):
    """An image and a text encoder under one objective, trained by AdamW with warm-up and cosine decay.

    Of several texts of a report each is compared with the image, and their losses are averaged.

    A training step is a pure function of weights, batch, seed, step and rank: dropout and patch dropping
    draw from a generator seeded anew for every step, so that a resumed run equals an uninterrupted one.

    Logs ``train/<name>`` for each scalar of the objective (loss, temperature, negatives), and as ``val/loss``
    the loss within one evaluation batch of one rank, which depends on ``eval_batch_size``: for trends only.

    Args:
        image_encoder: Tower for images.
        text_encoder: Tower for reports, with the same `projection_dim`.
        objective: The loss.
        learning_rate: Peak learning rate.
        weight_decay: Decay of kernels; norms, biases, embeddings and the temperature have none.
        betas: AdamW's averaging coefficients.
        warmup: Warm-up as a share of all steps (float below 1) or in steps (int).
        seed: Of dropout and patch dropping.
        text_agreement: Weight of the objective between the first two texts of each report, where the data
            gives several (``views.texts``): the text contrastive loss of CXR-CLIP (You et al. 2023, arXiv
            2310.13292). Reports teach each other what they mean long before images can.
        weights: Where training begins from: a checkpoint, a directory that `make export` wrote or that is
            shipped (``results/encoders/short``), or ``hub:owner/name``. Its tokenizer comes along: the data
            read reports with it. Optimiser, schedule and epochs start anew, unlike with ``--ckpt_path``,
            which goes on with a run and takes precedence. What does not fit is logged. None begins at random.
        frozen: Parts that keep their weights and evaluate (no dropout): ``text_encoder``,
            ``image_encoder.stem`` and the like.
        layer_decay: Learning rate of a block over that of the next one (see `layer_wise_groups`), in (0, 1];
            1 gives all the same rate.
        encoded_at_once: Samples whose activations memory holds in a training step (see `in_chunks`), for
            batches that do not fit: all of them are still compared. None: the whole batch.
        compiled: Parts that ``torch.compile`` compiles as training begins, such as ``image_encoder``. Results
            differ in their rounding. On a CPU it needs a C++ compiler and gains nothing: the image tower of
            the base took 22 s to compile and made a step 0.96 times as fast.
        terms: What training adds to the objective, each with its weight: see `LossTerm`.

    Attributes:
        tokenizer: What turns reports into `text_encoder`'s numbers. Taken from the datamodule, kept in
            checkpoints, so that a model can encode prompts where the data has no text.

    Raises:
        ValueError: If the towers project into different dimensions, `frozen` names no part, or a term stands
            twice.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        text_encoder: TextEncoder,
        objective: Objective,
        learning_rate: float = 5e-4,
        weight_decay: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.98),
        warmup: int | float = 0.1,
        seed: int = 0,
        text_agreement: float = 0.0,
        weights: str | None = None,
        frozen: Sequence[str] = (),
        layer_decay: float = 1.0,
        encoded_at_once: int | None = None,
        compiled: Sequence[str] = (),
        terms: Sequence[LossTerm] = (),
    ) -> None:
        at_least(self, 0, learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup, seed=seed)
        at_least(self, 0, text_agreement=text_agreement)
        above(self, 0, layer_decay=layer_decay)
        within(self, 0, 1, layer_decay=layer_decay)
        if encoded_at_once is not None:
            at_least(self, 1, encoded_at_once=encoded_at_once)
        below(self, 1, betas=betas)
        super().__init__(image_encoder, text_encoder, objective)
        # Under LightningCLI Lightning records the modules' configuration; elsewhere it would pickle them.
        modules = ["image_encoder", "text_encoder", "objective", "terms"]
        self.save_hyperparameters(ignore=None if _given_hyperparameters.get() else modules)
        names = [term.name for term in terms]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"DualEncoder: terms hold {twice[0]!r} twice: leave one of the layers out")
        self.terms = nn.ModuleList(terms)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.betas = betas
        self.warmup = warmup
        self.seed = seed
        self.text_agreement = text_agreement
        self.weights = weights
        self._unread: ValueError | None = None
        self.layer_decay = layer_decay
        self.encoded_at_once = encoded_at_once
        self.frozen = tuple(frozen)
        for part in frozen_modules(self, self.frozen):
            part.requires_grad_(False).eval()  # Lightning begins in the mode that it finds
        self.compiled = tuple(compiled)
        frozen_modules(self, self.compiled, "compiled")  # refuses names of nothing

    def needs(self, stage: str) -> frozenset[str]:
        """Return the keys that batches must hold: in training those of the objective, and other texts."""
        return self._loss.needs if stage == "train" else frozenset()

    @property
    def needs_negatives(self) -> bool:
        """Whether pairs of one batch are compared with each other: see `Objective`."""
        return self._loss.needs_negatives

    @property
    def _loss(self) -> TrainingLoss:
        return TrainingLoss(self.objective, list(self.terms), self.text_agreement)  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> DualEncoder:
        """Set the mode; frozen parts stay in evaluation."""
        super().train(mode)
        for part in frozen_modules(self, self.frozen):
            part.eval()
        return self

    @classmethod
    def trained_when_built(cls, arguments: Mapping[str, Any]) -> bool:
        """Return whether a model can be judged without a checkpoint: from ``weights``, or two trained towers.

        Args:
            arguments: Those of the constructor, towers as their configurations.
        """
        towers = [arguments.get(name) or {} for name in ("image_encoder", "text_encoder")]
        read = [(tower.get("init_args") or {}).get("pretrained") for tower in towers]
        return bool(arguments.get("weights") or all(read))

    def setup(self, stage: str) -> None:
        """Take the tokenizer from the datamodule, or begin from trained weights and theirs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            ValueError: If the text encoder does not understand it, or too few of the weights fit.
        """
        facts = data_facts(self.trainer)
        if self.weights is not None:
            self._begin_from(self.weights, facts)
        tokenizer = facts.tokenizer
        if tokenizer is not None:
            self.text_encoder.check_tokenizer(tokenizer)
            self.tokenizer = tokenizer
        for term in self._loss.terms if stage == "fit" else ():
            term.prepare(self.image_encoder, facts)

    def _begin_from(self, name: str, facts: DataFacts) -> None:
        try:
            weights = TrainedWeights.read(name)
        except ValueError as error:
            self._unread = error  # where a checkpoint is loaded next, they are not needed any more
            return
        take_weights(self, weights, ("image_encoder", "text_encoder"))
        self.tokenizer = weights.tokenizer
        if facts.tokenizer is not None and weights.tokenizer is not None:
            facts.tokenizer = weights.tokenizer

    def on_fit_start(self) -> None:
        """Refuse to run where neither weights nor a checkpoint were read.

        Raises:
            ValueError: If the weights asked for could not be read.
        """
        if self._unread is not None:
            raise self._unread

    on_validation_start = on_test_start = on_predict_start = on_fit_start

    def on_train_start(self) -> None:
        """Compile what is to be compiled."""
        for part in frozen_modules(self, self.compiled, "compiled"):
            part.compile()

    def on_train_epoch_start(self) -> None:
        """Refuse gradient accumulation, which a callback may switch on at any epoch.

        Raises:
            ValueError: If gradients are to be accumulated under an objective that needs negatives.
        """
        self._loss.check_accumulation(self.trainer.accumulate_grad_batches)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of one batch.

        Raises:
            ValueError: If it has no reports, those of other patients, or too few pairs to tell apart.
        """
        self._loss.check_batch(batch, batch_idx, self.trainer.world_size)
        gather = Gather(self.all_gather, self.global_rank, self.trainer.world_size)
        with seeded(self.device, self.seed, self.global_rank, self.global_step):
            scalars = self.losses(self._with_twins(batch), gather)
        for name, value in scalars.items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "loss", batch_size=len(batch[IMAGE]))
        return scalars["loss"]

    def losses(self, batch: Mapping[str, Any], gather: Gather) -> dict[str, Tensor]:
        """Encode every image and text of a training batch and compare them.

        Args:
            batch: The batch, its twins encoded (`EncodedTwins`) where they are compared.
            gather: Brings the rows of the other ranks.

        Returns:
            ``"loss"``, a scalar to minimise, and further scalars to log.
        """
        images, texts, batches = encode_views(*self._towers(), batch)
        with torch.autocast(self.device.type, enabled=False):  # softmax over many pairs wants float32
            return self._loss(images, texts, batches, gather)

    def _with_twins(self, batch: Batch) -> Mapping[str, Any]:
        toned = self.image_encoder.with_tones(batch) if TWINS in batch else batch
        return self._loss.with_twins(*self._towers(), toned)

    def _towers(self) -> tuple[Encode, Encode]:
        size, tokens = self.encoded_at_once, self._loss.needs_tokens
        return in_chunks(self.image_encoder, size, tokens), in_chunks(self.text_encoder, size, tokens)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over two groups, fused where that is possible, and a schedule stepped with it."""
        trainer = self.trainer
        # A fused optimiser takes the factor of 16-mixed out of the gradients itself, after they were clipped.
        clips_scaled = bool(trainer.gradient_clip_val) and scales_gradients(trainer)
        groups = parameter_groups(self, self.weight_decay)
        if self.layer_decay < 1:
            groups = layer_wise_groups(self, self.learning_rate, self.weight_decay, self.layer_decay)
        optimizer = AdamW(
            groups,
            lr=self.learning_rate,
            betas=self.betas,
            fused=self.device.type in ("cpu", "cuda", "xpu", "mps") and not clips_scaled,
        )
        return with_cosine(optimizer, self.warmup, trainer)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip; in bfloat16 with a fused optimiser too, which Lightning refuses though nothing is scaled."""
        clip_gradients(self, optimizer, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Optimizer | Any, optimizer_closure: Any = None
    ) -> None:
        """Step, then clamp: before any callback can save the weights."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.objective.after_step()

    def validation_step(  # type: ignore[override]  # Lightning names dicts alone, but passes on anything
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> EvaluationOutput:
        """Return features for the callbacks, and log the loss of the first loader where there are reports."""
        images, texts = self(batch)
        if texts is not None and dataloader_idx == 0:
            # Ranks may hold batches of different sizes here, so they keep to themselves.
            with torch.autocast(self.device.type, enabled=False):
                loss = self.objective(images, texts, self._with_twins(batch), Gather())["loss"]
            size = len(batch[IMAGE])
            self.log("val/loss", loss, batch_size=size, sync_dist=True, add_dataloader_idx=False)
        return EvaluationOutput.of(images, texts, batch.get(INDEX))

    def test_step(  # type: ignore[override]
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> EvaluationOutput:
        """Return features for the callbacks."""
        images, texts = self(batch)
        return EvaluationOutput.of(images, texts, batch.get(INDEX))

    predict_step = test_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the tokenizer."""
        keep_tokenizer(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another architecture; take the tokenizer.

        Raises:
            ValueError: If the checkpoint does not fit this model, or in training the data's tokenizer.
        """
        self._unread = None
        if "state_dict" in checkpoint:
            require_same_architecture(self.state_dict(), checkpoint["state_dict"])
        take_tokenizer(self, checkpoint)
