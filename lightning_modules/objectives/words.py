"""The words of a text among its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


def words_of(texts: EncoderOutput) -> tuple[Tensor, Tensor]:
    """Leave out the first token of each text, [CLS], and the last, [SEP]: they have no place in an image.

    Args:
        texts: Features of texts.

    Returns:
        Features ``(batch, word, dim)`` float32 and their mask ``(batch, word)`` bool, False for padding. A
        text without words keeps the first of its tokens, so that no row is empty.
    """
    words, mask = texts.local[:, 1:-1].float(), texts.local_mask[:, 2:].clone()
    mask[:, 0] |= ~mask.any(1)
    return words, mask
