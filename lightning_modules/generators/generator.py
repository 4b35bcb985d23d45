"""What every generator shares: prompts from batches, the optimiser, and what its checkpoint holds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.optim import AdamW

from datamodules.batch import CLAIMS, INDEX, LABELS, REPORT, Batch, data_facts
from lightning_modules.checkpoints import require_same_architecture, restore_tokenizer, tokenizer_to_text
from lightning_modules.generators.report_encoder import ReportEncoder, phrase_tokenizer, word_tokenizer
from lightning_modules.optimization import parameter_groups
from synthesis.limits import at_least, below
from synthesis.reports.claim_phrases import claim_phrases

Section = Literal["impression", "findings", "report", "concepts", "claims"]


class Generator(LightningModule):
    """Draws a radiograph from a prompt: part of a report, or the names of the concepts that are present.

    The learning rate rises linearly and then stays: a budget of time may end a run at any step, and the
    average of the weights (`callbacks.WeightAverage`, in each YAML of configs/generator) does what a decaying
    rate would. A training step is a pure function of weights, batch, seed, step and rank.

    Args:
        report_encoder: Encodes the prompts.
        section: What the prompt is: ``findings``, ``impression``, both (``report``), or ``concepts``: the
            names of the concepts whose label is 1, for data that has labels and no reports; or ``claims``:
            what the report claims, in phrases that hold one fact each (`claims_prompt`). Its own tokenizer
            has a piece for each phrase.
        learning_rate: Learning rate.
        weight_decay: Decay of kernels; norms, biases and embeddings have none.
        betas: AdamW's averaging coefficients.
        warmup: Steps in which the learning rate rises.
        seed: Of everything drawn in training.

    Attributes:
        concept_names: Names of the label columns, from the datamodule and kept in checkpoints.
    """

    def __init__(
        self,
        report_encoder: ReportEncoder,
        section: Section = "impression",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.99),
        warmup: int = 200,
        seed: int = 0,
    ) -> None:
        at_least(self, 0, learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup, seed=seed)
        below(self, 1, betas=betas)
        super().__init__()
        modules = ["report_encoder", "code", "alignment"]
        # Under LightningCLI Lightning records the modules' configuration; elsewhere it would pickle them.
        self.save_hyperparameters(ignore=None if _given_hyperparameters.get() else modules)
        self.report_encoder = report_encoder
        self.section: Section = section
        self.learning_rate, self.weight_decay, self.betas = learning_rate, weight_decay, betas
        self.warmup, self.seed = warmup, seed
        self.concept_names: tuple[str, ...] = ()

    @abstractmethod
    def export(self, directory: Path) -> None:
        """Write what the image maker of this kind, and the plain library, opens.

        Args:
            directory: Where it goes; made if it does not exist.
        """

    def needs(self, stage: str) -> frozenset[str]:
        """Return the keys that batches must hold beside images and reports: the claims, if they are read."""
        return frozenset({CLAIMS}) if self.section == "claims" else frozenset()

    def prompts(self, batch: Batch) -> list[str]:
        """Return the prompt of each sample of a batch.

        Of labels none of which is 1, it is empty.

        Raises:
            ValueError: If the batch does not hold what `section` asks for, or a report is empty: it would
                be taken for the prompt that says nothing.
        """
        if self.section == "concepts":
            if LABELS not in batch or len(self.concept_names) != batch[LABELS].shape[1]:
                raise ValueError(
                    f"section is 'concepts', but a batch holds {sorted(batch)} and the data names "
                    f"{len(self.concept_names)} concepts: train on data with labels and concept_names"
                )
            return [concepts_prompt(self.concept_names, row.tolist()) for row in batch[LABELS]]
        reads_claims = self.section == "claims"
        if REPORT not in batch or (reads_claims and CLAIMS not in batch):
            raise ValueError(
                f"section is {self.section!r}, but a batch has no {CLAIMS if REPORT in batch else REPORT!r}, "
                f"only {sorted(batch)}: train on pairs, or set section to 'concepts' for data with labels "
                "alone"
            )
        found = [section_of(text, self.section) for text in batch[REPORT]]
        if "" in found:
            row = found.index("")
            where = f"index {int(batch[INDEX][row])}" if INDEX in batch else f"row {row} of a batch"
            raise ValueError(
                f"the report at {where} is empty, and so is its prompt (section {self.section!r}): fill it, "
                "or take the sample out of the data"
            )
        return list(batch[CLAIMS]) if reads_claims else found

    def sentences(self, batch: Batch) -> list[str]:
        """Return the prompts as a dual encoder reads them: in place of claims the FINDINGS."""
        if self.section == "claims":
            return [section_of(text, "findings") for text in batch[REPORT]]
        return self.prompts(batch)

    def setup(self, stage: str) -> None:
        """Take tokenizer and concept names from the datamodule.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        facts = data_facts(self.trainer)
        self.concept_names = facts.concept_names or self.concept_names
        if self.section == "claims":
            if facts.catalog is not None and self.report_encoder.tokenizer is None:
                self.report_encoder.take_tokenizer(phrase_tokenizer(claim_phrases(facts.catalog)))
        elif facts.tokenizer is not None:
            self.report_encoder.take_tokenizer(facts.tokenizer)

    def on_fit_start(self) -> None:
        """Make a tokenizer of the concepts' names for data with labels alone.

        Here and not in `setup`: by now a checkpoint has brought its own, if there is one.
        """
        if self.section == "concepts" and self.report_encoder.tokenizer is None:
            every_name = concepts_prompt(self.concept_names, [1.0] * len(self.concept_names))
            self.report_encoder.take_tokenizer(word_tokenizer(every_name))

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the share of prompts so far that were longer than the text tower reads."""
        length = self.report_encoder.prompt_length
        self.log("train/prompts_cut", length.cut / max(1, length.read), batch_size=1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW and a learning rate that rises and stays."""
        return self.adamw(self, self.learning_rate)

    def adamw(self, module: nn.Module, learning_rate: float) -> Any:
        """Return an optimiser of a module's trainable parameters with its schedule, for Lightning."""
        from transformers import get_constant_schedule_with_warmup

        # Lightning does not let a fused optimiser clip gradients under mixed precision.
        plugin, clips = self.trainer.precision_plugin, bool(self.trainer.gradient_clip_val)
        fused = self.device.type in ("cpu", "cuda", "xpu", "mps")
        optimizer = AdamW(
            parameter_groups(module, self.weight_decay),
            lr=learning_rate,
            betas=self.betas,
            fused=fused and not (clips and isinstance(plugin, MixedPrecision)),
        )
        schedule = get_constant_schedule_with_warmup(optimizer, self.warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the tokenizer and the concept names."""
        checkpoint["concept_names"] = list(self.concept_names)
        if self.report_encoder.tokenizer is not None:
            checkpoint["tokenizer"] = tokenizer_to_text(self.report_encoder.tokenizer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse another architecture or tokenizer; take the tokenizer if there is none yet.

        Raises:
            ValueError: If the checkpoint does not fit this model or the data's tokenizer.
        """
        if "state_dict" in checkpoint:
            require_same_architecture(self.state_dict(), checkpoint["state_dict"])
        self.concept_names = self.concept_names or tuple(checkpoint.get("concept_names", ()))
        tokenizer = restore_tokenizer(checkpoint.get("tokenizer"), self.report_encoder.tokenizer)
        if tokenizer is not None:
            self.report_encoder.take_tokenizer(tokenizer)


def section_of(text: str, section: Section) -> str:
    """Return a section of a report written as ``FINDINGS: … IMPRESSION: …``, without its heading.

    Where the report lacks that section, or has no headings, all of its text is the prompt.

    Args:
        text: The text of a batch.
        section: ``findings``, ``impression``, or anything else for the whole.
    """
    findings, found, impression = text.partition("IMPRESSION:")
    parts = {"findings": findings.removeprefix("FINDINGS:").strip(), "impression": impression.strip()}
    return (parts.get(section, text) if found or section == "findings" else "") or text.strip()


def concepts_prompt(names: Sequence[str], labels: Sequence[float]) -> str:
    """Return the names of the concepts whose label is 1, in label order: ``"edema, pleural effusion"``."""
    present = [name for name, label in zip(names, labels, strict=True) if label == 1]
    return ", ".join(name.replace("_", " ") for name in present)
