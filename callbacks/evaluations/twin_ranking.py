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
from callbacks.drawing.pictures import (
    COLOURS,
    GREY,
    INK,
    PicturedPair,
    blank_figure,
    show_pair,
    tidy,
    write_text,
)
from callbacks.statistics.twin_comparison import TwinComparison, confusion
from datamodules.batch import IMAGE, INDEX, LEFT_OUT, MIRRORED_TWINS, REPORT, SWAPPED_TWINS, TWINS, Batch
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"without": TWINS, "swap": SWAPPED_TWINS, "side": MIRRORED_TWINS}
"""Kind of twin → key of the batch."""

_TITLES = {"without": "without {}", "swap": "another finding for {}", "side": "{} on the other side"}


class TwinRanking(BatchEvaluation[EvaluationOutput]):
    """Choosing between two reports that differ in one finding, for two images that differ in nothing else.

    Each image of a twin pair (`synthesis.twins`) has to be more similar to its own report than to its
    twin's. Chance is 50 % whatever a model prefers: who likes long reports, devices or a view is right for
    one twin and wrong for the other. The four choices of a pair are those of Winoground (Thrush et al. 2022,
    arXiv:2204.03162), here with exact counterfactuals.

    Three kinds of twins ask for more and more. A twin *without* the finding is told apart by whoever sees how
    abnormal an image is and how abnormal a report, without knowing which finding it is. Where another finding
    was *swapped* in, or the finding is on the other *side*, that is worth nothing: such a model is at 50 %.

    Figures: ``accuracy`` (reports chosen for images), ``accuracy/<concept>``, ``accuracy_macro`` (mean over
    concepts), ``t2i_accuracy`` (images chosen for reports), and ``all_four`` (share of pairs in which every
    choice is right; chance is one sixth for independent scores), all of twins without a finding; the same
    under ``swap/`` (by the finding that gives way) and ``side/``.

    Args:
        min_count: A concept with fewer twin pairs has no figure, and is named.
        examples: How many of the first samples are kept for the picture.
        kinds: Which twins: ``without``, ``swap``, ``side``.
        name: The callback's name in metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If a number is negative, or a kind unknown.
    """

    def __init__(
        self,
        min_count: int = 10,
        examples: int = 8,
        kinds: Sequence[str] = tuple(KINDS),
        name: str = "twins",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        require_non_negative(min_count=min_count, examples=examples)
        if not kinds or (unknown := set(kinds) - KINDS.keys()):
            raise ValueError(f"kinds={list(kinds)}: give one or more of {list(KINDS)}, not {sorted(unknown)}")
        self.min_count, self.examples, self.kinds = min_count, examples, tuple(kinds)
        self.needs = frozenset(KINDS[kind] for kind in kinds)

    def measure(
        self, pl_module: L.LightningModule, batch: Batch, outputs: EvaluationOutput
    ) -> Sequence[dict[str, TwinComparison]] | None:
        """Compare both images with both reports, for each kind of twin that the batch holds."""
        kinds = [kind for kind in self.kinds if KINDS[kind] in batch]
        if not kinds:
            return None
        # All by one route, whatever the precision of the step, so that twins differ by content alone.
        own = _encoded(pl_module, batch)
        similarity = {}
        for kind in kinds:
            pairs = zip(own, _encoded(pl_module, batch[KINDS[kind]]), strict=True)
            images, texts = (torch.stack(both, 1).double() for both in pairs)
            similarity[kind] = (images @ texts.transpose(1, 2)).cpu().numpy()
        rows = range(len(batch[INDEX]))
        return [
            {kind: self._comparison(batch, kind, row, similarity[kind][row]) for kind in kinds}
            for row in rows
        ]

    def _comparison(self, batch: Batch, kind: str, row: int, similarity: np.ndarray) -> TwinComparison:
        sides = (batch, batch[KINDS[kind]])
        concept = int(sides[1][LEFT_OUT][row])
        if int(batch[INDEX][row]) >= self.examples:
            return TwinComparison(concept, similarity)
        images = np.stack([side[IMAGE][row, 0].float().cpu().numpy() for side in sides])
        return TwinComparison(concept, similarity, images, (batch[REPORT][row], sides[1][REPORT][row]))

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Count right choices, kind by kind."""
        result = Result({}, {"chance": {"accuracy": 0.5, "t2i_accuracy": 0.5, "all_four": 1 / 6}})
        for kind in self.kinds:
            twins, group = self._twins(features, kind)
            if twins:
                self._add(result, twins, group, occasion, "" if kind == "without" else f"{kind}/")
        return result if result.metrics else Result({}, {"note": "no pair of these data has a twin"})

    def _add(
        self,
        result: Result,
        twins: Sequence[TwinComparison],
        group: np.ndarray,
        occasion: Occasion,
        prefix: str,
    ) -> None:
        right, concept = np.stack([twin.right() for twin in twins]), np.array([t.concept for t in twins])
        chosen = right[:, :2].mean(1)
        values = {
            f"{prefix}accuracy": chosen,
            f"{prefix}t2i_accuracy": right[:, 2:].mean(1),
            f"{prefix}all_four": (right == 1).all(1).astype(float),
        }
        counts = {name: int((concept == c).sum()) for c, name in enumerate(occasion.concepts)}
        judged = [name for name, n in counts.items() if n >= max(1, self.min_count)]
        by_concept = [np.where(concept == occasion.concepts.index(name), chosen, np.nan) for name in judged]
        values |= {f"{prefix}accuracy/{name}": row for name, row in zip(judged, by_concept, strict=True)}
        result.metrics.update({name: float(np.nanmean(value)) for name, value in values.items()})
        macro = {f"{prefix}accuracy_macro": by_concept} if judged else {}
        for name, rows in macro.items():
            result.metrics[name] = float(np.mean([np.nanmean(row) for row in rows]))
        result.draws.update(
            self.mean_draws(values, group, occasion) | self.macro_draws(macro, group, occasion)
        )
        told = {
            "twin_pairs": len(twins),
            "pairs": {name: n for name, n in counts.items() if n},
            "left_out": {name: n for name, n in counts.items() if n and name not in judged},
            "confusion": confusion(right),
        }
        result.details.update({prefix.rstrip("/"): told} if prefix else told)

    def _twins(self, features: Features, kind: str) -> tuple[list[TwinComparison], np.ndarray]:
        """Return the twins of a kind, and their patients; samples without one are left out."""
        measured: list[dict[str, TwinComparison]] = features.measured.get(self.name, [])
        rows = [row for row, kinds in enumerate(measured) if kind in kinds and kinds[kind].concept >= 0]
        return [measured[row][kind] for row in rows], features.group.numpy()[rows]

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw accuracy by finding with the confusion of twins, and some twins with their reports."""
        figures = {}
        for kind in self.kinds:
            twins, _ = self._twins(features, kind)
            prefix, suffix = ("", "") if kind == "without" else (f"{kind}/", f"_{kind}")
            if twins:
                details = result.details[kind] if prefix else result.details
                intervals = result.details["intervals"]
                figures[f"twins{suffix}"] = twin_bars(result.metrics, intervals, details, prefix)
            if shown := [twin for twin in twins if twin.images is not None]:
                figures[f"twin_pairs{suffix}"] = twin_sheet(shown, occasion.concepts, _TITLES[kind])
        return figures


def _encoded(module: L.LightningModule, side: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    return module.encode_image(side[IMAGE]), module.encode_text(side[REPORT])  # type: ignore[operator]


def twin_bars(
    metrics: Mapping[str, float],
    intervals: Mapping[str, Sequence[float]],
    details: Mapping[str, Any],
    prefix: str,
) -> Figure:
    """Draw accuracy by finding with intervals and chance, and which report was chosen for which image.

    Args:
        metrics: Figures of `TwinRanking`.
        intervals: Theirs.
        details: ``confusion`` and ``twin_pairs``.
        prefix: How the names of this kind's figures begin.
    """
    start = f"{prefix}accuracy/"
    names = [key.removeprefix(start) for key in metrics if key.startswith(start)]
    names.sort(key=lambda name: metrics[f"{start}{name}"])
    figure = blank_figure(9.5, 2.4 + 0.26 * len(names), "counterfactual twins: the right report chosen")
    bars, matrix = figure.subplots(1, 2, width_ratios=[1.6, 1])
    labels = [*names, "all findings"]
    for y, name in enumerate(labels):
        key = f"{start}{name}" if y < len(names) else f"{prefix}accuracy"
        bars.barh(y, metrics[key], 0.75, color=COLOURS[1], alpha=0.85)
        if key in intervals:
            bars.hlines(y, *intervals[key], color=INK, linewidth=1)
    bars.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
    bars.set(xlim=(0, 1), xlabel="accuracy (dashed: chance)")
    bars.set_yticks(range(len(labels)), [name.replace("_", " ") for name in labels], fontsize=8)
    tidy(bars)
    confusion = np.array(details["confusion"])
    matrix.imshow(confusion, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(confusion):
        colour = "white" if value > 0.6 else INK
        matrix.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    for axis, title in ((matrix.xaxis, "report chosen"), (matrix.yaxis, "image shown")):
        axis.set_ticks([0, 1], ["own", "twin's"], fontsize=8)
        axis.set_label_text(title, fontsize=8)
    matrix.set_title(f"{details['twin_pairs']} twin pairs", fontsize=9, color=INK)
    return figure


def twin_sheet(twins: Sequence[TwinComparison], names: Sequence[str], title: str) -> Figure:
    """Draw one row a pair: the image and its report, the twin and its report, and where the images differ.

    A report in green was chosen for the image beside it.

    Args:
        twins: Twins with their images.
        names: Concepts, in label order.
        title: Says what a twin is; ``{}`` stands for the finding.
    """
    figure = blank_figure(13, 2.7 * len(twins) + 0.4, "counterfactual twins (green: the right report chosen)")
    grid = figure.subplots(len(twins), 5, squeeze=False, width_ratios=[1, 1.15, 1, 1.15, 1])
    for axes in grid.flat:
        axes.axis("off")
    for row, twin in zip(grid, twins, strict=True):
        assert twin.images is not None and twin.reports is not None
        name = names[twin.concept].replace("_", " ")
        for side, above in enumerate((f"with {name}", title.format(name))):
            own, other = twin.similarity[side, side], twin.similarity[side, 1 - side]
            colour = "#1a7f37" if own > other else "#b42318"
            show_pair(row[2 * side], PicturedPair(twin.images[side], "", above))
            heading = f"own {own:.3f}, twin's {other:.3f}"
            write_text(
                row[2 * side + 1], twin.reports[side], width=42, lines=18, title=heading, colour=colour
            )
        difference = twin.images[0] - twin.images[1]
        limit = max(float(np.abs(difference).max()), 1e-6)
        row[4].imshow(difference, cmap="RdBu_r", vmin=-limit, vmax=limit)
        row[4].set_title("difference", fontsize=7, color=GREY)
    return figure
