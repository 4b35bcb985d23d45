"""Filters of images by likeness to those of a folder, and the embedders that say how alike images are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.files import file_sha256
from synthesis.identity import identity
from synthesis.model_files import check_directory, open_pretrained
from synthesis.pairs import Pair, Rejection

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
_BATCH = 64
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


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
        """Return everything the vectors depend on, as a JSON-able dict."""
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

    version: int = 1  # of the results, see synthesis.identity

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
        """Return everything the vectors depend on."""
        return {"size": self.size, "blur": self.blur}


class PretrainedEncoder:
    """A vision model of `transformers`, e.g. RAD-DINO (arXiv:2401.10815), from a directory.

    Grey images are rounded to 8 bit, repeated over the channels, and go through the directory's own image
    processor. No remote code is run.

    Args:
        directory: Holds config.json, weights in safetensors and preprocessor_config.json.
        device: Where it runs.
        batch_size: Images a pass.

    Raises:
        ValueError: If the directory lacks the model's configuration or that of its image processor.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(self, directory: str | Path, device: str = "cpu", batch_size: int = 32) -> None:
        self.directory = Path(directory)
        if not (self.directory / "config.json").is_file():
            raise ValueError(
                f"directory={str(directory)!r} holds no config.json; give one of a vision model."
            )
        if not any((self.directory / name).is_file() for name in _PROCESSORS):
            raise ValueError(
                f"directory={str(directory)!r} holds no {_PROCESSORS[0]}, which says how the model wants its "
                "images scaled; save its image processor there too."
            )
        self.device = device
        self.batch_size = batch_size

    def embed_images(self, images: Tensor) -> Tensor:
        """Embed images ``(batch, 1, height, width)``: their features, scaled to unit vectors."""
        return F.normalize(self.features(images), dim=1)

    def features(self, images: Tensor) -> Tensor:
        """Return the pooled output of the model, or its first token where it does not pool.

        Args:
            images: float32 ``(batch, 1, height, width)`` in [0, 1].

        Returns:
            ``(batch, dim)``, float32, on the CPU.
        """
        model, processor = self._loaded
        colour = images.mul(255).round().byte().expand(-1, 3, -1, -1)
        features = []
        for chunk in colour.split(self.batch_size):
            pixels = processor(images=list(chunk.numpy()), return_tensors="pt")["pixel_values"]
            with torch.inference_mode():
                output = model(pixel_values=pixels.to(self.device))
            pooled = getattr(output, "pooler_output", None)
            features.append(output.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1))
        return torch.cat(features).float().cpu().clone()  # cloned: no longer a tensor of inference mode

    def describe(self) -> dict[str, Any]:
        """Return everything the vectors depend on."""
        files = sorted(self.directory.glob("*.json")) + sorted(self.directory.glob("*.safetensors"))
        hashes = {path.name: file_sha256(path) for path in files}
        return {"files_sha256": hashes}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights behind: another process loads its own."""
        return {key: value for key, value in self.__dict__.items() if key != "_loaded"}

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoImageProcessor, AutoModel

        check_directory(self.directory, argument="directory")
        model = open_pretrained(AutoModel, self.directory, use_safetensors=True)
        return model.eval().to(self.device), open_pretrained(AutoImageProcessor, self.directory)


class FolderSimilarity:
    """Rejects an image that is too much like one of a folder.

    Args:
        folder: PNG, JPEG or BMP files, 8 bit, at any depth; their middle square is taken.
        embedder: Says how alike two images are; None compares thumbnails.
        threshold: From which product of two vectors on they are too much alike, in (0, 1].
        image_size: Side in pixels to which the files are scaled before they are embedded.

    Raises:
        ValueError: If the folder holds no image.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind: ClassVar[str] = "like an image of a folder"
    """By what a rejection is counted."""

    def __init__(
        self,
        folder: str | Path,
        embedder: ImageEmbedder | None = None,
        threshold: float = 0.9,
        image_size: int = 256,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold}: a product of unit vectors; give one above 0, up to 1.")
        self.folder = Path(folder)
        self.embedder = embedder or Thumbnails()
        self.threshold = threshold
        self.image_size = image_size
        self._files = sorted(p for p in self.folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not self._files:
            raise ValueError(
                f"folder={str(folder)!r} holds no .png, .jpg or .bmp file; give one with images."
            )

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair the file that its image is like, or None."""
        images = torch.stack([pair.image[:1] for pair in pairs]).float() / 255
        nearest = (self.embedder.embed_images(images) @ self._vectors.T).max(1)
        return [
            Rejection(self.kind, f"{self._files[i].name}, {value:.3f}") if value >= self.threshold else None
            for value, i in zip(nearest.values.tolist(), nearest.indices.tolist(), strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return {
            "files": len(self._files),
            "files_sha256": digest.hexdigest(),
            "embedder": identity(self.embedder),
            "threshold": self.threshold,
            "image_size": self.image_size,
        }

    @cached_property
    def _vectors(self) -> Tensor:
        batches = [self._files[i : i + _BATCH] for i in range(0, len(self._files), _BATCH)]
        return torch.cat(
            [self.embedder.embed_images(torch.stack([self._read(p) for p in batch])) for batch in batches]
        )

    def _read(self, path: Path) -> Tensor:
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as file:
                grey = ImageOps.fit(file.convert("L"), (self.image_size, self.image_size))
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be read as an image ({error}); take it out of the folder."
            ) from error
        return torch.from_numpy(np.asarray(grey, np.float32) / 255)[None]


class BadExamples(FolderSimilarity):
    """Rejects an image that is like one of a folder of known bad ones.

    SynCXR (Liu et al., arXiv:2410.13523) compares with bad samples of the real set in the space of a chest
    radiograph encoder: give a `PretrainedEncoder`, and a threshold that was set for it. Thumbnails, the
    default, only recognise near copies.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "like a bad example"


class MemorisedImages(FolderSimilarity):
    """Rejects an image that is nearly one of those that its generator was trained on.

    Latent diffusion models give back up to a third of the radiographs that they were trained on
    (arXiv:2402.01054), so check every generator that has seen images of patients.
    """

    version: int = 1  # of the results, see synthesis.identity

    kind = "memorised"
