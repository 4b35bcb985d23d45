"""A corpus that is made in no time and of which filters refuse a part."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthesis.cases import Case, UniformCaseSampler
from synthesis.images.image_maker import MadeImages
from synthesis.pairs import Pair, PairSynthesizer, Rejection
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.report import Report
from synthesis.store import Share, StorePlan, fill

PAIRS, SHARD = 45, 8  # six files, the last one short


class Shades:
    """The simplest image maker: a ramp, as bright as its seed says; one pixel marks each finding."""

    version = 1
    image_size = 16

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds

    def make(
        self, cases: Sequence[Case], reports: Sequence[Report] | None, seeds: Sequence[int]
    ) -> MadeImages:
        time.sleep(self.seconds)
        ramp = torch.linspace(0, 0.5, 256).view(1, 1, 16, 16)
        shade = torch.tensor([(seed % 101) / 202 for seed in seeds], dtype=torch.float32)
        masks = [torch.zeros(len(case.findings), 16, 16, dtype=torch.bool) for case in cases]
        return MadeImages(ramp + shade.view(-1, 1, 1, 1), masks, tuple(cases))

    def describe(self) -> dict[str, Any]:
        return {}


class NotTooBright:
    """A pair filter: of the drawings, six in ten pass."""

    version = 1

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        return [Rejection("bright", str(int(p.image.max()))) if p.image.max() > 203 else None for p in pairs]

    def describe(self) -> dict[str, Any]:
        return {"limit": 203}


class NoShadeTwice:
    """A corpus filter: each brightness once."""

    version = 1

    def sign(self, pairs: Sequence[Pair]) -> np.ndarray:
        return np.array([[int(p.image[0, 0, 0])] for p in pairs])

    def reject(self, signatures: np.ndarray) -> list[Rejection | None]:
        seen: set[int] = set()
        reasons: list[Rejection | None] = []
        for (shade,) in signatures.tolist():
            reasons.append(Rejection("shade again", str(shade)) if shade in seen else None)
            seen.add(shade)
        return reasons

    def describe(self) -> dict[str, Any]:
        return {}


def small_plan(pairs: int = PAIRS, attempts: int = 2, seconds: float = 0) -> StorePlan:
    synthesizer = PairSynthesizer(
        UniformCaseSampler(), GrammarWriter(), Shades(seconds), [NotTooBright()], attempts
    )
    return StorePlan(synthesizer, pairs, 3, "train", [NoShadeTwice()], SHARD, complete=False)


def make_share(root: Path, rank: int) -> None:
    """Make the share of one of two processes, slowly: to be killed."""
    os.environ.update(WORLD_SIZE="2", RANK=str(rank))
    plan = small_plan(seconds=0.4)
    fill(root / plan.split, plan, Share.of_environment(), progress=False)
