"""What generated radiographs are compared with: simulated ones, encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule
from torch import Tensor

from datamodules import SyntheticPairs
from scripts.feature_space import FeatureSpace
from scripts.generator_metrics import Probe, fit_probe
from scripts.generator_training import CONFIGS, Scale
from scripts.resolved_config import resolved_config
from synthesis.pairs import Pair


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
        probe: Finds concepts in features; fitted on the training images.
    """

    data: SyntheticPairs
    space: FeatureSpace
    pairs: list[Pair]
    reference: Images
    training: Images
    held_out: Images
    probe: Probe


def pairs_of(scale: Scale, runs: Path) -> SyntheticPairs:
    """Return the data module that every generator is trained with, its cache filled."""
    config = resolved_config("fit", "-c", str(CONFIGS / "variational.yaml"), *scale.common(runs))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=LightningDataModule)
    data = parser.instantiate(parser.parse_object({"data": config["data"]})).data
    data.prepare_data()
    data.setup("test")
    return data


def ground_of(data: SyntheticPairs, space: FeatureSpace, scale: Scale) -> Ground:
    """Encode everything that generators are compared with."""
    sizes = {"train": scale.known_pairs, "val": scale.known_pairs, "test": scale.images}
    pairs = {split: data.source(split).read(range(size)) for split, size in sizes.items()}
    images = {split: _images(found) for split, found in pairs.items()}
    known = {"train": Images(images["train"], space.settle(images["train"]))}
    known |= {split: Images(images[split], space(images[split])) for split in ("val", "test")}
    labels = torch.stack([torch.from_numpy(pair.case.labels(data.catalog)) for pair in pairs["train"]])
    return Ground(
        data=data,
        space=space,
        pairs=pairs["test"],
        reference=known["test"],
        training=known["train"],
        held_out=known["val"],
        probe=fit_probe(known["train"].features, labels),
    )


def _images(pairs: Sequence[Pair]) -> Tensor:
    return torch.stack([pair.image for pair in pairs]).float() / 255
