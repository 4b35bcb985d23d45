"""Beginning from trained weights: reading them, fitting them into a model, saying what did not fit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.checkpoints import CheckpointError, read_checkpoint, restore_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LISTED = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedWeights:
    """Weights of a dual encoder.

    Attributes:
        name: Where they come from.
        state: Tensors by their names in `DualEncoder`.
        tokenizer: What its text encoder reads; None if it was trained without texts.
    """

    name: str
    state: Mapping[str, Tensor]
    tokenizer: PreTrainedTokenizerBase | None

    @classmethod
    def read(cls, name: str) -> TrainedWeights:
        """Read the weights of a name.

        Args:
            name: A checkpoint (``.ckpt``), a directory that `make export` wrote or that is shipped
                (``results/encoders/short``), or ``hub:owner/name`` of such a directory.

        Raises:
            ValueError: If it is none of these, or cannot be read.
        """
        if not (name.endswith(".ckpt") or Path(name).is_file()):
            from lightning_modules.exported.reading import read_directory

            model = read_directory(name, "weights")
            return cls(name, model.state_dict(), model.tokenizer)
        try:
            checkpoint = read_checkpoint(name)
            state = checkpoint["state_dict"]
        except (CheckpointError, KeyError) as error:
            reason = getattr(error, "reason", error)
            raise ValueError(
                f"weights={name!r} is no checkpoint that can be read ({reason}): give the best.ckpt of a run "
                "of `main.py fit`, an exported directory, or null to train from scratch"
            ) from error
        return cls(name, state, restore_tokenizer(checkpoint.get("tokenizer"), None))

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of a part, such as ``image_encoder``, by their names in it.

        Raises:
            ValueError: If there are none.
        """
        prefix = f"{name}."
        state = {k.removeprefix(prefix): v for k, v in self.state.items() if k.startswith(prefix)}
        if not state:
            raise ValueError(
                f"weights={self.name!r} holds no {prefix}* tensors: give a checkpoint of DualEncoder"
            )
        return state


@dataclass
class Fit:
    """What of trained weights fits into a module, by name.

    Attributes:
        taken: Tensors of the module's shapes.
        resized: Those among them that were brought to another size.
        missing: What stands in the module alone.
        unexpected: What stands in the weights alone.
        reshaped: What has another shape, with both.
    """

    taken: dict[str, Tensor] = field(default_factory=dict)
    resized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> Fit:
        """Compare a module's state with trained weights.

        Args:
            own: The module's.
            saved: The weights'. Position embeddings of another grid are interpolated, and so is the layer
                that mixes all places of an image; of tables with other numbers of rows the common ones are
                taken.
        """
        fit = cls(unexpected=[name for name in saved if name not in own])
        for name, value in own.items():
            if name not in saved:
                fit.missing.append(name)
                continue
            found = saved[name] if saved[name].shape == value.shape else _resized(name, saved[name], value)
            if found is None:
                shapes = f"{list(saved[name].shape)} there, {list(value.shape)} here"
                fit.reshaped.append(f"{name} ({shapes})")
                continue
            fit.taken[name] = found
            if found is not saved[name]:
                fit.resized.append(name)
        return fit

    def share(self, own: Mapping[str, Tensor]) -> float:
        """Return the share of the module's numbers that the weights supply."""
        return sum(value.numel() for value in self.taken.values()) / sum(v.numel() for v in own.values())

    def lines(self) -> list[str]:
        """Say what was not taken as it was, a line a kind; none if everything was."""
        kinds = {
            "resized": self.resized,
            "missing in the weights, left as initialised": self.missing,
            "of another shape, left as initialised": self.reshaped,
            "not used": self.unexpected,
        }
        return [f"{kind} ({len(names)}): {_listed(names)}" for kind, names in kinds.items() if names]


def take_weights(
    model: nn.Module, weights: TrainedWeights, towers: Iterable[str], least: float = 0.5
) -> None:
    """Put trained weights into a model, and log what did not fit.

    Args:
        model: The model; changed in place.
        weights: The weights.
        towers: Names of the parts that must come from them.
        least: Share of each of these that they must supply, in (0, 1].

    Raises:
        ValueError: If they supply less.
    """
    own = model.state_dict()
    for tower in towers:
        prefix = f"{tower}."
        part = {k.removeprefix(prefix): v for k, v in own.items() if k.startswith(prefix)}
        fit = Fit.of(part, weights.part(tower))
        if (share := fit.share(part)) < least:
            raise ValueError(
                f"weights={weights.name!r} supply {share:.0%} of {tower}, less than {least:.0%}: they are of "
                "another architecture. Build the model as it was trained, with the config.yaml of its run or "
                "the same sizes.\n  " + "\n  ".join(fit.lines())
            )
    fit = Fit.of(own, weights.state)
    model.load_state_dict(fit.taken, strict=False)
    told = "\n  ".join([f"weights of {weights.name}: {len(fit.taken)} of {len(own)} tensors", *fit.lines()])
    log.log(logging.WARNING if fit.missing or fit.reshaped else logging.INFO, told)


def frozen_modules(model: nn.Module, names: Iterable[str], argument: str = "frozen") -> list[nn.Module]:
    """Return the parts of a model that are to keep their weights.

    Args:
        model: The model.
        argument: What asks for them, for the message.
        names: Dotted paths: ``text_encoder``, ``image_encoder.stem``, ``image_encoder.vit.layers.0`` …

    Raises:
        ValueError: If there is no such part; it names those that there are.
    """
    found = []
    for name in names:
        above: nn.Module = model
        for word in name.split("."):
            part = getattr(above, word, None)
            if not isinstance(part, nn.Module):
                there = ", ".join(child for child, _ in above.named_children())
                raise ValueError(
                    f"{argument}: {name!r} is no part of the model: at {word!r} there are {there}"
                )
            above = part
        found.append(above)
    return found


def _resized(name: str, saved: Tensor, own: Tensor) -> Tensor | None:
    """Return a tensor of the shape of `own` made of `saved`, or None if that makes no sense."""
    if name.endswith("position_embeddings") and saved.ndim == 3 and saved.shape[2] == own.shape[2]:
        before, after = isqrt(saved.shape[1]), isqrt(own.shape[1])
        special = saved.shape[1] - before**2
        if special != own.shape[1] - after**2:
            return None
        grid = _interpolated(saved[0, special:].T.unflatten(1, (before, before))[None], after)
        return torch.cat([saved[:, :special], grid[0].flatten(1).T[None]], 1)
    if name.endswith("mix.weight") and len(saved) == len(own):  # (width, row · column · width)
        width = len(own)
        before, after = (isqrt(weight.shape[1] // width) for weight in (saved, own))
        maps = saved.unflatten(1, (before, before, width)).permute(0, 3, 1, 2)
        mixed = _interpolated(maps, after).permute(0, 2, 3, 1).flatten(1)
        return mixed * (before / after) ** 2 if mixed.shape == own.shape else None  # the sum stays
    if "embeddings." in name and saved.ndim == 2 and saved.shape[1] == own.shape[1]:
        rows = min(len(saved), len(own))
        return torch.cat([saved[:rows], own[rows:].to(saved.device)])
    return None


def _interpolated(maps: Tensor, side: int) -> Tensor:
    size = (side, side)
    resized = F.interpolate(maps.float(), size, mode="bicubic", align_corners=False, antialias=True)
    return resized.to(maps.dtype)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
