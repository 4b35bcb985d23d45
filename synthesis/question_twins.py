"""Companions about which a question is answered otherwise than about the pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthesis.companions import CompanionSynthesizer
from synthesis.identity import identity
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.priors import PriorSynthesizer
from synthesis.twins import TwinSynthesizer


class QuestionTwinSynthesizer(CompanionSynthesizer):
    """Makes for each pair one companion in which something is otherwise, of four kinds in turn.

    Pair 0 has a twin with a finding on the other side, pair 1 one with another finding in its place, pair 2
    one without a finding, pair 3 the earlier radiograph with other grades, and so on. A pair that has no
    companion of its kind has the next kind that there is; one without any shows what the pair shows.

    Args:
        synthesizer: Makes the pairs.

    Raises:
        TypeError: If its image maker can neither switch a finding off nor draw a patient twice.
    """

    version: int = 1  # of the results, see synthesis.identity
    belongs_to = "question_twins_of"

    def __init__(self, synthesizer: PairSynthesizer) -> None:
        super().__init__(synthesizer)
        self.kinds: tuple[CompanionSynthesizer, ...] = (
            TwinSynthesizer(synthesizer, "side"),
            TwinSynthesizer(synthesizer, "swap"),
            TwinSynthesizer(synthesizer, "without"),
            PriorSynthesizer(synthesizer),
        )

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the companions of some pairs: see `CompanionSynthesizer`."""
        made: dict[int, Pair] = {}
        left = list(dict.fromkeys(indices))
        shown = {pair.index: pair.case for pair in self.synthesizer.make(left, seed, split)}
        for turn in range(len(self.kinds)):
            for k, kind in enumerate(self.kinds):
                if chosen := [i for i in left if (i + turn) % len(self.kinds) == k]:
                    made |= dict(zip(chosen, kind.make(chosen, seed, split), strict=True))
            left = [i for i in left if made[i].case == shown[i]]
        return [made[i] for i in indices]

    def describe(self) -> dict[str, Any]:
        """See `CompanionSynthesizer.describe`: what makes each kind, too."""
        return super().describe() | {"kinds": [identity(kind) for kind in self.kinds]}
