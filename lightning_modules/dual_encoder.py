"""The model: two towers trained to agree on which image and which report belong together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.utilities.enums import GradClipAlgorithmType
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from datamodules.batch import (
    ATTENTION_MASK,
    IMAGE,
    INDEX,
    INPUT_IDS,
    OTHER_TEXTS,
    TEXT_LABELS,
    TWINS,
    Batch,
    DataFacts,
    data_facts,
)
from lightning_modules.checkpoints import require_same_architecture, restore_tokenizer, tokenizer_to_text
from lightning_modules.chunks import Encode, in_chunks
from lightning_modules.contexts import evaluating, seeded
from lightning_modules.encoders import EncoderOutput, ImageEncoder, TextEncoder
from lightning_modules.evaluation_output import EvaluationOutput
from lightning_modules.objectives import Gather, LossTerm, Objective
from lightning_modules.optimization import (
    layer_wise_groups,
    parameter_groups,
    scales_gradients,
    total_steps,
    warmup_cosine,
)
from lightning_modules.timed_cosine import spent_share
from lightning_modules.views import encode_views, with_twins
from lightning_modules.warm_start import TrainedWeights, frozen_modules, take_weights
from synthesis.limits import at_least, below, within

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class DualEncoder(LightningModule):
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
        within(self, 0, 1, layer_decay=layer_decay)
        if encoded_at_once is not None:
            at_least(self, 1, encoded_at_once=encoded_at_once)
        below(self, 1, betas=betas)
        super().__init__()
        if image_encoder.projection_dim != text_encoder.projection_dim:
            raise ValueError(
                f"projection_dim is {image_encoder.projection_dim} in image_encoder and "
                f"{text_encoder.projection_dim} in text_encoder: give both the same, pairs meet there"
            )
        # Under LightningCLI Lightning records the modules' configuration; elsewhere it would pickle them.
        modules = ["image_encoder", "text_encoder", "objective", "terms"]
        self.save_hyperparameters(ignore=None if _given_hyperparameters.get() else modules)
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.objective = objective
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
        if not 0 < layer_decay <= 1:
            raise ValueError(f"DualEncoder: layer_decay is {layer_decay}: give a factor in (0, 1]")
        self.layer_decay = layer_decay
        self.encoded_at_once = encoded_at_once
        self.frozen = tuple(frozen)
        for part in frozen_modules(self, self.frozen):
            part.requires_grad_(False).eval()  # Lightning begins in the mode that it finds
        self.compiled = tuple(compiled)
        frozen_modules(self, self.compiled, "compiled")  # refuses names of nothing
        self.tokenizer: PreTrainedTokenizerBase | None = None

    def forward(self, batch: Batch) -> tuple[EncoderOutput, EncoderOutput | None]:
        """Encode the images of a batch and, if it has any, its reports."""
        return self.image_encoder(batch), self.text_encoder(batch) if INPUT_IDS in batch else None

    @property
    def temperature(self) -> float:
        """What similarities are divided by where they become probabilities: τ, that the objective has learnt.

        CLIP's start, 0.07, where the objective has none.
        """
        scale = getattr(getattr(self.objective, "objective", self.objective), "log_scale", None)
        return 0.07 if scale is None else math.exp(-float(scale.detach()))

    def encode_image(self, images: Tensor) -> Tensor:
        """Encode images for comparison with texts, without dropout, patch dropping or gradient.

        Args:
            images: float32 ``(batch, 1, height, width)`` in [0, 1].

        Returns:
            Unit vectors, ``(batch, projection)`` float32.
        """
        with evaluating(self):
            return self.image_encoder({IMAGE: images.to(self.device)}).projected

    def encode_patches(self, images: Tensor) -> Tensor:
        """Encode the patches of images for comparison with texts (see `ImageEncoder.project_local`).

        Args:
            images: float32 ``(batch, 1, height, width)`` in [0, 1].

        Returns:
            ``(batch, rows, columns, projection)`` float32, not normalised.
        """
        with evaluating(self):
            patches = self.image_encoder.project_local(self.image_encoder({IMAGE: images.to(self.device)}))
        side = math.isqrt(patches.shape[1])
        return patches.unflatten(1, (side, side))

    def encode_text(self, texts: Sequence[str], batch_size: int = 256) -> Tensor:
        """Encode texts for comparison with images, without dropout or gradient.

        Args:
            texts: Reports, sentences or prompts; longer ones than the encoder takes are cut.
            batch_size: Texts a pass; the result does not depend on it but for rounding.

        Returns:
            Unit vectors, ``(texts, projection)`` float32.

        Raises:
            RuntimeError: If the model has no tokenizer.
        """
        if self.tokenizer is None:
            raise RuntimeError(
                "this DualEncoder has no tokenizer: it comes with the datamodule in training and with the "
                "checkpoint afterwards; load a trained checkpoint (--ckpt_path=…) or set its tokenizer"
            )
        most = min(self.tokenizer.model_max_length, self.text_encoder.max_length)
        projected = [torch.empty(0, self.text_encoder.projection_dim, device=self.device)]
        with evaluating(self):
            for start in range(0, len(texts), batch_size):
                chunk = list(texts[start : start + batch_size])
                tokens = self.tokenizer(
                    chunk, padding=True, truncation=True, max_length=most, return_tensors="pt"
                )
                batch = {key: tokens[key].to(self.device) for key in (INPUT_IDS, ATTENTION_MASK)}
                projected.append(self.text_encoder(batch).projected)
        return torch.cat(projected)

    def needs(self, stage: str) -> frozenset[str]:
        """Return the keys that batches must hold: in training those of the objective, and other texts."""
        if stage != "train":
            return frozenset()
        agreeing = {OTHER_TEXTS} if self.text_agreement else set()
        return self.objective.needs.union({INPUT_IDS, *agreeing}, *(term.needs for term in self._terms()))

    def _terms(self) -> list[LossTerm]:
        return list(self.terms)  # type: ignore[arg-type]

    @property
    def needs_negatives(self) -> bool:
        """Whether pairs of one batch are compared with each other: see `Objective`."""
        return self.objective.needs_negatives or any(term.needs_negatives for term in self._terms())

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
        for term in self._terms() if stage == "fit" else ():
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
        count, name = self.trainer.accumulate_grad_batches, type(self.objective).__name__
        if count != 1 and self.needs_negatives:
            raise ValueError(
                f"trainer.accumulate_grad_batches is {count}, but {name} compares the pairs of a batch: "
                "accumulating adds up small batches and makes no large one. Set it to 1, and raise "
                "data.init_args.loader.batch_size (model.init_args.encoded_at_once bounds the memory) or "
                "add devices"
            )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of one batch.

        Raises:
            ValueError: If it has no reports, or too few pairs to tell apart.
        """
        size = len(batch[IMAGE])
        if INPUT_IDS not in batch:
            raise ValueError(f"a training batch has no {INPUT_IDS!r}, only {sorted(batch)}: train on pairs")
        if size * self.trainer.world_size < 2 and self.needs_negatives:
            raise ValueError(
                f"training batch {batch_idx} holds one pair: {type(self.objective).__name__} needs another "
                "to tell it from. Raise loader.batch_size, and leave out an incomplete last batch (drop_last)"
            )
        if TEXT_LABELS in batch and TEXT_LABELS not in self.objective.needs:
            raise ValueError(
                f"the texts of this batch are of other patients, but {type(self.objective).__name__} learns "
                "from pairs: leave text_labels out of what the data is asked for"
            )
        gather = Gather(self.all_gather, self.global_rank, self.trainer.world_size)
        with seeded(self.device, self.seed, self.global_rank, self.global_step):
            scalars = self._losses(self._with_twins(batch), gather)
        for name, value in scalars.items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "loss", batch_size=size)
        return scalars["loss"]

    def _losses(self, batch: Mapping[str, Any], gather: Gather) -> dict[str, Tensor]:
        """Encode every image and text of a training batch and compare them."""
        images, texts, batches = encode_views(*self._towers(), batch)
        with torch.autocast(self.device.type, enabled=False):  # softmax over many pairs wants float32
            scalars = self.objective.over_views(images, texts, batches, gather)
            if self.text_agreement and len(texts) > 1:
                agreement = self.objective.agreement(texts[0], texts[1], batch, gather)
                scalars |= {"text_loss": agreement, "loss": scalars["loss"] + self.text_agreement * agreement}
            for term in self._terms():
                found = term(images, texts, batches, gather)
                loss = scalars["loss"] + term.weight * found["loss"]
                scalars |= {**{f"{term.name}_{name}": value for name, value in found.items()}, "loss": loss}
        return scalars

    def _with_twins(self, batch: Batch) -> Mapping[str, Any]:
        compared = TWINS in self.objective.needs
        if not compared and not any(TWINS in term.needs for term in self._terms()):
            return batch
        return with_twins(*self._towers(), batch, reports=compared)

    def _towers(self) -> tuple[Encode, Encode]:
        size = self.encoded_at_once
        return in_chunks(self.image_encoder, size), in_chunks(self.text_encoder, size)

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
        schedule = warmup_cosine(optimizer, self.warmup, total_steps(trainer), spent_share(trainer))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip; in bfloat16 with a fused optimiser too, which Lightning refuses though nothing is scaled."""
        plugin = self.trainer.precision_plugin
        if type(plugin) is MixedPrecision and not scales_gradients(self.trainer):
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or GradClipAlgorithmType.NORM)
            Precision.clip_gradients(plugin, optimizer, gradient_clip_val or 0, algorithm)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

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
        if self.tokenizer is not None:
            checkpoint["tokenizer"] = tokenizer_to_text(self.tokenizer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another architecture; take the tokenizer.

        Outside training the data take it too: a model reads the reports of any data with its own words. So
        they do in training that began from other weights, whose tokenizer it had.

        Raises:
            ValueError: If the checkpoint does not fit this model, or in training the data's tokenizer.
        """
        self._unread = None
        if "state_dict" in checkpoint:
            require_same_architecture(self.state_dict(), checkpoint["state_dict"])
        stored = checkpoint.get("tokenizer")
        trainer: Any = self._trainer
        judged = stored is not None and trainer is not None
        judged = judged and (trainer.state.fn != "fit" or self.weights is not None)
        self.tokenizer = restore_tokenizer(stored, None if judged else self.tokenizer)
        if judged and (facts := data_facts(trainer)).tokenizer is not None:
            facts.tokenizer = self.tokenizer
