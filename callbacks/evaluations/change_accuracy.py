"""Accuracy of temporal comparison, beside what the current radiograph alone gives away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.pictures import COLOURS, GREY, blank_figure, tidy
from callbacks.statistics.logistic import folds_of
from datamodules.batch import CHANGE, PRIOR, Batch
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CLASSES = ("less", "same", "more")


class ChangeAccuracy(BatchEvaluation[EvaluationOutput]):
    """How often the change of a graded finding is told right: less, same or more severe than in the prior.

    Beside it ``majority``, the commonest class of the concept among *other* patients (five folds by a hash of
    the patient): what whoever sees no image is right with.

    Figures: ``accuracy``, ``majority``, ``gain`` (paired), ``recall/<class>``, ``accuracy_macro`` (mean of
    the recalls), ``accuracy/<concept>``.

    Args:
        min_count: A concept with fewer findings has no figure of its own, and is named.
        name: The callback's name in metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If a number is negative.
    """

    needs = frozenset({PRIOR, CHANGE})

    def __init__(self, min_count: int = 10, name: str = "change", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        require_non_negative(min_count=min_count)
        self.min_count = min_count

    def measure(
        self, pl_module: L.LightningModule, batch: Batch, outputs: EvaluationOutput
    ) -> Sequence[list[tuple[int, int, int]]]:
        """Return of each image its graded findings: concept, change, and the change that was told.

        Raises:
            TypeError: If the step returns no scores.
        """
        if outputs.scores is None:
            raise TypeError(
                f"the evaluation step of {type(pl_module).__name__} returned no scores: ChangeAccuracy is "
                "for lightning_modules.TemporalComparison"
            )
        told, change = outputs.scores.argmax(-1).cpu().numpy(), batch[CHANGE].cpu().numpy()
        return [
            [(int(c), int(change[row, c]), int(told[row, c])) for c in np.flatnonzero(~np.isnan(change[row]))]
            for row in range(len(change))
        ]

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Count what was told right."""
        rows = features.measured[self.name]
        owners = [(finding, int(g)) for row, g in zip(rows, features.group, strict=True) for finding in row]
        if not owners:
            return Result({}, {"note": "no graded findings in these data"})
        concept, change, told = np.array([finding for finding, _ in owners]).T
        group = np.array([g for _, g in owners])
        right, guess = (told == change).astype(float), majority(concept, change, folds_of(group, 5))
        values = {"accuracy": right, "majority": (guess == change).astype(float)}
        values["gain"] = values["accuracy"] - values["majority"]
        recalls = [np.where(change == k, right, np.nan) for k in range(len(_CLASSES)) if (change == k).any()]
        values |= {
            f"recall/{name}": np.where(change == k, right, np.nan)
            for k, name in enumerate(_CLASSES)
            if (change == k).any()
        }
        counts = {name: int((concept == c).sum()) for c, name in enumerate(occasion.concepts)}
        judged = [name for name, n in counts.items() if n >= max(1, self.min_count)]
        for name in judged:
            own = concept == occasion.concepts.index(name)
            values[f"accuracy/{name}"] = np.where(own, right, np.nan)
        metrics = {name: float(np.nanmean(value)) for name, value in values.items()}
        metrics["accuracy_macro"] = float(np.mean([np.nanmean(recall) for recall in recalls]))
        details = {
            "findings": {name: n for name, n in counts.items() if n},
            "left_out": {name: n for name, n in counts.items() if n and name not in judged},
            "changes": {name: int((change == k).sum()) for k, name in enumerate(_CLASSES)},
            "chance": {"accuracy_macro": 1 / len(_CLASSES)},
        }
        draws = self.mean_draws(values, group, occasion)
        return Result(
            metrics, details, draws | self.macro_draws({"accuracy_macro": recalls}, group, occasion)
        )

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw accuracy by concept beside the majority's."""
        named = {
            k.removeprefix("accuracy/"): v for k, v in result.metrics.items() if k.startswith("accuracy/")
        }
        names = [*sorted(named, key=lambda name: named[name]), "all findings"]
        named["all findings"] = result.metrics["accuracy"]
        figure = blank_figure(7, 1.4 + 0.26 * len(names), "temporal comparison: change told right")
        axes = figure.subplots()
        axes.barh(range(len(names)), [named[name] for name in names], color=COLOURS[0])
        axes.axvline(result.metrics["majority"], color=GREY, linestyle="--", linewidth=1, label="majority")
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=7)
        axes.set_xlim(0, 1)
        axes.legend(fontsize=7, frameon=False)
        tidy(axes)
        return {self.name: figure}


def majority(concept: np.ndarray, change: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return the commonest change of each finding's concept in the other folds, ``(n,)``; 1 where it is new.

    Args:
        concept: Concept of each finding, ``(n,)``.
        change: Its change, 0, 1 or 2.
        fold: Its fold.
    """
    guess = np.ones(len(change), int)
    for i in range(len(change)):
        others = change[(concept == concept[i]) & (fold != fold[i])]
        if len(others):
            guess[i] = np.bincount(others, minlength=3).argmax()
    return guess
