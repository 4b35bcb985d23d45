"""Zero-shot classification: findings read from an image by comparing it with sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from torch import Tensor
from torch.nn.functional import normalize

from callbacks.base.concept_evaluation import ConceptEvaluation
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.curve_pictures import roc_and_pr
from callbacks.evaluations.zero_shot_prompts import (
    Prompts,
    catalogue_prompts,
    prompts_sha256,
    read_prompts,
    share_in_reports,
)
from callbacks.statistics.intervals import Array
from datamodules.batch import data_facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ZeroShot(ConceptEvaluation):
    """Scores each concept by prompt ensembles: similarity to "present" minus similarity to "absent".

    The prompts are the catalogue's, or those of a file: the catalogue's are sentences such as the grammar's
    reports hold, so a model that was trained on these is asked in words that it knows
    (``configs/prompts/zero_shot/`` holds others). Embeddings of a concept's present prompts are averaged and
    normalised again (as in CLIP's ensembles, Radford et al. 2021, arXiv:2103.00020), likewise the absent
    ones, and the image's cosine with one minus its cosine with the other is the score (the pair of CheXzero,
    Tiu et al. 2022, doi:10.1038/s41551-022-00936-9). A softmax over the two at the model's temperature would
    make it a probability without changing any order, so AUROC and average precision need neither temperature
    nor threshold.

    Figures: ``auroc_macro``, ``ap_macro``, ``auroc/<concept>``, ``ap/<concept>``; ``accuracy`` where each
    sample has exactly one of the labels: its highest score is taken; all again under ``<stratum>/``. The
    SHA-256 of the prompts stands in the details, and which share of them are sentences of the evaluated
    reports (``prompts_in_reports``; of so many more training reports it is larger).

    Args:
        name: The callback's name in metric names.
        prompts: YAML file of prompts, see `read_prompts`; None takes the catalogue's.
        **kwargs: Those of `ConceptEvaluation`.
    """

    def __init__(self, name: str = "zero_shot", prompts: str | None = None, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.prompts = prompts
        self._prompts: Prompts = {}
        self._directions = torch.empty(0)

    def check(self, trainer: L.Trainer) -> None:
        """Read the prompts."""
        super().check(trainer)
        facts = data_facts(trainer)
        own = self.prompts is None
        self._prompts = catalogue_prompts(facts) if own else read_prompts(Path(str(self.prompts)), facts)

    def prepare(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Encode the prompts."""
        self.check(trainer)
        self._directions = prompt_directions(pl_module, self._prompts) if self._prompts else torch.empty(0)

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Score the images against the prompts."""
        if not occasion.concepts:
            return Result({}, {"note": "no labels: nothing to judge prompts by"})
        scores = self._scores(features)
        result = self.result(self.tables(scores, features, occasion), occasion)
        self.with_roc(result, scores, features, occasion)
        result.details["prompts_sha256"] = prompts_sha256(self._prompts)
        result.details["prompts"] = sum(len(both[side]) for both in self._prompts.values() for side in both)
        if self.prompts is not None:
            result.details["prompts_file"] = self.prompts
        if features.reports is not None:
            result.details["prompts_in_reports"] = share_in_reports(self._prompts, features.reports)
        return result

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw ROC and precision-recall curves."""
        labels = features.labels.numpy()
        scores, names = self._scores(features), occasion.concepts
        return {f"{self.name}_curves": roc_and_pr(scores, labels, names, result.metrics)}

    def _scores(self, features: Features) -> Array:
        return (features.image.double() @ self._directions.T).numpy()


@torch.no_grad()
def prompt_directions(module: L.LightningModule, prompts: Prompts) -> Tensor:
    """Present minus absent ensemble embedding, ``(concept, projection)`` float64 on the CPU."""
    sentences = [text for both in prompts.values() for side in ("present", "absent") for text in both[side]]
    embeddings = iter(module.encode_text(sentences).detach().cpu().double())  # type: ignore[operator]

    def ensemble(texts: list[str]) -> Tensor:
        return normalize(torch.stack([next(embeddings) for _ in texts]).mean(0), dim=0)

    return torch.stack([ensemble(both["present"]) - ensemble(both["absent"]) for both in prompts.values()])
