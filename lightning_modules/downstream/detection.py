"""Detection: boxes around findings, by detection tokens in the image encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.batch import BOX_CONCEPTS, BOXES, IMAGE, Batch
from lightning_modules.downstream.boxes import boxes_of, corners
from lightning_modules.downstream.localisation_task import LocalisationTask
from lightning_modules.evaluation_output import EvaluationOutput
from lightning_modules.vit_encoder import ViTEncoder
from synthesis.limits import at_least

FOCAL = ("pleural_effusion", "pneumothorax", "consolidation", "mass", "nodule", "cardiomegaly")


@dataclass(kw_only=True)
class DetectionOutput(EvaluationOutput):
    """What an evaluation step of `Detection` returns.

    Attributes:
        boxes: ``(batch, token, 4)``: left, top, right, bottom, as shares of the image's sides.
        box_scores: ``(batch, token)`` in [0, 1].
        box_classes: ``(batch, token)`` int64, the place in `Detection.concepts`.
    """

    boxes: Tensor
    box_scores: Tensor
    box_classes: Tensor


class Detection(LocalisationTask):
    """`transformers.YolosForObjectDetection` whose blocks, norm and patch embedding are the tower's.

    YOLOS (Fang et al. 2021, arXiv 2106.00666): learnt tokens run through a plain vision transformer beside
    the patches, each becomes a box and a class or none, matched to the true boxes one to one (DETR's loss).
    True boxes are those of a table's regions, one each; of simulated findings they are those of the connected
    parts of the masks, without specks. Only the tokens, their places and two small heads are new.

    Evaluation steps return a `DetectionOutput`, for `callbacks.DetectionPrecision`.

    Args:
        image_encoder: The tower, a ViT or DINOv2 without patch dropping and register tokens.
        concepts: What is detected, names of concepts of the data.
        tokens: Detection tokens: most boxes of an image.
        **kwargs: See `LocalisationTask`.

    Raises:
        ValueError: If the tower drops patches, or its tokens have no counterpart in YOLOS.
    """

    def __init__(
        self,
        image_encoder: ViTEncoder,
        concepts: Sequence[str] = FOCAL,
        tokens: int = 20,
        **kwargs: Any,
    ) -> None:
        at_least(self, 1, tokens=tokens)
        super().__init__(image_encoder, concepts, **kwargs)
        if image_encoder.patch_drop:
            raise ValueError(
                f"Detection: patch_drop is {image_encoder.patch_drop}: boxes need every patch: set it to 0"
            )
        self.tokens = tokens
        self.detector = _yolos(image_encoder, len(self.concepts), tokens)

    def setup(self, stage: str) -> None:
        """See `LocalisationTask.setup`; the places of the patches are the tower's, too."""
        super().setup(stage)
        if stage == "fit":
            self.take_places()

    def take_places(self) -> None:
        """Begin with the tower's class token and position embeddings; its own are not used any more."""
        own, new = self.image_encoder.get_submodule("vit.embeddings"), self.detector.vit.embeddings
        with torch.no_grad():
            new.cls_token.copy_(own.cls_token)
            new.position_embeddings[:, : -self.tokens].copy_(own.position_embeddings)
        for parameter in (own.cls_token, own.position_embeddings):
            parameter.requires_grad_(False)

    def loss(self, batch: Batch) -> Tensor:
        """See `ImageTask.loss`."""
        loss: Tensor = self._detect(batch).loss
        return loss

    def outputs(self, batch: Batch) -> DetectionOutput:
        """Return features (the mean patch) and boxes."""
        return self._outputs(self._detect(batch))

    def outputs_and_loss(self, batch: Batch) -> tuple[DetectionOutput, Tensor]:
        """See `ImageTask.outputs_and_loss`."""
        found = self._detect(batch)
        return self._outputs(found), found.loss

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

    def _detect(self, batch: Batch) -> Any:
        encoder = self.image_encoder
        assert isinstance(encoder, ViTEncoder)
        return self.detector(encoder.normalised(batch), labels=self.targets(batch))

    def _outputs(self, found: Any) -> DetectionOutput:
        pooled = found.last_hidden_state[:, 1 : -self.tokens].mean(1).float()
        scores, classes = found.logits.float().softmax(-1)[..., :-1].max(-1)  # the last class is "nothing"
        boxes = corners(found.pred_boxes.float()).clamp(0, 1)
        image = F.normalize(pooled, dim=1)
        return DetectionOutput(image, pooled, boxes=boxes, box_scores=scores, box_classes=classes)


def _yolos(encoder: ViTEncoder, classes: int, tokens: int) -> Any:
    from transformers import YolosConfig, YolosForObjectDetection

    blocks = _blocks(encoder)
    theirs = encoder.vit.config
    config = YolosConfig(
        hidden_size=theirs.hidden_size,
        num_hidden_layers=theirs.num_hidden_layers,
        num_attention_heads=theirs.num_attention_heads,
        intermediate_size=theirs.hidden_size * 4,
        image_size=[encoder.image_size] * 2,
        patch_size=encoder.patch_size,
        num_channels=encoder.channels,
        num_detection_tokens=tokens,
        use_mid_position_embeddings=False,
        num_labels=classes,
    )
    detector = YolosForObjectDetection(config)
    detector.vit.encoder.layer = blocks  # called alike
    detector.vit.layernorm = encoder.vit.layernorm
    detector.vit.embeddings.patch_embeddings = encoder.vit.embeddings.patch_embeddings
    for parameter in (detector.vit.embeddings.detection_tokens, detector.vit.embeddings.position_embeddings):
        nn.init.trunc_normal_(parameter, std=0.02)  # equal tokens would stay equal
    return detector


def _blocks(encoder: ViTEncoder) -> nn.ModuleList:
    """Return the blocks of a tower, for YOLOS to run."""
    vit = encoder.vit
    blocks = getattr(vit, "layers", None) or getattr(getattr(vit, "encoder", None), "layer", None)
    registers = getattr(vit.config, "num_register_tokens", 0)
    if not blocks or registers:
        raise ValueError(
            f"Detection: the tower is a {type(vit).__name__}, whose tokens are not a class token and patches "
            "as YOLOS has them: set image_encoder.init_args.pretrained to a ViT, to a DINOv2 without "
            "registers, or to null"
        )
    return blocks
