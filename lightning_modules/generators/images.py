"""Images of the size that a generator, or who looks at them, was made for."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import IMAGE, Batch


def images_of(batch: Batch, image_size: int | None) -> Tensor:
    """Return the images of a batch, ``(batch, 1, size, size)`` in [0, 1].

    Some networks would take any size, and be exported for one that they have never seen.

    Args:
        batch: The batch.
        image_size: Side of the images that the model was made for, px; None takes any.

    Raises:
        ValueError: If the images are of another size.
    """
    images = batch[IMAGE]
    if image_size is not None and images.shape[1:] != (1, image_size, image_size):
        height, width = images.shape[-2:]
        raise ValueError(
            f"the generator draws images of {image_size}×{image_size} px, but the data holds images of "
            f"{height}×{width} px and {images.shape[1]} channels: set model.init_args.image_size to the "
            "size of the data, or that of the data (image_size of its image maker, or of the data module "
            f"for files) to {image_size}"
        )
    return images


def resized(images: Tensor, size: int) -> Tensor:
    """Resize square images ``(batch, channels, side, side)``; those of that size stay as they are."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)
