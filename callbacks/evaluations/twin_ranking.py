"""The counterfactual test: does a model tell a patient with a finding from the same one without?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.evaluations.twin_comparison import TwinComparison
from callbacks.evaluations.twin_pictures import twin_bars, twin_sheet
from datamodules.batch import IMAGE, INDEX, LEFT_OUT, REPORT, TWINS
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TwinRanking(BatchEvaluation[EvaluationOutput]):
    """Choosing between two reports that differ in one finding, for two images that differ in nothing else.

    Each image of a twin pair (`synthesis.twins`) has to be more similar to its own report than to its
    twin's. Chance is 50 % whatever a model prefers: who likes long reports, devices or a view is right for
    one twin and wrong for the other. The four choices of a pair are those of Winoground (Thrush et al. 2022,
    arXiv:2204.03162), here with exact counterfactuals.

    Figures: ``accuracy`` (reports chosen for images), ``accuracy/<concept>``, ``accuracy_macro`` (mean over
    concepts), ``t2i_accuracy`` (images chosen for reports), and ``all_four`` (share of pairs in which every
    choice is right; chance is one sixth for independent scores).

    Args:
        min_count: A concept with fewer twin pairs has no figure, and is named.
        examples: How many of the first samples are kept for the picture.
        name: The callback's part of the metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If a number is negative.
    """

    needs = frozenset({TWINS})

    def __init__(
        self,
        min_count: int = 10,
        examples: int = 8,
        name: str = "twins",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        require_non_negative(min_count=min_count, examples=examples)
        self.min_count, self.examples = min_count, examples

    def measure(
        self, pl_module: L.LightningModule, batch: Mapping[str, Any], outputs: EvaluationOutput
    ) -> Sequence[TwinComparison] | None:
        """Compares both images with both reports."""
        if TWINS not in batch:
            return None
        sides = (batch, batch[TWINS])
        # All four by one route, whatever the precision of the step, so that twins differ by content alone.
        both = [pl_module.encode_image(side[IMAGE]) for side in sides]  # type: ignore[operator]
        said = [pl_module.encode_text(side[REPORT]) for side in sides]  # type: ignore[operator]
        images, texts = torch.stack(both, 1).double(), torch.stack(said, 1).double()
        similarity = (images @ texts.transpose(1, 2)).cpu().numpy()
        return [self._comparison(batch, row, similarity[row]) for row in range(len(similarity))]

    def _comparison(self, batch: Mapping[str, Any], row: int, similarity: np.ndarray) -> TwinComparison:
        sides = (batch, batch[TWINS])
        concept = int(batch[TWINS][LEFT_OUT][row])
        if int(batch[INDEX][row]) >= self.examples:
            return TwinComparison(concept, similarity)
        images = np.stack([side[IMAGE][row, 0].float().cpu().numpy() for side in sides])
        return TwinComparison(concept, similarity, images, (batch[REPORT][row], batch[TWINS][REPORT][row]))

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Counts right choices."""
        found, group = self._twins(features)
        if not found:
            return Result({}, {"note": "no pair of these data has a twin"})
        right, concept = np.stack([twin.right() for twin in found]), np.array([t.concept for t in found])
        chosen = right[:, :2].mean(1)
        values = {
            "accuracy": chosen,
            "t2i_accuracy": right[:, 2:].mean(1),
            "all_four": (right == 1).all(1).astype(float),
        }
        counts = {name: int((concept == c).sum()) for c, name in enumerate(occasion.concepts)}
        judged = {name: concept == occasion.concepts.index(name) for name, n in counts.items() if n}
        judged = {name: rows for name, rows in judged.items() if rows.sum() >= self.min_count}
        values |= {f"accuracy/{name}": np.where(rows, chosen, np.nan) for name, rows in judged.items()}
        metrics = {name: float(np.nanmean(value)) for name, value in values.items()}
        macro = {"accuracy_macro": [values[f"accuracy/{name}"] for name in judged]}
        if judged:
            metrics["accuracy_macro"] = float(np.mean([metrics[f"accuracy/{name}"] for name in judged]))
        details = {
            "twin_pairs": len(found),
            "chance": {"accuracy": 0.5, "t2i_accuracy": 0.5, "all_four": 1 / 6},
            "pairs": {name: n for name, n in counts.items() if n},
            "left_out": {name: n for name, n in counts.items() if n and name not in judged},
            "confusion": confusion(right),
        }
        draws = self.mean_draws(values, group, occasion)
        draws |= self.macro_draws(macro if judged else {}, group, occasion)
        return Result(metrics, details, draws)

    def _twins(self, features: Features) -> tuple[list[TwinComparison], np.ndarray]:
        measured: list[TwinComparison] = features.measured.get(self.name, [])
        rows = [row for row, twin in enumerate(measured) if twin.concept >= 0]
        return [measured[row] for row in rows], features.group.numpy()[rows]

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draws accuracy by finding with the confusion of twins, and some twins with their reports."""
        shown = [twin for twin in self._twins(features)[0] if twin.images is not None]
        figures = {"twins": twin_bars(result.metrics, result.details)}
        return figures | ({"twin_pairs": twin_sheet(shown, occasion.concepts)} if shown else {})


def confusion(right: np.ndarray) -> list[list[float]]:
    """Rows: the image shown, with and without the finding; columns: the report chosen for it."""
    seen, missed = float(right[:, 0].mean()), float(right[:, 1].mean())
    return [[seen, 1 - seen], [1 - missed, missed]]
