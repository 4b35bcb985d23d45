"""The base of image makers that draw in one pass, from a latent and the report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from synthesis.cases import Case
from synthesis.concepts import ConceptCatalog
from synthesis.devices import named_device, require_device
from synthesis.images.image_maker import MadeImages
from synthesis.images.model_directory import ModelDirectory
from synthesis.images.prompts import Section, prompt_rules, prompts
from synthesis.model_files import open_pretrained
from synthesis.prompt_length import PromptLength
from synthesis.reports.report import Report
from synthesis.seeding import generator


class LatentImageMaker(ABC):
    """Draws with the decoder that a run of ``configs/generator/`` has exported.

    Prompts longer than the text encoder reads are cut after a sentence, as in training.

    The latent of an image comes from its own seed. Images made in other batches, or on another device, agree
    to 1e-4 in [0, 1]: matrix products are added up in another order.

    Args:
        directory: The exported directory.
        image_size: Height and width of the images; drawn at the network's own size and resized. None keeps
            that.
        section: What of the report is the prompt; None takes what the network was trained with.
        catalog: Concept catalogue file, for ``concepts`` and ``claims``; the shipped one by default.
        batch_size: Images a pass.
        device: Where to draw.

    Raises:
        FileNotFoundError: If the directory holds no generator.
        ValueError: If it holds one of another kind.
    """

    version: int = 2  # of the results, see synthesis.identity

    kind: str
    """What `generator.json` calls this maker's generators."""

    def __init__(
        self,
        directory: str | Path,
        image_size: int | None = None,
        section: Section | None = None,
        catalog: str | Path | None = None,
        batch_size: int = 32,
        device: str = "cpu",
    ) -> None:
        self.directory = ModelDirectory(directory)
        self.directory.require_kind(self.kind)
        settings = self.directory.settings
        self.image_size = int(settings["image_size"]) if image_size is None else image_size
        self.section: Section = settings["section"] if section is None else section
        self.catalog = ConceptCatalog(catalog)
        self.batch_size, self.device = batch_size, named_device(self, device)
        self.prompt_length = PromptLength()
        self._parts: tuple[Any, Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the networks out when a worker process gets a copy: it loads its own."""
        return self.__dict__ | {"_parts": None}

    @abstractmethod
    def latent(self, rng: np.random.Generator, length: int) -> npt.NDArray[np.float64]:
        """Return the latent ``(length,)`` of one image."""

    def placed(self, latents: Tensor, pooled: Tensor) -> Tensor:
        """Return the latents ``(batch, latent)`` of pooled reports: what `latent` has drawn."""
        return latents

    def describe(self) -> dict[str, Any]:
        """Return what the images depend on, for fingerprints."""
        return {
            "sha256": self.directory.sha256,
            "image_size": self.image_size,
            "section": self.section,
            "catalog": prompt_rules(self.section, self.catalog),
        }

    def make(
        self, cases: Sequence[Case], reports: Sequence[Report] | None, seeds: Sequence[int]
    ) -> MadeImages:
        """Draw one image a case: see `ImageMaker.make`. Masks are not known."""
        texts = prompts(self.section, cases, reports, self.catalog)
        images = [torch.empty(0, 1, self.image_size, self.image_size)]
        with torch.inference_mode():
            for start in range(0, len(texts), self.batch_size):
                part = slice(start, start + self.batch_size)
                images.append(self._draw(texts[part], seeds[part]).cpu())
        return MadeImages(torch.cat(images), None, tuple(cases))

    def _draw(self, texts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        length = int(self.directory.settings["latent_dim"])
        latents = np.stack([self.latent(generator(seed, "latent"), length) for seed in seeds])
        network, text_encoder, tokenizer = self._loaded()
        read = self.prompt_length(texts, tokenizer, tokenizer.model_max_length)
        pooled = pooled_text(text_encoder, tokenizer, read)
        inputs = torch.cat([self.placed(torch.from_numpy(latents).to(pooled), pooled), pooled], 1)
        images = network(inputs).sigmoid()
        if images.shape[-1] == self.image_size:
            return images
        size = (self.image_size, self.image_size)
        return F.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)

    def _loaded(self) -> tuple[Any, Any, Any]:
        if self._parts is None:
            from monai.networks.nets import Generator
            from safetensors.torch import load_file
            from transformers import AutoModel, AutoTokenizer

            path = self.directory.path
            network = Generator(**self.directory.settings["arguments"])
            network.load_state_dict(load_file(path / "generator.safetensors"))
            text_encoder = open_pretrained(AutoModel, path / "text_encoder", dtype=torch.float32)
            tokenizer = open_pretrained(AutoTokenizer, path / "tokenizer")
            require_device(self, self.device)
            self._parts = network.eval().to(self.device), text_encoder.eval().to(self.device), tokenizer
        return self._parts


def pooled_text(text_encoder: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Return the mean of the tokens that are no padding, ``(text, width)``, as training has computed it."""
    most = tokenizer.model_max_length
    encoded = tokenizer(list(texts), padding="max_length", truncation=True, max_length=most)
    ids, mask = (
        torch.tensor(encoded[k], device=text_encoder.device) for k in ("input_ids", "attention_mask")
    )
    masked = getattr(text_encoder.config, "use_attention_mask", None)
    tokens = text_encoder(input_ids=ids, attention_mask=mask if masked else None).last_hidden_state
    weights = mask.to(tokens.dtype)[..., None]
    return (tokens * weights).sum(1) / weights.sum(1).clamp_min(1)
