"""Phrase grounding: does the part of an image that resembles a phrase show what the phrase says?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.pictures import PicturedPair, blank_figure, show_pair
from callbacks.evaluations.patch_maps import PatchMaps
from callbacks.evaluations.phrase_maps import PhraseMaps
from callbacks.evaluations.phrase_queries import PhraseQueries
from callbacks.evaluations.zero_shot_prompts import prompts_sha256
from callbacks.statistics.grounding import agreement, enlarged, location_prior
from callbacks.statistics.logistic import folds_of
from datamodules.batch import IMAGE, INDEX, MASKS, Batch, data_facts
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("pointing", "pointing_chance", "pointing_shuffled", "iou", "cnr")
"""What is measured of each finding by itself; the location prior is made of all of them."""

GAINS = {
    "gain_over_prior": "pointing_prior",
    "gain_over_shuffled": "pointing_shuffled",
    "pointing_gain": "pointing_chance",
}
"""Gain in pointing → the baseline that it is over."""

FOLDS = 5


@dataclass(frozen=True)
class GroundedFinding:
    """How well the similarity map of a finding's phrase lies on its mask.

    Attributes:
        concept: The finding, in label order.
        pointing: 1 if the most similar pixel is in the mask, else 0.
        pointing_chance: Share of the image that the mask covers: a random pixel's chance.
        pointing_shuffled: Of the phrases of findings that the image lacks, the share whose most similar pixel
            is in the mask; NaN where there is no such phrase.
        iou: Mean intersection over union at the callback's thresholds.
        cnr: Contrast-to-noise ratio, signed.
        mask: The mask's pixels in order, eight a byte.
        size: Height and width of the mask.
        shown: Image, mask and map ``(3, height, width)``, kept for the first samples alone.
    """

    concept: int
    pointing: float
    pointing_chance: float
    pointing_shuffled: float
    iou: float
    cnr: float
    mask: np.ndarray
    size: tuple[int, int]
    shown: np.ndarray | None = None


class PhraseGrounding(BatchEvaluation[EvaluationOutput]):
    """Similarity maps of phrases against exact masks, without any further training.

    The phrases are the catalogue's, or those of the data where its regions have some; `maps` that know no
    words take the phrase's concept. A phrase's map is interpolated to the image's size. Several masks of one
    phrase in an image count as one.

    - ``pointing``: share of findings whose most similar pixel is in the mask (pointing game, Zhang et al.
      2018, doi:10.1007/s11263-017-1059-x). Three baselines stand beside it, each with the gain over it from
      the same findings: ``pointing_prior``, one fixed point for each concept, where masks of *other* patients
      of the evaluation set overlap most (five folds by a hash of the patient, so that no training masks are
      needed): what knowing anatomy without a look at the image is worth (``gain_over_prior``);
      ``pointing_shuffled``, the phrases of findings that the image does not show, on average (see
      `PhraseQueries.others`): what any phrase points at (``gain_over_shuffled``); ``pointing_chance``, the
      mean share of an image that masks cover, which is what a random pixel would reach (``pointing_gain``).
    - ``iou``: intersection over union of mask and map, the map scaled to [0, 1] and cut at thresholds that
      are fixed beforehand, averaged over these (as in BioViL, Boecking et al. 2022, arXiv:2204.09817).
    - ``cnr``: ``(mean inside - mean outside) / sqrt(variance inside + variance outside)``, as there, but with
      its sign: a map that is low where the finding is must not look good.

    All are means over findings; ``pointing/<concept>``, ``iou/<concept>`` and so on by finding.

    Args:
        thresholds: Of the scaled map, in (0, 1).
        min_count: A concept with fewer findings has no figure of its own, and is named.
        examples: How many of the first samples are kept for the picture.
        name: The callback's name in metric names.
        maps: What makes the maps; None takes `PatchMaps`, which every dual encoder has.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If a threshold is not in (0, 1), or a number is negative.
    """

    needs = frozenset({MASKS})

    def __init__(
        self,
        thresholds: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9),
        min_count: int = 10,
        examples: int = 12,
        name: str = "grounding",
        maps: PhraseMaps | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        if not thresholds or not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError(f"thresholds={list(thresholds)} must be one or more numbers in (0, 1)")
        require_non_negative(min_count=min_count, examples=examples)
        self.thresholds, self.min_count, self.examples = tuple(thresholds), min_count, examples
        self.maps = maps or PatchMaps()
        self._queries: PhraseQueries | None = None

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Encode the phrases."""
        super().on_validation_start(trainer, pl_module)
        facts = data_facts(trainer)
        self._queries = PhraseQueries(facts, self.maps.reads_phrases)
        self.maps.prepare(pl_module, facts, self._queries.prompts)

    on_test_start = on_validation_start

    def measure(
        self, pl_module: L.LightningModule, batch: Batch, outputs: EvaluationOutput
    ) -> Sequence[list[GroundedFinding]] | None:
        """Ground every finding of every image."""
        if MASKS not in batch:
            return None
        maps = self.maps.maps(pl_module, batch[IMAGE])
        return [self._ground(batch, row, maps[row]) for row in range(len(maps))]

    def _ground(self, batch: Batch, row: int, coarse: Tensor) -> list[GroundedFinding]:
        assert self._queries is not None
        masks, wanted = batch[MASKS][row], self._queries.of_masks(batch, row)
        keep = int(batch[INDEX][row]) < self.examples
        size = (int(masks.shape[1]), int(masks.shape[2]))
        others = self._queries.others(batch, row)
        beside = torch.empty(0, dtype=torch.int64)
        if others:
            beside = enlarged(coarse[others], size).flatten(1).argmax(1)
        found = []
        for concept, phrase in sorted(set(wanted)):
            mask = masks[torch.tensor([own == (concept, phrase) for own in wanted])].any(0)
            if not 0 < int(mask.sum()) < mask.numel():
                continue  # nothing to point at, or nothing beside it
            map_ = enlarged(coarse[[self._queries.column(concept, phrase)]], size)[0]
            shuffled = float(mask.flatten()[beside].float().mean())  # NaN for none
            pointing, chance, iou, cnr = agreement(map_, mask, self.thresholds)
            shown = torch.stack([batch[IMAGE][row, 0], mask, map_]).float().cpu().numpy() if keep else None
            packed = np.packbits(mask.cpu().numpy())
            found.append(GroundedFinding(concept, pointing, chance, shuffled, iou, cnr, packed, size, shown))
        return found

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Average over findings."""
        rows = features.measured.get(self.name)
        if rows is None:
            return Result({}, {"note": "these data know no masks"})
        found = [(finding, group) for row, group in zip(rows, features.group, strict=True) for finding in row]
        if not found:
            return Result({}, {"note": "no findings with masks in the data"})
        group, concept = np.array([int(g) for _, g in found]), np.array([f.concept for f, _ in found])
        values = {name: np.array([getattr(f, name) for f, _ in found], float) for name in MEASURES}
        masks, size = np.stack([f.mask for f, _ in found]), found[0][0].size
        values["pointing_prior"] = location_prior(masks, size, concept, folds_of(group, FOLDS))
        by_concept = dict(values)
        for gain, baseline in GAINS.items():
            values[gain] = values["pointing"] - values[baseline]
        counts = {name: int((concept == c).sum()) for c, name in enumerate(occasion.concepts)}
        judged = [name for name, n in counts.items() if n >= max(1, self.min_count)]
        metrics = {
            name: float(np.nanmean(value)) for name, value in values.items() if not np.isnan(value).all()
        }
        for name in judged:
            rows_of = concept == occasion.concepts.index(name)
            means = {
                f: value[rows_of] for f, value in by_concept.items() if not np.isnan(value[rows_of]).all()
            }
            metrics |= {f"{figure}/{name}": float(np.nanmean(value)) for figure, value in means.items()}
        details = {
            "findings": {name: n for name, n in counts.items() if n},
            "left_out": {name: n for name, n in counts.items() if n and name not in judged},
            "without_prior": int(
                np.isnan(values["pointing_prior"]).sum()
            ),  # no other patient has such a mask
            "thresholds": list(self.thresholds),
            "prompts_sha256": prompts_sha256(self._queries.prompts if self._queries else {}),
        } | ({"phrases": self._queries.number} if self._queries and self._queries.number else {})
        return Result(metrics, details, self.mean_draws(values, group, occasion))

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw maps over the first images, the masks outlined."""
        shown = [
            (occasion.concepts[finding.concept], finding.shown, bool(finding.pointing))
            for row in features.measured[self.name]
            for finding in row
            if finding.shown is not None
        ]
        return {"grounding": grounding_sheet(shown)} if shown else {}


def grounding_sheet(shown: Sequence[tuple[str, np.ndarray, bool]], columns: int = 6) -> Figure:
    """Draw maps in colour over images, the finding outlined, the most similar pixel marked.

    Args:
        shown: Concept, image, mask and map ``(3, height, width)``, and whether the pointing game was won.
        columns: Images a row.
    """
    rows = -(-len(shown) // columns)
    figure = blank_figure(2.2 * columns, 2.4 * rows + 0.4, "phrase grounding (outline: the finding)")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (name, (image, mask, map_), hit) in zip(grid.flat, shown, strict=False):
        show_pair(axes, PicturedPair(image, "", "hit" if hit else "miss", [(name, mask > 0.5)]))
        low, high = float(map_.min()), float(map_.max())
        strength = (map_ - low) / max(high - low, 1e-12)
        axes.imshow(map_, cmap="inferno", alpha=0.55 * strength)
        top, left = np.unravel_index(int(map_.argmax()), map_.shape)
        axes.plot(left, top, "+", color="white", markersize=9, markeredgewidth=1.5)
    return figure
