"""What turns images and texts into vectors, for the filters that compare: the seams, and two embedders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.files import file_sha256


@runtime_checkable
class ImageEmbedder(Protocol):
    """Turns images into vectors whose product says how alike they are."""

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed images.

        Args:
            images: float32 ``(batch, 1, height, width)`` in [0, 1].

        Returns:
            Unit vectors ``(batch, dim)``, float32, on the CPU.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Everything the vectors depend on, as a JSON-able dict."""
        ...


@runtime_checkable
class PairEmbedder(ImageEmbedder, Protocol):
    """Embeds images and reports in one space: `lightning_modules.CheckpointEmbedder` is one."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors ``(texts, dim)``, float32, on the CPU."""
        ...


class Thumbnails:
    """Local contrast of a small version of the image: a product of two is their normalised correlation.

    The blurred image is taken away first: all chests have the same coarse shape, and exposure and contrast
    differ between copies of one.

    Args:
        size: Side of the small image, in pixels.
        blur: Side of the mean that is taken away, in pixels of the small image; odd.
    """

    def __init__(self, size: int = 48, blur: int = 9) -> None:
        if size < 8 or blur % 2 == 0 or not 3 <= blur < size:
            raise ValueError(
                f"size={size}, blur={blur}: give a size ≥ 8 and an odd blur from 3 up to below it."
            )
        self.size = size
        self.blur = blur

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed images ``(batch, 1, height, width)``."""
        small = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        mean = F.avg_pool2d(small, self.blur, 1, self.blur // 2, count_include_pad=False)
        return F.normalize((small - mean).flatten(1), dim=1)

    def describe(self) -> dict[str, Any]:
        """Everything the vectors depend on."""
        return {"class_path": f"{__name__}.Thumbnails", "size": self.size, "blur": self.blur}


class PretrainedEncoder:
    """A vision model of `transformers`, e.g. RAD-DINO (arXiv:2401.10815), from a directory.

    Grey images are repeated over the channels, then go through the directory's own image processor. No remote
    code is run.

    Args:
        directory: Holds config.json, weights in safetensors and preprocessor_config.json.
        device: Where it runs.
        batch_size: Images a pass.
    """

    def __init__(self, directory: str | Path, device: str = "cpu", batch_size: int = 32) -> None:
        self.directory = Path(directory)
        if not (self.directory / "config.json").is_file():
            raise ValueError(
                f"directory={str(directory)!r} holds no config.json; give one of a vision model."
            )
        self.device = device
        self.batch_size = batch_size

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed images ``(batch, 1, height, width)``: the pooled output, or the first token."""
        model, processor = self._loaded
        colour = images.mul(255).round().byte().expand(-1, 3, -1, -1)
        found = []
        for chunk in colour.split(self.batch_size):
            pixels = processor(images=list(chunk.numpy()), return_tensors="pt")["pixel_values"]
            with torch.inference_mode():
                output = model(pixel_values=pixels.to(self.device))
            pooled = getattr(output, "pooler_output", None)
            found.append(output.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1))
        return F.normalize(torch.cat(found).float().cpu(), dim=1).clone()

    def describe(self) -> dict[str, Any]:
        """Everything the vectors depend on."""
        files = sorted(self.directory.glob("*.json")) + sorted(self.directory.glob("*.safetensors"))
        hashes = {path.name: file_sha256(path) for path in files}
        return {"class_path": f"{__name__}.PretrainedEncoder", "files_sha256": hashes}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights behind: another process loads its own."""
        return {key: value for key, value in self.__dict__.items() if key != "_loaded"}

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoImageProcessor, AutoModel

        model = AutoModel.from_pretrained(self.directory, local_files_only=True, use_safetensors=True)
        return model.eval().to(self.device), AutoImageProcessor.from_pretrained(
            self.directory, local_files_only=True
        )
