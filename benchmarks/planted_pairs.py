"""Pairs with planted corruption, and a folder of real radiographs, for `benchmarks/filters.py`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datamodules.tables.image_file import read_radiograph
from synthesis.cases import Case
from synthesis.corruption import KINDS, MISPAIRED, ClinicSynthesizer
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.progress import track
from synthesis.reports.report import Report

SPLIT, SEED = "filter benchmark", 1
DEVELOPMENT, DEVELOPMENT_SEED = "filter development", 0
_CHUNK = 64


def _cut_off(pair: Pair) -> Report:
    return replace(pair.report, findings=pair.report.findings[: -(len(pair.report.findings) // 3) - 2])


def _leaked(pair: Pair) -> Report:
    return replace(pair.report, impression=f"{pair.report.impression} [insert follow-up]")


REPORTS: Mapping[str, Callable[[Pair], Report]] = {
    "report empty": lambda pair: Report("", ""),
    "report cut off": _cut_off,
    "report with a placeholder": _leaked,
}
"""How a report can be spoilt."""


def planted(clean: PairSynthesizer, count: int, split: str, seed: int) -> Iterator[tuple[str, list[Pair]]]:
    """Yield each kind of damage and pairs that all have it; "clean" first."""
    parts = (clean.sampler, clean.writer, clean.image_maker)
    intact = make(PairSynthesizer(*parts), count, split, seed)
    yield "clean", intact
    for kind in KINDS:
        clinic = ClinicSynthesizer(*parts, mispaired=0, corrupted=1, kinds={kind: 1}, splits=[split])
        yield kind, make(clinic, count, split, seed)
    clinic = ClinicSynthesizer(*parts, mispaired=1, corrupted=0, splits=[split])
    yield MISPAIRED, make(clinic, count, split, seed)
    for kind, spoil in REPORTS.items():
        yield kind, [replace(pair, report=spoil(pair)) for pair in intact]


def folder(path: Path, image_size: int) -> list[Pair]:
    """Read the radiographs of a folder as pairs of which nothing but the image is known."""
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".dcm"))
    if not files:
        raise SystemExit(f"{path} holds no .png, .jpg or .dcm file: give a folder of radiographs")
    return [
        Pair(i, Case(()), Report("", ""), read_radiograph(file, image_size), None)
        for i, file in enumerate(track(files, "reading real radiographs", transient=True))
    ]


def copied(pair: Pair) -> Pair:
    """Return the same image as another export of it: 10 % darker, compressed."""
    content = io.BytesIO()
    Image.fromarray((pair.image[0].numpy() * 0.9).astype(np.uint8)).save(content, "jpeg", quality=80)
    return replace(pair, image=torch.from_numpy(np.array(Image.open(content)))[None])


def make(synthesizer: PairSynthesizer, count: int, split: str, seed: int) -> list[Pair]:
    """Make pairs without their masks."""
    pairs: list[Pair] = []
    for start in range(0, count, _CHUNK):
        pairs += synthesizer.make(range(start, min(start + _CHUNK, count)), seed, split)
    return [replace(pair, masks=None) for pair in pairs]
