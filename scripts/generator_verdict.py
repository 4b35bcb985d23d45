"""What one generator can do: it draws held-out cases, and what it drew is measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from rich.progress import track
from torch import Tensor

from scripts.generator_ground import Ground
from scripts.generator_metrics import (
    Memorisation,
    fidelity,
    frechet_distance,
    kernel_distance,
    manifold,
    memorisation,
    similarity_within_prompts,
)
from scripts.generator_training import Scale
from synthesis.cases import Case
from synthesis.images.image_maker import ImageMaker
from synthesis.pairs import Pair
from synthesis.seeding import pair_seed

_CHUNK = 32  # images between two steps of the progress bar


@dataclass(frozen=True)
class Verdict:
    """What was found about one generator.

    Attributes:
        line: Its line of the table.
        concepts: AUROC of the probe by concept.
        images: One image of each case, ``(case, 1, height, width)``.
        samples: Several images of the first cases, ``(case, sample, 1, height, width)``.
        memorised: The images that are most like a training image.
    """

    line: dict[str, str | float]
    concepts: dict[str, float]
    images: Tensor
    samples: Tensor
    memorised: Memorisation


def draw(maker: ImageMaker, pairs: Sequence[Pair], stream: str, what: str) -> tuple[Tensor, list[Case]]:
    """Draw the cases of pairs anew, as a corpus would hold them (8 bits).

    Args:
        maker: Draws.
        pairs: Their cases and reports are drawn.
        stream: Another one gives other images of the same cases.
        what: What the progress bar says.

    Returns:
        Images ``(pair, 1, height, width)`` in [0, 1], and the cases they show.
    """
    images: list[Tensor] = []
    cases: list[Case] = []
    for start in track(range(0, len(pairs), _CHUNK), description=what):
        part = pairs[start : start + _CHUNK]
        seeds = [pair_seed(0, stream, pair.index) for pair in part]
        made = maker.make([pair.case for pair in part], [pair.report for pair in part], seeds)
        images.append(made.images.mul(255).round().div(255))
        cases += made.cases
    return torch.cat(images), cases


def judge(name: str, maker: ImageMaker, ground: Ground, scale: Scale) -> Verdict:
    """Have a maker draw, and measure what it drew."""
    maker.make([ground.pairs[0].case], [ground.pairs[0].report], [0])  # loads what is to be loaded
    start = time.perf_counter()
    images, cases = draw(maker, ground.pairs, "generated", f"{name}: drawing")
    rate = len(images) / (time.perf_counter() - start)
    several = [images[: scale.prompts]]
    for k in range(1, scale.samples_per_prompt):
        several.append(draw(maker, ground.pairs[: scale.prompts], f"again {k}", f"{name}: again, {k}")[0])
    samples = torch.stack(several, 1)
    features, catalog = ground.space(images), ground.data.catalog
    labels = torch.stack([torch.from_numpy(case.labels(catalog)) for case in cases])
    found = fidelity(ground.probe, features, labels, catalog.names, least=min(10, len(images) // 6))
    near = memorisation(features, ground.training.features, ground.held_out.features)
    reference = ground.reference.features
    kid, deviation = kernel_distance(reference, features)
    line: dict[str, str | float] = {
        "generator": name,
        "FID": frechet_distance(reference, features),
        "KID ×1000": 1000 * kid,
        "± (subsets)": 1000 * deviation,
        **asdict(manifold(reference, features)),
        "MS-SSIM": similarity_within_prompts(samples),
        "fidelity AUROC": found.macro("auroc"),
        "nearer training": near.nearer_training,
        "least ratio": near.least_ratio,
        "images/s": rate,
    }
    concepts = {
        key.removeprefix("auroc/"): v for key, v in found.metrics().items() if key.startswith("auroc/")
    }
    return Verdict(line, concepts, images, samples, near)
