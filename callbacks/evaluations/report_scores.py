"""Generated reports: do they state the findings, and in the words of the true ones?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.pictures import COLOURS, PicturedPair, blank_figure, show_pair, write_text
from callbacks.statistics.intervals import Array
from callbacks.statistics.report_agreement import (
    chexbert_draws,
    chexbert_f1,
    corpus_bleu,
    entity_draws,
    entity_scores,
    f1,
    nearest_patient,
    rouge_l,
)
from datamodules.batch import IMAGE, INDEX, INPUT_IDS, Batch, data_facts
from lightning_modules.chexbert_labeler import CheXbertLabeler
from lightning_modules.downstream.report_generation import ReportGeneration, ReportOutput
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMAL = "No acute cardiopulmonary abnormality."
"""The normal report."""

Claims = Callable[[Sequence[str]], tuple[Any, Any]]


@dataclass(frozen=True)
class GeneratedReport:
    """A report as a model writes it, and the true one.

    Attributes:
        generated: The model's.
        reference: The true one, through the same tokenizer.
        image: ``(height, width)``, kept for the first samples alone.
    """

    generated: str
    reference: str
    image: np.ndarray | None = None


class ReportScores(BatchEvaluation[EvaluationOutput]):
    """Entity F1 by the catalogue's extractor, BLEU-4 and ROUGE-L by torchmetrics.

    The extractor (`datamodules.BatchDataModule.claims`) reads which concepts a text asserts; those of the
    generated report are compared with those of the true one, as clinical-efficacy metrics do (Chen et al.
    2020, R2Gen, arXiv:2010.16056). Word overlap is mostly common phrases.

    Three floors stand beside it. ``entity_f1_shuffled`` gives every image the report generated for another
    one: what common phrases earn without a look at the image. ``entity_f1_normal`` gives every image the
    normal report. ``entity_f1_nearest`` gives it the true report of the patient whose image is most like it
    by the model's own pooled features (cosine), of all other patients of the split: what can be had by
    looking up a report instead of writing one (Endo et al. 2021, CXR-RePaiR). ``gain_over_nearest`` is the
    model's ``entity_f1`` less that.

    Figures: ``entity_f1``, ``entity_precision``, ``entity_recall`` (pooled over all concepts and reports),
    ``entity_f1_macro`` (mean over concepts), ``entity_f1/<concept>``, the floors, ``gain_over_nearest``,
    ``bleu4``, ``rouge_l``, ``distinct`` (share of different texts). With ``chexbert`` also ``chexbert_f1_14``
    and ``chexbert_f1_5`` (pooled over conditions and reports) and their ``…_macro``, means over the
    conditions that the true reports assert: the figures by which report generation is published.

    Reports are generated and judged at test. A fit draws what the model writes of the first samples.

    Attributes:
        pictured_without_figures: See `Evaluation`.

    Args:
        chexbert: Directory of CheXbert's weights, see `CheXbertLabeler`; None for none.
        min_count: A concept that fewer true reports assert has no figure, and is named.
        examples: How many of the first samples are in the picture. A fit writes reports of these alone.
        name: The callback's name in metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If a number is negative.
    """

    pictured_without_figures = True

    def __init__(
        self,
        min_count: int = 10,
        examples: int = 6,
        name: str = "report",
        chexbert: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        require_non_negative(min_count=min_count, examples=examples)
        self.min_count, self.examples = min_count, examples
        self.claims: Claims | None = None
        self.chexbert = None if chexbert is None else CheXbertLabeler(chexbert)

    def prepare(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the extractor from the data, and the labeller to where the model is."""
        self.claims = data_facts(trainer).claims
        if self.chexbert is not None and trainer.is_global_zero:
            self.chexbert.to(pl_module.device)

    def measure(
        self, pl_module: L.LightningModule, batch: Batch, outputs: EvaluationOutput
    ) -> Sequence[GeneratedReport | None] | None:
        """Take the reports; before test there are none but those of the first samples, written here."""
        shown = [index < self.examples for index in batch[INDEX].tolist()]
        if not isinstance(outputs, ReportOutput):
            return _written_now(pl_module, batch, shown) if isinstance(pl_module, ReportGeneration) else None
        texts = zip(outputs.generated, outputs.reference, strict=True)
        return [
            GeneratedReport(*both, _picture(batch, i) if shown[i] else None) for i, both in enumerate(texts)
        ]

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Compare the reports."""
        measured: list[GeneratedReport | None] = features.measured.get(self.name) or [None]
        rows = [row for row in measured if row is not None]
        if len(rows) < len(measured):
            return Result({}, {"note": "reports are scored at test: before, only the first ones are written"})
        assert self.claims is not None, "prepare sets it"
        written, true = [row.generated for row in rows], [row.reference for row in rows]
        said, held = self._asserted(written), self._asserted(true)
        counts = held.sum(0)
        judged = [c for c in range(len(counts)) if counts[c] >= max(1, self.min_count)]
        floors = self._floors(said, held, features)
        overlap = rouge_l(written, true)
        metrics = {
            **entity_scores(said, held, {c: occasion.concepts[c] for c in judged}),
            **{f"entity_f1_{name}": float(f1(told & held, told, held)) for name, told in floors.items()},
            "bleu4": corpus_bleu(written, true),
            "rouge_l": float(overlap.mean()),
            "distinct": len(set(written)) / len(written),
        }
        bootstrap = self.bootstrap(features.group.numpy(), occasion)
        draws: dict[str, Array] = {}
        if bootstrap is not None:
            draws = entity_draws(said, held, judged, bootstrap)
            for name, told in floors.items():
                draws[f"entity_f1_{name}"] = entity_draws(told, held, [], bootstrap)["entity_f1"]
            draws["rouge_l"] = bootstrap.mean(overlap)
        if "nearest" in floors:
            metrics["gain_over_nearest"] = metrics["entity_f1"] - metrics["entity_f1_nearest"]
            if draws:
                draws["gain_over_nearest"] = draws["entity_f1"] - draws["entity_f1_nearest"]
        if self.chexbert is not None:
            told, meant = self.chexbert.asserted(written), self.chexbert.asserted(true)
            metrics |= chexbert_f1(told, meant)
            draws |= {} if bootstrap is None else chexbert_draws(told, meant, bootstrap)
        details = {
            "asserted": {name: int(n) for name, n in zip(occasion.concepts, counts, strict=True) if n},
            "left_out": {occasion.concepts[c]: int(n) for c, n in enumerate(counts) if n and c not in judged},
        }
        return Result(metrics, details, draws)

    def _asserted(self, texts: Sequence[str]) -> np.ndarray:
        """Return what texts assert, ``(text, concept)`` bool."""
        assert self.claims is not None, "prepare sets it"
        asserted: np.ndarray = self.claims(texts)[0].numpy() > 0
        return asserted

    def _floors(self, said: np.ndarray, held: np.ndarray, features: Features) -> dict[str, np.ndarray]:
        """Return what the reports of each floor assert."""
        floors = {
            "shuffled": np.roll(said, 1, axis=0),
            "normal": np.broadcast_to(self._asserted([NORMAL]), held.shape),
        }
        nearest = nearest_patient(features.pooled.numpy(), features.group.numpy())
        return floors if nearest is None else {**floors, "nearest": held[nearest]}

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw images with true and generated reports."""
        rows: list[GeneratedReport | None] = features.measured.get(self.name) or []
        shown = [(row.image, row.reference, row.generated) for row in rows if row and row.image is not None]
        return {"reports": report_sheet(shown)} if shown else {}


