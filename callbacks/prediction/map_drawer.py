"""Similarity maps of predicted images, one picture an image and prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F

from callbacks.base.files import written_whole
from callbacks.drawing.similarity_overlay import similarity_overlay
from callbacks.prediction.own_prompts import file_names
from callbacks.prediction.prompt_scorer import PromptScorer
from datamodules.batch import IMAGE, NamedImages


class MapDrawer:
    """Draws what each patch of an image adds to a score.

    The map is the inner product of what each patch adds to the image's place in the shared space
    (`ImageEncoder.project_local`) with "present" minus "absent" of the prompts, interpolated to the size of
    the picture. Red speaks for, blue against. The strongest place of a picture is in full colour, whatever
    the score, which stands under the picture: look at it first.

    Args:
        directory: Where ``<prompt>/<image>.png`` go.
        scorer: The prompts.
        images: Names and pictures of the images.
        side: Side of the pictures, px.
    """

    def __init__(self, directory: Path, scorer: PromptScorer, images: NamedImages, side: int) -> None:
        self.directory, self.scorer, self.images, self.side = directory, scorer, images, side
        self.folders = file_names(scorer.names)

    def draw(self, module: L.LightningModule, batch: Any, indices: Sequence[int], scores: Tensor) -> None:
        """Draw the maps of some images.

        Args:
            module: The model.
            batch: What it was given, these images first to last.
            indices: Their numbers; -1 leaves an image out.
            scores: Theirs, ``(images, names)``.
        """
        patches = module.encode_patches(batch[IMAGE]).float().cpu()  # type: ignore[operator]
        directions = self.scorer.directions.float()
        coarse = torch.einsum("nrcp,kp->nkrc", patches, directions)
        probabilities = self.scorer.probabilities(scores)
        for row, index in enumerate(indices):
            if index < 0:
                continue
            picture = self._picture(index, batch[IMAGE][row])
            fine = F.interpolate(coarse[row][None], size=picture.shape, mode="bilinear", align_corners=False)[
                0
            ]
            for k, name in enumerate(self.scorer.names):
                said = f"score {scores[row, k]:+.2f}, probability {probabilities[row, k]:.2f}"
                caption = f"{name.replace('_', ' ')}: {said}"
                scale = float(coarse[row, k].abs().max())
                overlay = similarity_overlay(picture.numpy(), fine[k].numpy(), scale, caption)
                with written_whole(self.path(name, self.images.image_name(index))) as partial:
                    overlay.save(partial, format="PNG", compress_level=3)

    def path(self, name: str, image: str) -> Path:
        """Return the file of a map; names that lead elsewhere stay under the directory."""
        parts = [part for part in PurePath(image).parts if part not in ("/", "..", ".")]
        return self.directory.joinpath(self.folders[name], *parts[:-1], f"{parts[-1]}.png")

    def _picture(self, index: int, image: Tensor) -> Tensor:
        """Return what is drawn on: the file at the picture's size, or what the model saw, enlarged."""
        picture = self.images.picture(index, self.side)
        if picture is not None:
            return picture[0]
        seen = F.interpolate(image[None].float().cpu(), size=(self.side, self.side), mode="bilinear")[0, 0]
        return seen.mul(255).round().clamp(0, 255).to(torch.uint8)
