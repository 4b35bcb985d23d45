"""Other radiographs of the patients of pairs: the same findings, seen through another exposure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from synthesis.companions import CompanionSynthesizer
from synthesis.images.image_maker import RerenderingImageMaker
from synthesis.pairs import Pair, PairSynthesizer, grey_levels
from synthesis.seeding import pair_seed

ATTEMPTS = 4
"""Exposures that are tried until every finding of the pair can be seen."""


class RenderingSynthesizer(CompanionSynthesizer):
    """Makes the other rendering of each pair.

    It shows the same patient with the same findings, sizes and shapes; exposure, detector, processing,
    positioning, overlay and noise are drawn anew. A focal lesion lies anew within the zone that the report
    names. Report and labels are those of the pair, so what the two pictures share is what the report speaks
    of. Where a finding would be too faint in it, another exposure is
    drawn; if it is in all of `ATTEMPTS`, the pair's own picture stands in (`Pair.notes` says so). Filters are
    not asked about the rendering, and damage to the pair's own picture is not repeated in it.

    Args:
        synthesizer: Makes the pairs.

    Attributes:
        version: Of the choice of the exposure, see `synthesis.identity`.

    Raises:
        TypeError: If its image maker cannot draw a patient once more.
    """

    version: int = 1
    belongs_to = "renderings_of"

    def __init__(self, synthesizer: PairSynthesizer) -> None:
        maker = synthesizer.image_maker
        if not isinstance(maker, RerenderingImageMaker):
            raise TypeError(
                "renderings need an image maker that can draw a patient once more, with a method `rerender`; "
                f"{type(maker).__name__} cannot. Take the simulator"
            )
        super().__init__(synthesizer)
        self.maker: RerenderingImageMaker = maker

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the other renderings of some pairs: see `CompanionSynthesizer`."""
        pairs = self.synthesizer.make(indices, seed, split)
        seeds = self.drawing_seeds(pairs, seed, split)
        found: dict[int, Pair] = {}
        for attempt in range(ATTEMPTS):
            waiting = [k for k in range(len(pairs)) if k not in found]
            if not waiting:
                break
            stream = f"{split}/rendering {attempt}"
            made = self.maker.rerender(
                [pairs[k].case for k in waiting],
                [seeds[k] for k in waiting],
                [pair_seed(seed, stream, pairs[k].index) for k in waiting],
            )
            images = grey_levels(made.images, [pairs[k].index for k in waiting])
            for k, shown, image in zip(waiting, made.cases, images, strict=True):
                if shown == pairs[k].case:
                    found[k] = replace(pairs[k], image=image, masks=None)
        return [found.get(k) or _as_it_is(pair) for k, pair in enumerate(pairs)]


def _as_it_is(pair: Pair) -> Pair:
    notes = (*pair.notes, "no other rendering: a finding would be too faint in it")
    return replace(pair, masks=None, notes=notes)
