"""Samples of a batch, kept to be drawn later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from callbacks.drawing.pictures import PicturedPair
from datamodules.batch import IMAGE, INDEX, LABELS, MASK_CONCEPTS, MASKS, REPORT, VIEW, VIEWS, Batch

Sample = dict[str, Any]
"""What is kept of one sample: index, image, and what its batch has of report, view, labels and masks."""


def sample_of(batch: Batch, row: int) -> Sample:
    """Keep one row of a batch, on the CPU."""
    sample: Sample = {"index": int(batch[INDEX][row]), "image": batch[IMAGE][row, 0].float().cpu().numpy()}
    for key in (REPORT, VIEW, LABELS, MASKS, MASK_CONCEPTS):
        if key in batch:
            value = batch[key][row]
            sample[key] = value.cpu().numpy() if isinstance(value, Tensor) else value
    return sample


def picture_of(sample: Sample, names: Sequence[str]) -> PicturedPair:
    """Return a kept sample as it is drawn, masks outlined.

    Args:
        sample: What `sample_of` kept.
        names: Concepts, in label order.
    """
    text = sample.get(REPORT)
    if text is None:
        present = np.flatnonzero(sample.get(LABELS, np.empty(0)) == 1)
        text = ", ".join(names[int(i)].replace("_", " ") for i in present) or "no label present"
    view = int(sample.get(VIEW, -1))
    title = f"sample {sample['index']}" + (f", {VIEWS[view]}" if view >= 0 else "")
    concepts = sample.get(MASK_CONCEPTS, ())
    masks = [(names[int(c)], mask) for c, mask in zip(concepts, sample.get(MASKS, ()), strict=False)]
    return PicturedPair(sample["image"], text, title, masks)
