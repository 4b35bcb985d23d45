"""Several images and texts of each sample of a batch, and its counterfactual twins, through both towers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from datamodules.batch import IMAGE, LEFT_OUT, OTHER_IMAGES, OTHER_TEXTS, SIDES_EXCHANGED, TWIN_PROMPTS, TWINS
from lightning_modules.chunks import Encode
from lightning_modules.encoders import EncodedExchange, EncodedPrompts, EncodedTwins, EncoderOutput
from lightning_modules.tones import EQUALISED


def encode_views(
    image_encoder: Encode, text_encoder: Encode, batch: Mapping[str, Any]
) -> tuple[list[EncoderOutput], list[EncoderOutput], list[Mapping[str, Any]]]:
    """Encode every image view and every text view of a batch.

    Tones that have been drawn (`EQUALISED`) are those of the first view: the others draw their own, which the
    objective is to see through.

    Args:
        image_encoder: Tower for images.
        text_encoder: Tower for reports.
        batch: The batch.

    Returns:
        Features of each image view, features of each text view, and for each text view the batch with its
        tokens and claims.
    """
    plain = {key: value for key, value in batch.items() if key != EQUALISED}
    others = (image_encoder({**plain, IMAGE: picture}) for picture in batch.get(OTHER_IMAGES, ()))
    images = [image_encoder(batch), *others]
    batches: list[Mapping[str, Any]] = [batch, *({**batch, **other} for other in batch.get(OTHER_TEXTS, ()))]
    return images, [text_encoder(view) for view in batches], batches


def with_twins(
    image_encoder: Encode, text_encoder: Encode, batch: Mapping[str, Any], reports: bool = True
) -> Mapping[str, Any]:
    """Return the batch with its twins encoded (`EncodedTwins`), or as it is if it has none.

    Prompts of the twins' findings are encoded likewise (`EncodedPrompts`), without gradient.

    Args:
        image_encoder: Tower for images.
        text_encoder: Tower for reports.
        batch: The batch.
        reports: Whether the twins' reports are encoded.
    """
    if TWINS not in batch:
        return batch
    twins = batch[TWINS]
    texts = text_encoder(twins) if reports else None
    tones = {EQUALISED: batch[EQUALISED]} if EQUALISED in batch else {}  # nothing but a finding differs
    found = {**batch, TWINS: EncodedTwins(image_encoder(twins | tones), texts, twins[LEFT_OUT] >= 0)}
    if TWIN_PROMPTS in batch:
        prompts = batch[TWIN_PROMPTS]
        with torch.no_grad():
            found[TWIN_PROMPTS] = EncodedPrompts(
                text_encoder(prompts["present"]), text_encoder(prompts["absent"])
            )
    return found


def with_exchanged_sides(text_encoder: Encode, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the batch with its texts of exchanged sides encoded (`EncodedExchange`), if it has any.

    Args:
        text_encoder: Tower for reports.
        batch: The batch.
    """
    if SIDES_EXCHANGED not in batch:
        return batch
    exchanged = batch[SIDES_EXCHANGED]
    return {**batch, SIDES_EXCHANGED: EncodedExchange(text_encoder(exchanged), exchanged["contradicts"])}
