"""Where the organs of made pairs are, as companions of the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from synthesis.companions import CompanionSynthesizer
from synthesis.images.image_maker import OrganImageMaker
from synthesis.pairs import Pair, PairSynthesizer


class OrganSynthesizer(CompanionSynthesizer):
    """Makes the organs of each pair: the pair once more, with masks of `organ_names.ORGANS` for findings'.

    Args:
        synthesizer: Makes the pairs.

    Attributes:
        version: Of what counts as an organ, see `synthesis.identity`.

    Raises:
        TypeError: If its image maker does not know where organs are.
    """

    version: int = 1
    belongs_to = "organs_of"

    def __init__(self, synthesizer: PairSynthesizer) -> None:
        maker = synthesizer.image_maker
        if not isinstance(maker, OrganImageMaker):
            raise TypeError(
                "masks of organs need an image maker that knows where they are, with a method `organs`; "
                f"{type(maker).__name__} does not. Take the simulator"
            )
        super().__init__(synthesizer)
        self.maker: OrganImageMaker = maker

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the pairs with the masks of their organs: see `CompanionSynthesizer`."""
        pairs = self.synthesizer.make(indices, seed, split)
        seeds = self.drawing_seeds(pairs, seed, split)
        masks = self.maker.organs([pair.case for pair in pairs], seeds)
        return [replace(pair, masks=mask.cpu()) for pair, mask in zip(pairs, masks, strict=True)]
