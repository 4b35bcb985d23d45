"""Where the findings are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.batch import BOX_CONCEPTS, BOXES, MASK_CONCEPTS, MASKS, Batch
from datamodules.loading.augmentation import Augmentation
from datamodules.loading.draws import Draws
from datamodules.loading.sample import Sample
from datamodules.loading.views import Views

MASK_KEYS = frozenset({MASKS, MASK_CONCEPTS})


@dataclass(frozen=True)
class Masks:
    """Adds ``masks`` and ``mask_concepts`` where every sample has them; phrases and boxes likewise.

    Masks follow their images where these are moved; of data with boxes that is refused (`boxes_left_behind`).

    Attributes:
        required: Whether a sample without masks is an error: something needs them.
        augmentation: Of the first view of the images; None leaves them.
    """

    required: bool = False
    augmentation: Augmentation | None = None

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`.

        Raises:
            ValueError: If masks are required and a sample has none.
        """
        masks = [sample.masks for sample in samples if sample.masks is not None]
        if len(masks) == len(samples):
            moved = self.augmentation
            rngs = [draws.rng(row, "augmentation") for row in range(len(samples))] if moved else []
            batch["masks"] = moved.follow(masks, rngs) if moved else masks
            batch["mask_concepts"] = [s.mask_concepts for s in samples if s.mask_concepts is not None]
            if all(sample.phrases is not None for sample in samples):
                batch["phrases"] = [list(sample.phrases or ()) for sample in samples]
        elif self.required:
            raise ValueError(
                "masks are needed, but the pairs have none: their image maker knows no masks. Take pairs of "
                "the simulator, or leave out what needs masks."
            )
        boxes = [sample.boxes for sample in samples if sample.boxes is not None]
        if len(boxes) == len(samples):
            batch["boxes"] = boxes
            batch["box_concepts"] = [s.box_concepts for s in samples if s.box_concepts is not None]


def boxes_left_behind(split: str, views: Views) -> dict[str, str]:
    """Return why training batches of data with boxes cannot hold them: see `BatchDataModule.lacking`."""
    if split != "train" or views.augmentation is None or not views.augmentation.moves:
        return {}
    reason = (
        "the augmentation moves images and not their boxes: set scale and shift (and rotation, shear, "
        "stretch, warp) of data.init_args.views.augmentation to 0"
    )
    return dict.fromkeys((*MASK_KEYS, BOXES, BOX_CONCEPTS), reason)
