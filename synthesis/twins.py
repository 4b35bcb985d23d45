"""Counterfactual twins of pairs: the same patient, picture and wording, with one finding switched off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from synthesis.concepts import ConceptCatalog
from synthesis.identity import identity
from synthesis.images.image_maker import TwinImageMaker
from synthesis.pairs import Pair, PairSynthesizer, drawing_stream
from synthesis.seeding import generator, pair_seed


class TwinSynthesizer:
    """Makes the twin of pair ``i`` as a pure function of (configuration, seed, split, i), like the pair.

    One finding of the pair is chosen and switched off: the image is drawn again with the same patient,
    exposure and noise, the report is written again with the same seed. Index and split are those of the pair,
    so a cache of twins is read in step with the cache of the pairs. `Pair.notes` says what was switched off,
    or why there is no twin; such a pair is returned as it is, with the same case:

    - it shows no finding;
    - it is not what the image maker draws and the writer writes (a clinic's damage, another case after a
      refused report);
    - the writer drops the twin's report.

    Args:
        synthesizer: Makes the pairs.

    Attributes:
        version: Of the choice of the finding and of what counts as no twin, see `synthesis.identity`.

    Raises:
        TypeError: If its image maker cannot switch a finding off.
    """

    version: int = 1

    def __init__(self, synthesizer: PairSynthesizer) -> None:
        maker = synthesizer.image_maker
        if not isinstance(maker, TwinImageMaker):
            raise TypeError(
                f"twins need an image maker that can switch one finding off, with a method `twins`; "
                f"{type(maker).__name__} cannot. Take the simulator, or set twins to false"
            )
        self.synthesizer = synthesizer
        self.maker: TwinImageMaker = maker

    @property
    def catalog(self) -> ConceptCatalog:
        """The concepts, in label order."""
        return self.synthesizer.catalog

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.synthesizer.image_size

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the twins of some pairs.

        Args:
            indices: Numbers of the pairs in their split.
            seed: The seed of the corpus.
            split: Name of the split.

        Returns:
            Twins in the order of ``indices``, without masks.
        """
        twins = self.synthesizer.make(indices, seed, split)
        for pair in twins:
            pair.masks = None
        chosen: list[int] = []
        for k, pair in enumerate(twins):
            if pair.case.findings:
                chosen.append(k)
            else:
                pair.notes += ("no twin: nothing to switch off",)
        for k, twin in zip(chosen, self._switched([twins[k] for k in chosen], seed, split), strict=True):
            twins[k] = twin
        return twins

    def describe(self) -> dict[str, Any]:
        """Everything a twin depends on besides seed, split and index, as a JSON-able dict."""
        return {"twins_of": identity(self.synthesizer)}

    def _switched(self, pairs: Sequence[Pair], seed: int, split: str) -> list[Pair]:
        writer, sampler = self.synthesizer.writer, self.synthesizer.sampler
        asked = [sampler.sample(seed, split, pair.index) for pair in pairs]
        seeds = [pair_seed(seed, drawing_stream(split, pair.attempt), pair.index) for pair in pairs]
        which = [
            int(generator(pair_seed(seed, split, pair.index), "twin").integers(len(pair.case.findings)))
            for pair in pairs
        ]
        # An image maker may drop findings of the case asked for; a pair of another case has others.
        same = [
            set(pair.case.findings) <= set(case.findings) for pair, case in zip(pairs, asked, strict=True)
        ]
        kept = [k for k, known in enumerate(same) if known]
        if not kept:
            return [_without_twin(pair) for pair in pairs]
        made, images = self.maker.twins(
            [asked[k] for k in kept], [seeds[k] for k in kept], [which[k] for k in kept]
        )
        cases = [made.cases[j].without(which[k]) for j, k in enumerate(kept)]
        written = writer.write([*made.cases, *cases], [*(seeds[k] for k in kept), *(seeds[k] for k in kept)])
        reports = [replace(report, notes=()) for report in written]  # as in `Pair`
        twins: dict[int, Pair] = {}
        for j, k in enumerate(kept):
            pair, picture, report = pairs[k], _levels(made.images[j]), reports[len(kept) + j]
            same_pair = (made.cases[j], reports[j]) == (pair.case, pair.report)
            if same_pair and torch.equal(picture, pair.image) and not report.dropped:
                off = f"switched off: {pair.case.findings[which[k]].concept}"
                notes = (*pair.notes, off)
                twins[k] = replace(pair, case=cases[j], report=report, image=_levels(images[j]), notes=notes)
        return [twins[k] if k in twins else _without_twin(pair) for k, pair in enumerate(pairs)]


def _levels(image: torch.Tensor) -> torch.Tensor:
    return image.mul(255).round().to(torch.uint8).cpu()


def _without_twin(pair: Pair) -> Pair:
    pair.notes += ("no twin: drawn or written otherwise than the pair says",)
    return pair
