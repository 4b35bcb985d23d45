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
from callbacks.statistics.intervals import Array, PatientBootstrap
from datamodules.batch import IMAGE, INDEX, INPUT_IDS, Batch, data_facts
from lightning_modules.chexbert_labeler import CONDITIONS, FIVE, CheXbertLabeler
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
        said, held = (self.claims(texts)[0].numpy() > 0 for texts in (written, true))
        counts = held.sum(0)
        by_concept = f1(said & held, said, held, axis=0)
        judged = [c for c in range(len(counts)) if counts[c] >= max(1, self.min_count)]
        scored = {occasion.concepts[c]: float(by_concept[c]) for c in judged}
        floors = {
            "shuffled": np.roll(said, 1, axis=0),
            "normal": np.broadcast_to(self.claims([NORMAL])[0].numpy() > 0, held.shape),
        }
        nearest = nearest_patient(features.pooled.numpy(), features.group.numpy())
        if nearest is not None:
            floors["nearest"] = held[nearest]
        overlap = rouge_l(written, true)
        metrics = {
            "entity_f1": float(f1(said & held, said, held)),
            "entity_precision": float((said & held).sum() / max(1, said.sum())),
            "entity_recall": float((said & held).sum() / max(1, held.sum())),
            **{f"entity_f1_{name}": float(f1(told & held, told, held)) for name, told in floors.items()},
            **({"entity_f1_macro": float(np.mean(list(scored.values())))} if scored else {}),
            **{f"entity_f1/{name}": value for name, value in scored.items()},
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


def nearest_patient(pooled: np.ndarray, group: np.ndarray, chunk: int = 512) -> np.ndarray | None:
    """Return for each sample which sample of another patient is most like it by cosine, the first of equals.

    Args:
        pooled: ``(n, dim)``.
        group: Patient of each sample, ``(n,)``.
        chunk: Samples compared at a time: memory is ``chunk * n``.

    Returns:
        ``(n,)`` int64; None where there is one patient alone.
    """
    if len(np.unique(group)) < 2:
        return None
    length = np.linalg.norm(pooled, axis=1, keepdims=True)
    unit = pooled / np.maximum(length, 1e-12)
    found = []
    for start in range(0, len(unit), chunk):
        alike = unit[start : start + chunk] @ unit.T
        alike[group[start : start + chunk, None] == group[None]] = -np.inf
        found.append(alike.argmax(1))
    return np.concatenate(found)


def entity_draws(
    said: np.ndarray, held: np.ndarray, judged: Sequence[int], bootstrap: PatientBootstrap
) -> dict[str, Array]:
    """Draw the entities' F1 (pooled, and mean over concepts), precision and recall, ``(resamples,)`` each.

    Args:
        said: ``(report, concept)`` bool, asserted by the generated report.
        held: … by the true one.
        judged: Columns of the concepts that the mean is over.
        bootstrap: Over the patients of the reports.
    """
    # Counts a report; in a resample they are weighted sums.
    table = np.stack([said & held, said, held]).astype(float)
    blocks = [np.einsum("trc,rk->tkc", table, weights) for weights in bootstrap.weights()]
    both, told, true = np.concatenate(blocks, axis=1)
    sums = [part.sum(1) for part in (both, told, true)]
    resampled = {
        "entity_f1": 2 * sums[0] / np.maximum(1, sums[1] + sums[2]),
        "entity_precision": sums[0] / np.maximum(1, sums[1]),
        "entity_recall": sums[0] / np.maximum(1, sums[2]),
    }
    if len(judged):
        total = (told + true)[:, list(judged)]
        by_concept = np.where(total > 0, 2 * both[:, list(judged)] / np.maximum(1, total), np.nan)
        resampled["entity_f1_macro"] = np.nanmean(by_concept, 1)
    return resampled


def chexbert_f1(said: np.ndarray, held: np.ndarray) -> dict[str, float]:
    """Return F1 over CheXbert's fourteen conditions and over five of them, pooled and as a mean.

    Args:
        said: ``(report, 14)`` bool, asserted by the generated report.
        held: … by the true one. Means are over the conditions that some true report asserts.
    """
    figures = {}
    for name, columns in _CONDITION_SETS.items():
        told, true = said[:, columns], held[:, columns]
        figures[name] = float(f1(told & true, told, true))
        if true.any():
            scores = f1(told & true, told, true, axis=0)[true.any(0)]
            figures[f"{name}_macro"] = float(scores.mean())
    return figures


def chexbert_draws(said: np.ndarray, held: np.ndarray, bootstrap: PatientBootstrap) -> dict[str, Array]:
    """Draw the figures of `chexbert_f1`, ``(resamples,)`` each."""
    draws = {}
    for name, columns in _CONDITION_SETS.items():
        told, true = said[:, columns], held[:, columns]
        drawn = entity_draws(told, true, np.flatnonzero(true.any(0)).tolist(), bootstrap)
        draws[name] = drawn["entity_f1"]
        if "entity_f1_macro" in drawn:
            draws[f"{name}_macro"] = drawn["entity_f1_macro"]
    return draws


_CONDITION_SETS = {
    "chexbert_f1_14": list(range(len(CONDITIONS))),
    "chexbert_f1_5": [CONDITIONS.index(name) for name in FIVE],
}


def f1(both: np.ndarray, said: np.ndarray, held: np.ndarray, axis: int | None = None) -> Array:
    """F1 of entities: twice those in both texts over those in either, counted twice where in both.

    Args:
        both: ``(report, concept)`` bool, asserted by both.
        said: … by the generated report.
        held: … by the true one.
        axis: Pool over this axis; None over all.
    """
    total = said.sum(axis) + held.sum(axis)
    return np.asarray(2 * both.sum(axis) / np.maximum(1, total), float)


def corpus_bleu(written: Sequence[str], true: Sequence[str]) -> float:
    """BLEU-4 of the corpus."""
    from torchmetrics.functional.text import bleu_score

    return float(bleu_score(list(written), [[text] for text in true]))


def rouge_l(written: Sequence[str], true: Sequence[str]) -> Array:
    """ROUGE-L (F) of each report, ``(n,)``."""
    from torchmetrics.functional.text import rouge_score

    scores = [rouge_score(*pair, rouge_keys="rougeL") for pair in zip(written, true, strict=True)]
    return np.array([float(score["rougeL_fmeasure"]) for score in scores])


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
