"""Dice of predicted masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.pictures import PicturedPair, blank_figure, show_pair
from datamodules.batch import IMAGE, INDEX, MASKS, Batch
from lightning_modules.downstream.segmentation import SegmentationOutput
from synthesis.organ_names import ORGANS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SegmentedImage:
    """How well the masks of one image were drawn.

    Attributes:
        dice: Concept → Dice where the image has it; NaN where it has not.
        false: Concept → whether something was drawn although the image has none of it; NaN where it has.
        image: ``(height, width)``, kept for the first samples alone.
        masks: Concept → true and drawn mask ``(2, height, width)`` where either is not empty; kept with it.
    """

    dice: dict[str, float]
    false: dict[str, float]
    image: np.ndarray | None = None
    masks: dict[str, np.ndarray] | None = None


class SegmentationDice(BatchEvaluation[SegmentationOutput]):
    """Dice of each concept over the images that have it, of masks cut at a probability fixed beforehand.

    For models with ``classes`` and ``targets`` that return a `SegmentationOutput`, such as
    `lightning_modules.Segmentation`. Background is no class, and an image without the finding does not count
    as a Dice of 1 (both would lift the figure): what is drawn there is ``false_alarm``.

    Figures: ``dice/<concept>``, ``dice_macro`` (mean over concepts), ``false_alarm/<concept>`` (share of
    images without it in which anything is drawn), ``false_alarm_macro``; where organs are segmented too,
    ``dice/<organ>`` and ``dice_organs`` (their mean).

    Args:
        threshold: Probability from which a pixel belongs to a mask, in (0, 1); not tuned.
        min_count: A concept in fewer images has no figure, and is named.
        examples: How many of the first samples are kept for the picture.
        name: The callback's name in metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If ``threshold`` is not in (0, 1), or a number is negative.
    """

    needs = frozenset({MASKS})
    reads = SegmentationOutput

    def __init__(
        self,
        threshold: float = 0.5,
        min_count: int = 5,
        examples: int = 16,
        name: str = "segmentation",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        if not 0 < threshold < 1:
            raise ValueError(f"threshold={threshold} must be in (0, 1)")
        require_non_negative(min_count=min_count, examples=examples)
        self.threshold, self.min_count, self.examples = threshold, min_count, examples

    def measure(
        self, pl_module: L.LightningModule, batch: Batch, outputs: SegmentationOutput
    ) -> Sequence[SegmentedImage]:
        """Compare masks."""
        from monai.metrics import compute_dice

        names: tuple[str, ...] = pl_module.classes  # type: ignore[assignment]
        truth = pl_module.targets(batch)  # type: ignore[operator]
        drawn = (outputs.mask_logits.sigmoid() >= self.threshold).float()
        dice = compute_dice(drawn, truth, ignore_empty=True).cpu().numpy()  # NaN where there is no finding
        false = drawn.flatten(2).any(2).cpu().numpy()
        rows = []
        for row in range(len(truth)):
            absent = np.isnan(dice[row])
            found = {name: float(value) for name, value in zip(names, dice[row], strict=True)}
            alarms = np.where(absent, false[row], np.nan)
            wrong = {name: float(value) for name, value in zip(names, alarms, strict=True)}
            if int(batch[INDEX][row]) >= self.examples:
                rows.append(SegmentedImage(found, wrong))
                continue
            both = np.stack([truth[row].bool().cpu().numpy(), drawn[row].bool().cpu().numpy()], 1)
            masks = {name: pair for name, pair in zip(names, both, strict=True) if pair.any()}
            rows.append(SegmentedImage(found, wrong, batch[IMAGE][row, 0].float().cpu().numpy(), masks))
        return rows

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Average over images, then over concepts."""
        rows: list[SegmentedImage] = features.measured[self.name]
        names, group = list(rows[0].dice), features.group.numpy()
        values = {f"dice/{name}": np.array([row.dice[name] for row in rows]) for name in names}
        values |= {f"false_alarm/{name}": np.array([row.false[name] for row in rows]) for name in names}
        counts = {name: int((~np.isnan(values[f"dice/{name}"])).sum()) for name in names}
        judged = [name for name in names if counts[name] >= max(1, self.min_count)]
        chosen = {
            key: value
            for key, value in values.items()
            if key.split("/")[1] in judged and not np.isnan(value).all()
        }
        metrics = {key: float(np.nanmean(value)) for key, value in chosen.items()}
        of_organs = {f"dice/{name}" for name in ORGANS}
        macro = {
            f"{measure}_macro": [
                value
                for key, value in chosen.items()
                if key.startswith(f"{measure}/") and key not in of_organs
            ]
            for measure in ("dice", "false_alarm")
        } | {"dice_organs": [value for key, value in chosen.items() if key in of_organs]}
        metrics |= {
            key: float(np.mean([np.nanmean(row) for row in rows])) for key, rows in macro.items() if rows
        }
        details = {
            "images_with": counts,
            "left_out": {name: counts[name] for name in names if name not in judged},
            "threshold": self.threshold,
        }
        draws = self.mean_draws(chosen, group, occasion) | self.macro_draws(macro, group, occasion)
        return Result(metrics, details, draws)

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw true and drawn outlines over the first images in which there is something."""
        rows: list[SegmentedImage] = features.measured[self.name]
        shown = [(row.image, row.masks) for row in rows if row.image is not None and row.masks]
        return {"segmentation": mask_sheet(shown)} if shown else {}


def mask_sheet(shown: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]], columns: int = 4) -> Figure:
    """Each image twice: with the outlines of the true masks, and with those that were drawn.

    Args:
        shown: Image ``(height, width)``, and concept → true and drawn mask ``(2, height, width)``.
        columns: Images a row.
    """
    rows = -(-len(shown) // columns)
    figure = blank_figure(4.2 * columns, 2.4 * rows + 0.4, "segmentation: truth, prediction")
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, (image, masks) in enumerate(shown):
        row, column = divmod(i, columns)
        for side, title in enumerate(("truth", "prediction")):
            outlines = [(name if both[side].any() else "", both[side]) for name, both in masks.items()]
            show_pair(grid[row, 2 * column + side], PicturedPair(image, "", title, outlines))
    return figure
