"""Detection: boxes around findings, by a dense head on the image encoder's maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import BOX_CONCEPTS, BOXES, IMAGE, Batch
from lightning_modules.downstream.boxes import boxes_of
from lightning_modules.downstream.dense_box_head import DenseBoxHead
from lightning_modules.downstream.localisation_task import LocalisationTask
from lightning_modules.encoders import ImageEncoder
from lightning_modules.evaluation_output import EvaluationOutput
from synthesis.limits import at_least

FOCAL = ("pleural_effusion", "pneumothorax", "consolidation", "mass", "nodule", "cardiomegaly")


@dataclass(kw_only=True)
class DetectionOutput(EvaluationOutput):
    """What an evaluation step of `Detection` returns.

    Attributes:
        boxes: ``(batch, box, 4)``: left, top, right, bottom, as shares of the image's sides.
        box_scores: ``(batch, box)`` in [0, 1].
        box_classes: ``(batch, box)`` int64, the place in `Detection.concepts`.
    """

    boxes: Tensor
    box_scores: Tensor
    box_classes: Tensor


class Detection(LocalisationTask):
    """A `DenseBoxHead` on the maps of the tower, and on those of its convolutional stem where it has one.

    True boxes are those of a table's regions, one each; of simulated findings they are those of the connected
    parts of the masks, without specks.

    Evaluation steps return a `DetectionOutput`, for `callbacks.DetectionPrecision`.

    Args:
        image_encoder: The tower: a vision transformer without patch dropping, or a convolutional one.
        concepts: What is detected, names of concepts of the data.
        channels: Channels of the head.
        most: Most boxes of an image.
        **kwargs: See `LocalisationTask`.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        concepts: Sequence[str] = FOCAL,
        channels: int = 64,
        most: int = 20,
        **kwargs: Any,
    ) -> None:
        at_least(self, 1, channels=channels, most=most)
        super().__init__(image_encoder, concepts, **kwargs)
        self.most = most
        # Boxes need no finer map than a place for 4 px; the finest of a stem costs most.
        self.left_out = int(image_encoder.finest_stride < 4)
        widths = image_encoder.pyramid_widths[self.left_out :]
        self.head = DenseBoxHead(widths, len(self.concepts), channels)

    def loss(self, batch: Batch) -> Tensor:
        """See `ImageTask.loss`."""
        heat, boxes, _ = self._detect(batch)
        return self.head.loss(heat, boxes, self.targets(batch))

    def outputs(self, batch: Batch) -> DetectionOutput:
        """Return features (the mean patch) and boxes."""
        return self._outputs(*self._detect(batch))

    def outputs_and_loss(self, batch: Batch) -> tuple[DetectionOutput, Tensor]:
        """See `ImageTask.outputs_and_loss`."""
        heat, boxes, last = self._detect(batch)
        return self._outputs(heat, boxes, last), self.head.loss(heat, boxes, self.targets(batch))

    def targets(self, batch: Batch) -> list[dict[str, Tensor]]:
        """Return the true boxes of each image: ``boxes (n, 4)`` (centre, size) and ``class_labels (n,)``.

        Raises:
            KeyError: If the batch has neither boxes nor masks.
        """
        device = batch[IMAGE].device
        targets = []
        for findings in self._framed(batch):
            boxes, classes = [torch.zeros(0, 4, device=device)], []
            for concept, framed in findings:
                boxes.append(framed)
                classes += [concept] * len(framed)
            labels = torch.tensor(classes, dtype=torch.int64, device=device)
            targets.append({"boxes": torch.cat(boxes), "class_labels": labels})
        return targets

    def _framed(self, batch: Batch) -> Iterator[list[tuple[int, Tensor]]]:
        """Return each image's findings: place of the concept in `concepts`, and its boxes ``(n, 4)``."""
        if BOXES in batch:
            return (
                [(concept, box[None]) for concept, box in found]
                for found in self.found(batch, BOXES, BOX_CONCEPTS)
            )
        return ([(concept, boxes_of(mask)) for concept, mask in found] for found in self.found(batch))

    def _detect(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the heat map, boxes, and the last map of the tower."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = self.image_encoder.pyramid(batch)
        heat, boxes = self.head(maps[self.left_out :])
        return heat, boxes, maps[-1]

    def _outputs(self, heat: Tensor, boxes: Tensor, last: Tensor) -> DetectionOutput:
        found, scores, classes = self.head.best(heat, boxes, self.most)
        pooled = last.mean((2, 3)).float()
        image = F.normalize(pooled, dim=1)
        return DetectionOutput(image, pooled, boxes=found, box_scores=scores, box_classes=classes)
