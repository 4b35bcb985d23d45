"""What training is shown of each sample."""

from __future__ import annotations

from dataclasses import dataclass

from datamodules.loading.augmentation import Augmentation
from datamodules.texts.text_view import TextView
from datamodules.texts.tokenizer import PADDING_MULTIPLE

_MOST_TOKENS = 1 << 13  # attention over one text takes a gigabyte then


@dataclass(frozen=True)
class Views:
    """What training is shown of each sample: the same plan for any data.

    Evaluation reads whole reports and sees images as they are.

    Attributes:
        texts: What is read of a report, one text a view: each is compared with the image, which is encoded
            once. None reads all of it.
        augmentation: How images are changed; None leaves them.
        image_views: Views of each image, ≥ 1. Two where this says one and an objective compares several, or
            `renderings` is on.
        renderings: Whether every second view is another rendering of the same case
            (`synthesis.renderings`) rather than the same image, both augmented. One rendering is made beside
            each pair, and kept in the cache beside it; augmentations are drawn anew in each epoch.
        max_length: Longest text in tokens, a multiple of 8 up to 8,192; evaluation's too.
    """

    texts: list[TextView] | None = None
    augmentation: Augmentation | None = None
    image_views: int = 1
    renderings: bool = False
    max_length: int = 192

    def __post_init__(self) -> None:
        """Refuse plans that cannot be followed."""
        distinct = 2 if self.renderings else 1
        if self.image_views < 1 or (self.image_views > distinct and self.augmentation is None):
            raise ValueError(
                f"views.image_views={self.image_views} with views.augmentation={self.augmentation}: give 1 "
                f"or more, and an augmentation ({{}} for the default) for more than {distinct}, or "
                f"{'some' if self.renderings else 'all'} are alike."
            )
        if self.texts is not None and not self.texts:
            raise ValueError("views.texts=[]: training would read nothing; give one view or more, or null.")
        if self.texts is not None and self.texts[0].claims:
            raise ValueError(
                "views.texts[0] asks for claims: the first text is compared with every image. Move the view "
                "behind another one."
            )
        if self.max_length % PADDING_MULTIPLE or not PADDING_MULTIPLE <= self.max_length <= _MOST_TOKENS:
            raise ValueError(
                f"views.max_length={self.max_length}: texts are padded to multiples of {PADDING_MULTIPLE}; "
                f"give one up to {_MOST_TOKENS}, e.g. 128."
            )

    @property
    def claims(self) -> bool:
        """Whether any text comes with what it claims."""
        return any(view.claims for view in self.texts or ())
