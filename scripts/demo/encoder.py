"""A trained encoder as the page asks it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from callbacks.evaluations.zero_shot_prompts import Prompts
from callbacks.prediction.prompt_scorer import PromptScorer
from callbacks.statistics.grounding import similarity_map
from datamodules.texts.report_bank import ReportBank
from lightning_modules.trained_encoder import trained_encoder
from scripts.demo.measured import measured
from synthesis.concepts import ConceptCatalog

_BANK = 500  # costs some seconds once


class Encoder:
    """Compares a radiograph with texts. Images are uint8 ``(height, width)`` and brought to its own size.

    Args:
        weights: A checkpoint of `fit`, or an exported directory.
        catalog: What the reports are about among which the nearest are looked for.

    Raises:
        ValueError: If there is no such file or directory, or it holds no dual encoder with a tokenizer.
    """

    def __init__(self, weights: Path, catalog: ConceptCatalog) -> None:
        self.weights, self.catalog = weights, catalog
        self.model = trained_encoder(weights)
        self.image_size = int(self.model.image_encoder.image_size)
        self._lock = Lock()  # the page answers several events at once

    @cached_property
    def parameters(self) -> int:
        """Number of weights of both towers."""
        return sum(weight.numel() for weight in self.model.parameters())

    @cached_property
    def measured(self) -> list[str]:
        """What was measured of it, a phrase each."""
        return measured(self.weights)

    def similarities(self, image: np.ndarray, texts: Sequence[str]) -> list[float]:
        """Return the cosine of an image with each text."""
        with self._lock:
            return (self.model.encode_text(texts) @ self._vector(image)).tolist()

    def map(self, image: np.ndarray, text: str) -> tuple[np.ndarray, float]:
        """Return how much more each place is like a text than the image on the whole, and the cosine.

        Args:
            image: The radiograph.
            text: A sentence.

        Returns:
            ``(height, width)`` of mean 0, and the cosine of the whole image with the text.
        """
        with self._lock:
            phrase = self.model.encode_text([text])[0]
            patches = self.model.encode_patches(self._input(image))[0]
            cosine = float(self._vector(image) @ phrase)
        found = similarity_map(patches, phrase, image.shape).numpy()
        return found - found.mean(), cosine

    def scores(self, image: np.ndarray, prompts: Prompts) -> list[tuple[str, float, float]]:
        """Return name, score and probability of each prompt, see `PromptScorer`."""
        with self._lock:
            scorer = PromptScorer(self.model, prompts)
            scores = scorer.scores(self._vector(image)[None])
        chances = scorer.probabilities(scores)
        return list(zip(scorer.names, scores[0].tolist(), chances[0].tolist(), strict=True))

    def nearest(self, image: np.ndarray, count: int) -> list[tuple[float, str]]:
        """Return cosine and text of the simulated reports that are most like an image, best first."""
        texts, vectors = self._bank
        with self._lock:
            cosines = vectors @ self._vector(image)
        return [(float(cosines[i]), texts[i]) for i in cosines.argsort(descending=True)[:count].tolist()]

    @cached_property
    def _bank(self) -> tuple[list[str], Tensor]:
        texts = ReportBank("simulated", most=_BANK).read(self.catalog)
        with self._lock:
            return texts, self.model.encode_text(texts)

    @property
    def bank_size(self) -> int:
        """Among how many reports the nearest are looked for."""
        return len(self._bank[0])

    def _input(self, image: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).float().div(255)[None, None]
        size = (self.image_size, self.image_size)
        return F.interpolate(pixels, size, mode="bilinear", antialias=True).clamp(0, 1)

    def _vector(self, image: np.ndarray) -> Tensor:
        return self.model.encode_image(self._input(image))[0].float().cpu()
