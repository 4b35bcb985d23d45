"""Counterfactual twins of pairs: the same patient, picture and wording, but for one finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from synthesis.cases import Case, Finding
from synthesis.companions import CompanionSynthesizer
from synthesis.counterparts import TwinKind, counterpart
from synthesis.images.image_maker import MadeImages, TwinImageMaker
from synthesis.pairs import Pair, PairSynthesizer, grey_levels
from synthesis.seeding import generator, pair_seed


class TwinSynthesizer(CompanionSynthesizer):
    """Makes the twin of each pair.

    One finding of the pair is chosen and switched off, or swapped for another, or put on the other side
    (`synthesis.counterparts`): the image is drawn again with the same patient, exposure and noise, the report
    is written again with the same seed. `Pair.notes` says what was changed, or why there is no twin. A pair
    without one is returned as it is, with the same case:

    - it shows nothing that could be changed so;
    - it is not what the image maker draws and the writer writes (a clinic's damage, another case after a
      dropped report);
    - the writer drops the twin's report;
    - the other finding is too faint to be drawn, or the picture changes elsewhere too.

    Args:
        synthesizer: Makes the pairs.
        kind: ``without`` one finding; with another in its place (``swap``); with it on the other ``side``.

    Attributes:
        version: Of the choice of the finding and of what counts as no twin, see `synthesis.identity`.

    Raises:
        TypeError: If its image maker cannot switch a finding off.
    """

    version: int = 1
    belongs_to = "twins_of"

    def __init__(self, synthesizer: PairSynthesizer, kind: TwinKind = "without") -> None:
        maker = synthesizer.image_maker
        if not isinstance(maker, TwinImageMaker):
            raise TypeError(
                "twins need an image maker that can switch one finding off, with a method `twins`; "
                f"{type(maker).__name__} cannot. Take the simulator"
            )
        super().__init__(synthesizer)
        self.maker: TwinImageMaker = maker
        self.kind: TwinKind = kind

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the twins of some pairs: see `CompanionSynthesizer`."""
        twins = self.synthesizer.make(indices, seed, split)
        for pair in twins:
            pair.masks = None
        changed: dict[int, tuple[int, Case]] = {}
        for k, pair in enumerate(twins):
            found = counterpart(pair.case, self.kind, self._rng(pair, seed, split), self.catalog)
            if found is None:
                pair.notes += (f"no twin: nothing to {_ACTIONS[self.kind]}",)
            else:
                changed[k] = found
        made = self._twins([twins[k] for k in changed], list(changed.values()), seed, split)
        for k, twin in zip(changed, made, strict=True):
            twins[k] = twin
        return twins

    def describe(self) -> dict[str, Any]:
        """See `CompanionSynthesizer.describe`."""
        return super().describe() | ({} if self.kind == "without" else {"kind": self.kind})

    def _rng(self, pair: Pair, seed: int, split: str) -> np.random.Generator:
        stream = "twin" if self.kind == "without" else f"twin {self.kind}"
        return generator(pair_seed(seed, split, pair.index), stream)

    def _twins(
        self, pairs: Sequence[Pair], changed: Sequence[tuple[int, Case]], seed: int, split: str
    ) -> list[Pair]:
        """Draw and write again what was asked for, and beside it the twins; keep those that are twins."""
        writer, sampler = self.synthesizer.writer, self.synthesizer.sampler
        asked = [sampler.sample(seed, split, pair.index) for pair in pairs]
        seeds = self.drawing_seeds(pairs, seed, split)
        # An image maker may drop findings of the case asked for; a pair of another case has others.
        kept = [
            k
            for k, (pair, case) in enumerate(zip(pairs, asked, strict=True))
            if set(pair.case.findings) <= set(case.findings)
        ]
        if not kept:
            return [_without_twin(pair) for pair in pairs]
        which, cases = [changed[k][0] for k in kept], [changed[k][1] for k in kept]
        made, images, drawn = self._draw([asked[k] for k in kept], cases, [seeds[k] for k in kept], which)
        written = writer.write([*made.cases, *cases], [*(seeds[k] for k in kept), *(seeds[k] for k in kept)])
        reports = [replace(report, notes=()) for report in written]  # as in `Pair`
        twins: dict[int, Pair] = {}
        for j, k in enumerate(kept):
            pair, picture, report = pairs[k], grey_levels(made.images[j]), reports[len(kept) + j]
            same_pair = (made.cases[j], reports[j]) == (pair.case, pair.report)
            if same_pair and torch.equal(picture, pair.image) and not report.dropped and drawn[j]:
                notes = (*pair.notes, _told(self.kind, pair.case.findings[which[j]], cases[j], which[j]))
                twins[k] = replace(
                    pair, case=cases[j], report=report, image=grey_levels(images[j]), notes=notes
                )
        return [twins[k] if k in twins else _without_twin(pair) for k, pair in enumerate(pairs)]

    def _draw(
        self, asked: Sequence[Case], cases: Sequence[Case], seeds: Sequence[int], which: Sequence[int]
    ) -> tuple[MadeImages, torch.Tensor, list[bool]]:
        """Draw the cases asked for, their twins, and say of each twin whether it is one."""
        if self.kind == "without":
            return *self.maker.twins(asked, seeds, which), [True] * len(asked)
        made, other = self.maker.make(asked, None, seeds), self.maker.make(cases, None, seeds)
        drawn = [shown == case for shown, case in zip(other.cases, cases, strict=True)]
        for j, i in enumerate(which):
            drawn[j] = drawn[j] and _changed_within(made, other, j, i)
        return made, other.images, drawn


_ACTIONS = {"without": "switch off", "swap": "swap", "side": "put on the other side"}


def _changed_within(made: MadeImages, other: MadeImages, j: int, i: int) -> bool:
    """Return whether the j-th pictures differ, and nowhere but where the i-th finding of either is."""
    changed = (grey_levels(made.images[j]) != grey_levels(other.images[j]))[0]
    allowed = torch.zeros_like(changed)
    for side in (made, other):
        if side.masks is None or i >= len(side.cases[j].findings):
            return False
        allowed |= side.masks[j][i].cpu()
    return bool(changed.any()) and not bool((changed & ~allowed).any())


def _told(kind: TwinKind, finding: Finding, case: Case, i: int) -> str:
    """Say what was changed, for people."""
    if kind == "without":
        return f"switched off: {finding.concept}"
    other = case.findings[i]
    if kind == "swap":
        return f"swapped: {finding.concept} for {other.concept}"
    return f"put on the other side: {finding.concept}, from {finding.laterality} to {other.laterality}"


def _without_twin(pair: Pair) -> Pair:
    pair.notes += ("no twin: drawn or written otherwise than the pair says",)
    return pair