def _written_now(
    model: ReportGeneration, batch: Batch, shown: Sequence[bool]
) -> list[GeneratedReport | None]:
    """Let a model write the reports of some samples of a batch."""
    chosen = [i for i, wanted in enumerate(shown) if wanted]
    found: list[GeneratedReport | None] = [None] * len(shown)
    if chosen and not model.trainer.sanity_checking:
        written = model.generate(model.image_encoder({IMAGE: batch[IMAGE][chosen]}))
        true = model.tokenizer.batch_decode(batch[INPUT_IDS][chosen], skip_special_tokens=True)
        for i, generated, reference in zip(chosen, written, true, strict=True):
            found[i] = GeneratedReport(generated, reference, _picture(batch, i))
    return found


def _picture(batch: Batch, row: int) -> np.ndarray:
    picture: np.ndarray = batch[IMAGE][row, 0].float().cpu().numpy()
    return picture


def report_sheet(shown: Sequence[tuple[np.ndarray, str, str]]) -> Figure:
    """Draw one row a sample: image, true report, generated report.

    Args:
        shown: Image ``(height, width)``, true and generated report.
    """
    figure = blank_figure(10, 2.7 * len(shown) + 0.4, "generated reports")
    grid = figure.subplots(len(shown), 3, squeeze=False, width_ratios=[1, 1.3, 1.3])
    for axes in grid.flat:
        axes.axis("off")
    for row, (image, true, written) in zip(grid, shown, strict=True):
        show_pair(row[0], PicturedPair(image, ""))
        write_text(row[1], true, width=50, lines=18, title="true report", colour=COLOURS[1])
        write_text(row[2], written, width=50, lines=18, title="generated")
    return figure
