"""Batches larger than memory holds activations of: encoded in chunks, twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from datamodules.batch import ATTENTION_MASK, IMAGE, INPUT_IDS, Batch
from lightning_modules.encoders import EncoderOutput
from lightning_modules.tones import EQUALISED

Encode: TypeAlias = Callable[[Mapping[str, Any]], EncoderOutput]
"""A tower, or what stands for one."""

_READ = (IMAGE, EQUALISED, INPUT_IDS, ATTENTION_MASK)


def in_chunks(encode: Encode, size: int | None, tokens: bool = True) -> Encode:
    """Return a tower whose activations are never those of more than some samples at once.

    Each chunk is encoded without keeping activations; in the backward pass it is encoded again, with the same
    dropout, and its gradient taken. So a contrastive loss sees a large batch while memory holds the
    activations of a small one, for one more forward pass: GradCache (Gao et al. 2021, arXiv 2101.06983),
    `--accum-freq` of open_clip. Batch normalisation is over a chunk.

    Args:
        encode: The tower.
        size: Samples in a chunk, at least 1; None encodes all at once.
        tokens: Whether to keep features of single patches and words. They are most of what is left of a
            chunk; without them `EncoderOutput.local` has no token.
    """
    if size is None:
        return encode

    def chunked(batch: Mapping[str, Any]) -> EncoderOutput:
        read = {key: batch[key] for key in _READ if key in batch}
        count = len(next(iter(read.values())))
        if count <= size or not torch.is_grad_enabled():
            return encode(batch)
        parts = [
            {key: value[start : start + size] for key, value in read.items()}
            for start in range(0, count, size)
        ]
        found = [checkpoint(_fields, encode, part, tokens, use_reentrant=False) for part in parts]
        return EncoderOutput(*(torch.cat(field) for field in zip(*found, strict=True)))

    return chunked


def _fields(encode: Encode, batch: Batch, tokens: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    found, kept = encode(batch), slice(None if tokens else 0)
    return found.pooled, found.local[:, kept], found.projected, found.local_mask[:, kept]
