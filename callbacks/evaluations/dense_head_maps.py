"""Maps from the head that found masks while the model was pre-trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from callbacks.evaluations.phrase_maps import PhraseMaps
from callbacks.evaluations.zero_shot_prompts import Prompts
from datamodules.batch import IMAGE, DataFacts
from lightning_modules.contexts import evaluating
from lightning_modules.objectives.dense_supervision import DenseSupervision


class DenseHeadMaps(PhraseMaps):
    """What the head of `lightning_modules.DenseSupervision` says of each concept, cell by cell.

    The head has been trained on masks, so this is no zero-shot grounding, and it knows concepts, not words. A
    concept that it was not trained on has a map of zeros, which points at a corner.
    """

    reads_phrases = False

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()

    def prepare(self, model: Any, facts: DataFacts, prompts: Prompts) -> None:
        """See `PhraseMaps.prepare`: find the head."""
        self._names = tuple(prompts)
        self._head(model).prepare(model.image_encoder, facts)

    def maps(self, model: Any, images: Tensor) -> Tensor:
        """See `PhraseMaps.maps`."""
        head = self._head(model)
        with evaluating(model):
            logits = head.logits(model.image_encoder({IMAGE: images.to(model.device)}))
        maps = torch.zeros(len(logits), len(self._names), *logits.shape[2:], device=logits.device)
        for column, name in enumerate(self._names):
            if name in head.concepts:
                maps[:, column] = logits[:, head.concepts.index(name)]
        return maps

    @staticmethod
    def _head(model: Any) -> DenseSupervision:
        found = [term for term in getattr(model, "terms", ()) if isinstance(term, DenseSupervision)]
        if not found:
            raise TypeError(
                f"DenseHeadMaps needs a model that was pre-trained with configs/terms/dense.yaml; this "
                f"{type(model).__name__} has no such term. Take callbacks.PatchMaps"
            )
        return found[0]
