"""Phrase grounding: does the part of an image that resembles a phrase show what the phrase says?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.evaluations.grounding_pictures import grounding_sheet
from callbacks.evaluations.zero_shot import Prompts, catalogue_prompts, prompts_sha256
from datamodules.batch import IMAGE, INDEX, MASK_CONCEPTS, MASKS, data_facts
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = ("pointing", "pointing_chance", "iou", "cnr")


@dataclass(frozen=True)
class GroundedFinding:
    """How well the similarity map of a finding's phrase lies on its mask.

    Attributes:
        concept: The finding, in label order.
        pointing: 1 if the most similar pixel is in the mask, else 0.
        pointing_chance: Share of the image that the mask covers: a random pixel's chance.
        iou: Mean intersection over union at the callback's thresholds.
        cnr: Contrast-to-noise ratio, signed.
        shown: Image, mask and map ``(3, height, width)``, kept for the first samples alone.
    """

    concept: int
    pointing: float
    pointing_chance: float
    iou: float
    cnr: float
    shown: np.ndarray | None = None


class PhraseGrounding(BatchEvaluation[EvaluationOutput]):
    """Similarity maps of the catalogue's phrases against exact masks, without any training.

    A finding's phrase is the ensemble of its "present" prompts. Its map is the inner product with what each
    patch adds to the image's place in the shared space (`ImageEncoder.project_local`), interpolated to the
    image's size. Several masks of one concept in an image count as one.

    - ``pointing``: share of findings whose most similar pixel is in the mask (pointing game, Zhang et al.
      2018, doi:10.1007/s11263-017-1059-x); ``pointing_chance``: the mean share of an image that masks cover,
      which is what a random pixel would reach; ``pointing_gain``: their difference.
    - ``iou``: intersection over union of mask and map, the map scaled to [0, 1] and cut at thresholds that
      are fixed beforehand, averaged over these (as in BioViL, Boecking et al. 2022, arXiv:2204.09817).
    - ``cnr``: ``(mean inside - mean outside) / sqrt(variance inside + variance outside)``, as there, but with
      its sign: a map that is low where the finding is must not look good.

    All are means over findings; ``pointing/<concept>``, ``iou/<concept>`` and so on by finding.

    Args:
        thresholds: Of the scaled map, in (0, 1).
        min_count: A concept with fewer findings has no figure of its own, and is named.
        examples: How many of the first samples are kept for the picture.
        name: The callback's part of the metric names.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        if not thresholds or not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError(f"thresholds={list(thresholds)} must be one or more numbers in (0, 1)")
        require_non_negative(min_count=min_count, examples=examples)
        self.thresholds, self.min_count, self.examples = tuple(thresholds), min_count, examples
        self._prompts: Prompts = {}
        self._phrases = torch.empty(0)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Encodes the phrases."""
        super().on_validation_start(trainer, pl_module)
        self._prompts = catalogue_prompts(data_facts(trainer))
        encode = pl_module.encode_text
        ensembles = [encode(both["present"]).mean(0) for both in self._prompts.values()]  # type: ignore[operator]
        self._phrases = F.normalize(torch.stack(ensembles), dim=1) if ensembles else torch.empty(0)

    on_test_start = on_validation_start

    def measure(
        self, pl_module: L.LightningModule, batch: Mapping[str, Any], outputs: EvaluationOutput
    ) -> Sequence[list[GroundedFinding]] | None:
        """Grounds every finding of every image."""
        if MASKS not in batch:
            return None
        patches = pl_module.encode_patches(batch[IMAGE])  # type: ignore[operator]
        return [self._ground(batch, row, patches[row]) for row in range(len(patches))]

    def _ground(self, batch: Mapping[str, Any], row: int, patches: Tensor) -> list[GroundedFinding]:
        masks, concepts = batch[MASKS][row], batch[MASK_CONCEPTS][row]
        keep = int(batch[INDEX][row]) < self.examples
        found = []
        for concept in concepts.unique().tolist():
            mask = masks[concepts == concept].any(0)
            if not 0 < int(mask.sum()) < mask.numel():
                continue  # nothing to point at, or nothing beside it
            map_ = similarity_map(patches, self._phrases[concept], tuple(mask.shape))
            shown = torch.stack([batch[IMAGE][row, 0], mask, map_]).float().cpu().numpy() if keep else None
            found.append(GroundedFinding(concept, *agreement(map_, mask, self.thresholds), shown=shown))
        return found

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Averages over findings."""
        rows = features.measured.get(self.name)
        if rows is None:
            return Result({}, {"note": "these data know no masks"})
        found = [(finding, group) for row, group in zip(rows, features.group, strict=True) for finding in row]
        if not found:
            return Result({}, {"note": "no findings with masks in the data"})
        values = {name: np.array([getattr(f, name) for f, _ in found], float) for name in FIGURES}
        values["pointing_gain"] = values["pointing"] - values["pointing_chance"]
        group, concept = np.array([int(g) for _, g in found]), np.array([f.concept for f, _ in found])
        counts = {name: int((concept == c).sum()) for c, name in enumerate(occasion.concepts)}
        judged = [name for name, n in counts.items() if n >= max(1, self.min_count)]
        metrics = {name: float(value.mean()) for name, value in values.items()}
        for name in judged:
            rows_of = concept == occasion.concepts.index(name)
            metrics |= {f"{figure}/{name}": float(values[figure][rows_of].mean()) for figure in FIGURES}
        details = {
            "findings": {name: n for name, n in counts.items() if n},
            "left_out": {name: n for name, n in counts.items() if n and name not in judged},
            "thresholds": list(self.thresholds),
            "prompts_sha256": prompts_sha256(self._prompts),
        }
        return Result(metrics, details, self.mean_draws(values, group, occasion))

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draws maps over the first images, the masks outlined."""
        shown = [
            (occasion.concepts[finding.concept], finding.shown, bool(finding.pointing))
            for row in features.measured[self.name]
            for finding in row
            if finding.shown is not None
        ]
        return {"grounding": grounding_sheet(shown)} if shown else {}


def similarity_map(patches: Tensor, phrase: Tensor, size: tuple[int, ...]) -> Tensor:
    """The likeness of every pixel to a phrase, ``(height, width)`` float32.

    Args:
        patches: ``(rows, columns, projection)``.
        phrase: ``(projection,)``.
        size: Height and width.
    """
    coarse = (patches @ phrase.to(patches)).float()
    return F.interpolate(coarse[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def agreement(map_: Tensor, mask: Tensor, thresholds: Sequence[float]) -> tuple[float, float, float, float]:
    """How well a map lies on a mask: pointing, pointing chance, IoU and CNR as `PhraseGrounding` has them.

    Args:
        map_: ``(height, width)``, higher is more alike.
        mask: ``(height, width)`` bool, neither empty nor full.
        thresholds: Of the map scaled to [0, 1].
    """
    pointing = bool(mask.flatten()[map_.flatten().argmax()])
    scaled = (map_ - map_.min()) / (map_.max() - map_.min()).clamp_min(1e-12)
    cut = scaled >= map_.new_tensor(thresholds)[:, None, None]
    iou = (cut & mask).sum((1, 2)) / (cut | mask).sum((1, 2))
    inside, outside = map_[mask].double(), map_[~mask].double()
    noise = (inside.var(correction=0) + outside.var(correction=0)).sqrt().clamp_min(1e-12)
    cnr = (inside.mean() - outside.mean()) / noise
    return float(pointing), float(mask.float().mean()), float(iou.mean()), float(cnr)
