"""Zero-shot classification: findings read from an image by comparing it with sentences."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from torch import Tensor
from torch.nn.functional import normalize

from callbacks.base.concept_evaluation import ConceptEvaluation
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.curve_pictures import roc_and_pr
from callbacks.statistics.intervals import Array
from datamodules.batch import DataFacts, data_facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Prompts = dict[str, dict[str, list[str]]]
"""Concept → ``{"present": sentences, "absent": sentences}``."""


class ZeroShot(ConceptEvaluation):
    """Scores each concept by prompt ensembles: similarity to "present" minus similarity to "absent".

    The prompts are the catalogue's. Embeddings of a concept's present prompts are averaged and normalised
    again (as in CLIP's ensembles, Radford et al. 2021, arXiv:2103.00020), likewise the absent ones, and the
    image's cosine with one minus its cosine with the other is the score (the pair of CheXzero, Tiu et al.
    2022, doi:10.1038/s41551-022-00936-9). A softmax over the two at the model's temperature would make it a
    probability without changing any order, so AUROC and average precision need neither temperature nor
    threshold.

    Figures: ``auroc_macro``, ``ap_macro``, ``auroc/<concept>``, ``ap/<concept>``; ``accuracy`` where each
    sample has exactly one of the labels: its highest score is taken; all again under ``<stratum>/``. The
    SHA-256 of the prompts stands in the details.

    Args:
        name: The callback's part of the metric names.
        **kwargs: Those of `ConceptEvaluation`.
    """

    def __init__(self, name: str = "zero_shot", **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self._prompts: Prompts = {}
        self._directions = torch.empty(0)

    def prepare(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Encode the prompts."""
        self._prompts = catalogue_prompts(data_facts(trainer))
        self._directions = prompt_directions(pl_module, self._prompts) if self._prompts else torch.empty(0)

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Scores the images against the prompts."""
        if not occasion.concepts:
            return Result({}, {"note": "no labels: nothing to judge prompts by"})
        result = self.result(self.tables(self._scores(features), features, occasion), occasion)
        result.details["prompts_sha256"] = prompts_sha256(self._prompts)
        result.details["prompts"] = sum(len(both[side]) for both in self._prompts.values() for side in both)
        return result

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draws ROC and precision-recall curves."""
        labels = features.labels.numpy()
        scores, names = self._scores(features), occasion.concepts
        return {f"{self.name}_curves": roc_and_pr(scores, labels, names, result.metrics)}

    def _scores(self, features: Features) -> Array:
        return (features.image.double() @ self._directions.T).numpy()


def catalogue_prompts(facts: DataFacts) -> Prompts:
    """Return the prompts of the data's concepts, from its catalogue, in label order.

    Raises:
        ValueError: If the data names concepts and has no catalogue, or a concept has no present or no absent
            prompts.
    """
    if facts.concept_names and facts.catalog is None:
        raise ValueError(
            f"{type(facts).__name__} has concept_names and no catalog: prompts are taken from there"
        )
    prompts: Prompts = {}
    for name in facts.concept_names:
        assert facts.catalog is not None
        concept = facts.catalog[name]
        prompts[name] = {"present": list(concept.prompts_present), "absent": list(concept.prompts_absent)}
        for side, sentences in prompts[name].items():
            if not sentences:
                raise ValueError(
                    f"concept {name!r} has no {side} prompts; write at least one in its catalogue entry"
                )
    return prompts


def prompts_sha256(prompts: Prompts) -> str:
    """Fingerprint of a set of prompts: SHA-256 of their canonical JSON."""
    return hashlib.sha256(json.dumps(prompts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@torch.no_grad()
def prompt_directions(module: L.LightningModule, prompts: Prompts) -> Tensor:
    """Present minus absent ensemble embedding, ``(concept, projection)`` float64 on the CPU."""
    sentences = [text for both in prompts.values() for side in ("present", "absent") for text in both[side]]
    embeddings = iter(module.encode_text(sentences).detach().cpu().double())  # type: ignore[operator]

    def ensemble(texts: list[str]) -> Tensor:
        return normalize(torch.stack([next(embeddings) for _ in texts]).mean(0), dim=0)

    return torch.stack([ensemble(both["present"]) - ensemble(both["absent"]) for both in prompts.values()])
