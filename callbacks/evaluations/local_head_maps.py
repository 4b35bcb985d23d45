"""Maps from the heads in which an objective has compared words with patches."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from callbacks.evaluations.phrase_maps import PhraseMaps
from callbacks.evaluations.zero_shot_prompts import Prompts
from datamodules.batch import ATTENTION_MASK, IMAGE, INPUT_IDS, DataFacts
from lightning_modules.contexts import evaluating
from lightning_modules.objectives.words import words_of


class LocalHeadMaps(PhraseMaps):
    """Mean cosine of a phrase's words with each patch, where the objective's own heads bring both together.

    For models trained with `lightning_modules.GLoRIA` or `lightning_modules.MGCA`, whose losses ask for words
    and patches that belong together to be alike. The mean is over the words of all "present" prompts.
    """

    def __init__(self) -> None:
        self._words = torch.empty(0)

    def prepare(self, model: Any, facts: DataFacts, prompts: Prompts) -> None:
        """See `PhraseMaps.prepare`: encode the words."""
        head = self._head(model)
        ensembles = []
        with evaluating(model):
            for both in prompts.values():
                tokens = model.tokenizer(
                    both["present"], padding=True, truncation=True,
                    max_length=min(model.tokenizer.model_max_length, model.text_encoder.max_length),
                    return_tensors="pt",
                )  # fmt: skip
                batch = {key: tokens[key].to(model.device) for key in (INPUT_IDS, ATTENTION_MASK)}
                words, mask = words_of(model.text_encoder(batch))
                ensembles.append(F.normalize(head.text_local(words), dim=-1)[mask].mean(0))
        self._words = torch.stack(ensembles) if ensembles else torch.empty(0)

    def maps(self, model: Any, images: Tensor) -> Tensor:
        """See `PhraseMaps.maps`."""
        with evaluating(model):
            output = model.image_encoder({IMAGE: images.to(model.device)})
            patches = F.normalize(self._head(model).image_local(output.local.float()), dim=-1)
        side = math.isqrt(patches.shape[1])
        return (patches @ self._words.to(patches).T).float().mT.unflatten(2, (side, side))

    @staticmethod
    def _head(model: Any) -> Any:
        objective = getattr(model, "objective", None)
        inner = getattr(objective, "objective", objective)
        if not hasattr(inner, "image_local") or not hasattr(inner, "text_local"):
            raise TypeError(
                f"LocalHeadMaps needs an objective with heads for words and patches, such as GLoRIA or MGCA; "
                f"{type(model).__name__} was trained with {type(inner).__name__}. Take callbacks.PatchMaps"
            )
        return inner
