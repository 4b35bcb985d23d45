"""Drawing the cases of pairs anew, in one process or several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthesis.cases import Case
from synthesis.images.image_maker import ImageMaker
from synthesis.pairs import Pair
from synthesis.progress import track
from synthesis.seeding import pair_seed

_CHUNK = 32  # images between two steps of the progress bar


def draw(
    maker: ImageMaker, pairs: Sequence[Pair], stream: str, what: str, workers: int = 0
) -> tuple[Tensor, list[Case]]:
    """Draw the cases of pairs anew, as a corpus would hold them (8 bits).

    Args:
        maker: Draws.
        pairs: Their cases and reports are drawn.
        stream: Another one gives other images of the same cases.
        what: What the progress bar says.
        workers: Processes that draw, a chunk each in turn; 0 draws in this one.

    Returns:
        Images ``(pair, 1, height, width)`` in [0, 1], and the cases they show.
    """
    images: list[Tensor] = []
    cases: list[Case] = []
    chunks = _Chunks(maker, pairs, stream)
    drawn = DataLoader(chunks, batch_size=None, num_workers=workers)
    for made, shown in track(drawn, description=what):
        images.append(made.float().div(255))
        cases += shown
    return torch.cat(images), cases


class _Chunks(Dataset[tuple[Tensor, Sequence[Case]]]):
    """Chunks of pairs, drawn when they are asked for."""

    def __init__(self, maker: ImageMaker, pairs: Sequence[Pair], stream: str) -> None:
        self.maker, self.pairs, self.stream = maker, pairs, stream

    def __len__(self) -> int:
        return -(-len(self.pairs) // _CHUNK)

    def __getitem__(self, number: int) -> tuple[Tensor, Sequence[Case]]:
        chunk = self.pairs[number * _CHUNK : (number + 1) * _CHUNK]
        seeds = [pair_seed(0, self.stream, pair.index) for pair in chunk]
        made = self.maker.make([pair.case for pair in chunk], [pair.report for pair in chunk], seeds)
        return made.images.mul(255).round().byte(), made.cases
