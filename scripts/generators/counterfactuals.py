"""Whether an image changes where a finding was when the report no longer tells of it, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.cases import Case
from synthesis.images.image_maker import ImageMaker
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.progress import track
from synthesis.reports.report import Report
from synthesis.seeding import generator, pair_seed

_CHUNK = 32  # images between two steps of the progress bar


@dataclass(frozen=True)
class Removal:
    """A case and its report, and both without one of the findings.

    Attributes:
        index: Number of the pair.
        concept: The finding that is left out.
        cases: With it, without it.
        reports: With it, without it: written with the same random numbers, so that they differ in what they
            say of it and in what its absence allows.
        mask: Where a simulated patient has it, bool ``(height, width)``.
    """

    index: int
    concept: str
    cases: tuple[Case, Case]
    reports: tuple[Report, Report]
    mask: Tensor


def removals(pairs: Sequence[Pair], synthesizer: PairSynthesizer) -> list[Removal]:
    """Leave one finding out of each case that shows one.

    Args:
        pairs: Their cases are taken.
        synthesizer: Its image maker says where findings lie, its writer writes the reports.

    Returns:
        In the order of the pairs; none of an image maker that knows no masks, of a case without a visible
        finding, or of a report that the writer gives up.
    """
    if not pairs:
        return []
    seeds = [pair_seed(0, "removal", pair.index) for pair in pairs]
    made = synthesizer.image_maker.make([p.case for p in pairs], [p.report for p in pairs], seeds)
    chosen: list[tuple[int, int]] = []
    for row, masks in enumerate(made.masks or []):
        shown = masks.flatten(1).any(1).nonzero()[:, 0].tolist() if len(masks) else []
        if shown:
            rng = generator(seeds[row], "removal")
            chosen.append((row, shown[int(rng.integers(len(shown)))]))
    cases = [(made.cases[row], made.cases[row].without(i)) for row, i in chosen]
    asked = [seeds[row] for row, _ in chosen]
    written = [synthesizer.writer.write([both[k] for both in cases], asked) for k in (0, 1)]
    found = []
    for k, (row, i) in enumerate(chosen):
        reports = written[0][k], written[1][k]
        if not any(report.dropped for report in reports):
            assert made.masks is not None
            concept = cases[k][0].findings[i].concept
            found.append(Removal(pairs[row].index, concept, cases[k], reports, made.masks[row][i].cpu()))
    return found


@dataclass(frozen=True)
class Change:
    """What leaving a finding out has done to some images.

    Attributes:
        place: Mean over the images of the AUROC with which the size of a pixel's change tells whether it lies
            in the mask: 1 if the changes there are the largest, 0.5 if they lie anywhere, or nothing changes.
        low: Lower end of the 95 % interval of this mean (normal).
        high: Its upper end.
        inside: Mean change within the mask, of a range of grey values of 1.
        outside: Mean change elsewhere.
        cases: Images.
    """

    place: float
    low: float
    high: float
    inside: float
    outside: float
    cases: int


def drawn(maker: ImageMaker, asked: Sequence[Removal], what: str) -> Tensor:
    """Draw each case with and without the finding, from the same noise: ``(removal, 2, height, width)``.

    The noise is not that of the patients who gave the masks.

    Args:
        maker: Draws.
        asked: What.
        what: What the progress bar says.
    """
    images = []
    for start in track(range(0, len(asked), _CHUNK), description=what):
        part = asked[start : start + _CHUNK]
        seeds = [pair_seed(0, "generated", removal.index) for removal in part]
        both = [
            maker.make([r.cases[k] for r in part], [r.reports[k] for r in part], seeds).images for k in (0, 1)
        ]
        images.append(torch.cat(both, 1).float())
    return torch.cat(images) if images else torch.empty(0, 2, 1, 1)


def change(images: Tensor, asked: Sequence[Removal]) -> Change:
    """Say where images change, and by how much: see `Change`; NaN without images.

    Args:
        images: ``(removal, 2, height, width)`` in [0, 1], see `drawn`.
        asked: What was left out.
    """
    from torchmetrics.functional.classification import binary_auroc

    places, inside, outside = [], [], []
    for both, removal in zip(images, asked, strict=True):
        size = both.shape[-2:]
        mask = F.interpolate(removal.mask[None, None].float(), size, mode="area")[0, 0] > 0
        if mask.all() or not mask.any():
            continue
        changed = (both[0] - both[1]).abs()
        # Rounded, for a network's own rounding would have ranks.
        ranks = (changed * 1e5).round()
        places.append(float(binary_auroc(ranks.flatten() / 1e5, mask.flatten().int())))
        inside.append(float(changed[mask].mean()))
        outside.append(float(changed[~mask].mean()))
    if not places:
        return Change(math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    found = torch.tensor([places, inside, outside], dtype=torch.float64)
    place, within, elsewhere = found.mean(1).tolist()
    half = 1.96 * float(found[0].std()) / len(places) ** 0.5 if len(places) > 1 else math.nan
    return Change(place, place - half, place + half, within, elsewhere, len(places))


def by_concept(images: Tensor, asked: Sequence[Removal], least: int) -> Mapping[str, Change]:
    """Return the changes of each concept that was left out at least so often, the most frequent first."""
    rows: dict[str, list[int]] = {}
    for row, removal in enumerate(asked):
        rows.setdefault(removal.concept, []).append(row)
    frequent = sorted((-len(found), name) for name, found in rows.items() if len(found) >= least)
    return {name: change(images[rows[name]], [asked[row] for row in rows[name]]) for _, name in frequent}
