"""Pairs made by hand, for tests of what looks at a part of a pair only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synthesis.cases import Case
from synthesis.pairs import Pair, Rejection
from synthesis.reports.report import Report


def with_report(findings: str, impression: str = "") -> Pair:
    """A pair of which only the report matters."""
    return Pair(0, Case(()), Report(findings, impression), torch.zeros(1, 8, 8, dtype=torch.uint8), None)


def with_image(image: Tensor, index: int = 0) -> Pair:
    """A pair of which only the image matters."""
    return Pair(index, Case(()), Report("Clear.", "Clear."), image, None)


def kinds(reasons: Sequence[Rejection | None]) -> list[str | None]:
    """By what rejections are counted."""
    return [None if reason is None else reason.kind for reason in reasons]
