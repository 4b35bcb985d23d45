"""Maps from the shared space: what patches add to the likeness of image and phrase."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from callbacks.evaluations.phrase_maps import PhraseMaps
from callbacks.evaluations.zero_shot_prompts import Prompts
from datamodules.batch import DataFacts


class PatchMaps(PhraseMaps):
    """Inner products of a phrase with what each patch adds to its image's place in the shared space.

    See `ImageEncoder.project_local`. A concept's phrase is the ensemble of its "present" prompts. Any dual
    encoder has these maps; nothing in its training made them good ones.
    """

    def __init__(self) -> None:
        self._phrases = torch.empty(0)

    def prepare(self, model: Any, facts: DataFacts, prompts: Prompts) -> None:
        """See `PhraseMaps.prepare`: encode the phrases."""
        ensembles = [model.encode_text(both["present"]).mean(0) for both in prompts.values()]
        self._phrases = F.normalize(torch.stack(ensembles), dim=1) if ensembles else torch.empty(0)

    def maps(self, model: Any, images: Tensor) -> Tensor:
        """See `PhraseMaps.maps`."""
        patches: Tensor = model.encode_patches(images)
        return (patches @ self._phrases.to(patches).T).float().permute(0, 3, 1, 2)
