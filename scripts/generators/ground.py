"""What generated radiographs are compared with: simulated ones, encoded once a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule
from torch import Tensor

from datamodules import SyntheticPairs
from scripts.comparison.configuration import words
from scripts.comparison.definition import Layers
from scripts.generators.feature_space import FeatureSpace
from scripts.generators.metrics import Probe, fit_probe
from scripts.generators.sides import SideProbe, fit_sides, sided
from scripts.resolved_config import resolved_config
from synthesis.pairs import Pair

_SIDED_CASES = 128  # of each finding: half of a 95 % interval is 0.07 at an accuracy of 0.8


@dataclass(frozen=True)
class Images:
    """Images ``(n, 1, height, width)`` in [0, 1] and their features ``(n, dim)``."""

    images: Tensor
    features: Tensor


@dataclass(frozen=True)
class Ground:
    """What all generators are compared on.

    Attributes:
        data: The pairs.
        space: Turns images into features.
        pairs: Held-out cases and reports that are drawn again.
        reference: Their simulated images.
        training: Images that the generators were trained on.
        held_out: As many of other cases, never trained on.
        sided: Those of them with a finding whose side is judged: the held-out pairs have too few.
        probe: Tells concepts from features; fitted on the training images.
        sides: Tells left from right; fitted on them, too.
    """

    data: SyntheticPairs
    space: FeatureSpace
    pairs: list[Pair]
    reference: Images
    training: Images
    held_out: Images
    sided: list[Pair]
    probe: Probe
    sides: SideProbe


def ground_of(layers: Layers, encoder: Path) -> Ground:
    """Encode everything that generators are compared with; the second call of a process is free.

    Args:
        layers: Configuration of a generator's training, whose validation split has as many pairs as are
            looked at of its training split, and whose test split holds the cases to draw.
        encoder: See `FeatureSpace`.
    """
    return _ground(words(layers), encoder)


@cache
def _ground(args: tuple[str, ...], encoder: Path) -> Ground:
    config = resolved_config("fit", *args)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=LightningDataModule)
    data = parser.instantiate(parser.parse_object({"data": config["data"]})).data
    data.prepare_data()
    data.setup("test")
    space, given = FeatureSpace(encoder), config["data"]["init_args"]
    known = given["val_pairs"]
    sizes = {"train": min(known, given["train_pairs"]), "val": known, "test": given["test_pairs"]}
    pairs = {split: data.source(split).read(range(size)) for split, size in sizes.items()}
    images = {split: _images(read) for split, read in pairs.items()}
    encoded = {"train": Images(images["train"], space.settle(images["train"]))}
    encoded |= {split: Images(images[split], space(images[split])) for split in ("val", "test")}
    labels = torch.stack([torch.from_numpy(pair.case.labels(data.catalog)) for pair in pairs["train"]])
    return Ground(
        data=data,
        space=space,
        pairs=pairs["test"],
        reference=encoded["test"],
        training=encoded["train"],
        held_out=encoded["val"],
        sided=sided(pairs["val"], most=_SIDED_CASES),
        probe=fit_probe(encoded["train"].features, labels),
        sides=fit_sides(encoded["train"].features, [pair.case for pair in pairs["train"]]),
    )


def _images(pairs: Sequence[Pair]) -> Tensor:
    return torch.stack([pair.image for pair in pairs]).float() / 255
