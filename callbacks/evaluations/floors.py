"""Floors under a linear probe: what features are worth that no pre-training went into."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from callbacks.base.features import FeatureCollector
from datamodules.batch import IMAGE


class ProbeFloors(L.Callback):
    """Adds two feature sets to the test pass, which `LinearProbe` reports beside the pre-trained one.

    ``random_init``: the pooled output of the same image encoder with all weights drawn anew. ``pixels``: the
    image averaged down to ``size`` x ``size``, which the probe reduces to principal components. Pre-training
    helped if the probe beats both: random convolutions and plain pixels already tell a good deal about a
    radiograph.

    Args:
        seed: Of the random initialisation.
        size: Side of the small image, pixels.
    """

    def __init__(self, seed: int = 0, size: int = 48) -> None:
        self.seed, self.size = seed, size

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make the random encoder and register both feature sets."""
        trained = pl_module.image_encoder
        assert isinstance(trained, nn.Module)
        encoder = reinitialised(trained, self.seed).to(pl_module.device).eval()

        def random_init(batch: Mapping[str, Any]) -> Tensor:
            with torch.no_grad():
                pooled: Tensor = encoder(batch).pooled
            return pooled

        extractors = FeatureCollector.of(trainer).extractors
        extractors["random_init"] = random_init
        extractors["pixels"] = lambda batch: small_pixels(batch[IMAGE], self.size)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove them again."""
        extractors = FeatureCollector.of(trainer).extractors
        extractors.pop("random_init", None)
        extractors.pop("pixels", None)


def small_pixels(images: Tensor, size: int) -> Tensor:
    """Return area averages of images ``(batch, 1, height, width)``, flat: ``(batch, size * size)``."""
    return nn.functional.interpolate(images.float(), size=(size, size), mode="area").flatten(1)


# transformers sets it on what it has initialised, and leaves alone what bears it.
_MARK = "_is_hf_initialized"


def reinitialised(module: nn.Module, seed: int) -> nn.Module:
    """Return a CPU copy of a module with every weight drawn anew; a seed gives the same on any device.

    Each part draws its weights as it did at first: what transformers initialised by ``initialize_weights`` of
    its model, all else by the ``reset_parameters`` that PyTorch's layers have.

    Raises:
        TypeError: If a weight belongs to no part that can draw it.
    """
    # Tests run in inference mode; a copy made there could not be written to.
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = copy.deepcopy(module).cpu().float()
        parts = list(twin.modules())
        theirs = {part for part in parts if part.__dict__.get(_MARK)}
        for part in parts:
            part.__dict__[_MARK] = part not in theirs
        for parameter in twin.parameters():
            parameter.fill_(float("nan"))  # what is still NaN at the end was not drawn
            parameter.__dict__.pop(_MARK, None)
        for part in reversed(parts):  # inner parts first
            methods = ["initialize_weights"] if part in theirs else ["_reset_parameters", "reset_parameters"]
            for draw in (getattr(part, method, None) for method in methods):
                if callable(draw):
                    draw()
    if kept := [name for name, parameter in twin.named_parameters() if parameter.isnan().any()]:
        raise TypeError(
            f"weights {kept} of {type(module).__name__} cannot be drawn anew for the random-initialisation "
            "floor: give the module that owns them a reset_parameters() method, or leave ProbeFloors out"
        )
    return twin
