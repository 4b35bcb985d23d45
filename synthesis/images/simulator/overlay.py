"""What is burnt into or laid over a radiograph: side markers, text, collimation borders."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TEXTS = ("PORTABLE", "AP", "ERECT", "SUPINE", "SEMI-ERECT", "PORT", "UPRIGHT")


@dataclass(frozen=True)
class Overlay:
    """Grey values that replace the picture where `alpha` is above 0; both (height, width)."""

    value: Tensor
    alpha: Tensor

    def apply(self, picture: Tensor) -> Tensor:
        """Return the picture (…, height, width) with the overlay on top."""
        return torch.lerp(picture, self.value, self.alpha)


@functools.lru_cache(maxsize=256)
def _glyphs(text: str, height: int) -> np.ndarray:
    font = ImageFont.load_default(size=4 * height)
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), text, fill=255, font=font)
    small = canvas.resize((max(2, canvas.width // 4), max(2, canvas.height // 4)), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.float32) / 255


def draw_overlay(rng: np.random.Generator, size: int, portable: bool, borders: bool = True) -> Overlay:
    """Draw markers and borders, independent of the findings.

    Args:
        rng: The stream of this pair's overlay.
        size: Height and width in pixels.
        portable: Bedside films carry more text and looser collimation.
        borders: Whether there may be borders; without, the markers stay as they are with them.
    """
    value, alpha = np.zeros((2, size, size), dtype=np.float32)
    if rng.random() < (0.15 if portable else 0.12):
        _collimate(rng, size, torch.from_numpy(value), torch.from_numpy(alpha))
        if not borders:
            value[:], alpha[:] = 0, 0
    side = "L" if rng.random() < 0.75 else "R"
    if rng.random() < 0.75:
        column = rng.uniform(0.84, 0.95) if side == "L" else rng.uniform(0.03, 0.12)
        _place(rng, side, int(size * rng.uniform(0.045, 0.09)), rng.uniform(0.02, 0.2), column, value, alpha)
    for _ in range(int(rng.binomial(2, 0.35 if portable else 0.06))):
        text = str(rng.choice(TEXTS))
        _place(
            rng,
            text,
            int(size * rng.uniform(0.025, 0.045)),
            rng.uniform(0.01, 0.3),
            rng.uniform(0.6, 0.85),
            value,
            alpha,
        )
    return Overlay(torch.from_numpy(value), torch.from_numpy(alpha))


def _place(
    rng: np.random.Generator,
    text: str,
    height: int,
    top: float,
    left: float,
    value: np.ndarray,
    alpha: np.ndarray,
) -> None:
    glyphs = _glyphs(text, max(4, height))
    if rng.random() < 0.15:
        glyphs = np.rot90(glyphs, int(rng.choice([1, 3])))
    size = value.shape[0]
    row, column = min(int(top * size), size - glyphs.shape[0]), min(int(left * size), size - glyphs.shape[1])
    if row < 0 or column < 0:
        return  # a text longer than the film is not put on it
    window = (slice(row, row + glyphs.shape[0]), slice(column, column + glyphs.shape[1]))
    np.maximum(alpha[window], glyphs, out=alpha[window])
    value[window][glyphs > 0] = rng.uniform(0.85, 1.0)


def _collimate(rng: np.random.Generator, size: int, value: Tensor, alpha: Tensor) -> None:
    """Draw a slightly turned rectangle, outside of which there is no exposure (black) or paper (white)."""
    line = torch.linspace(-1, 1, size)
    turn = float(rng.normal(0, 0.025))
    across = line[None, :] * np.cos(turn) + line[:, None] * np.sin(turn)
    down = line[:, None] * np.cos(turn) - line[None, :] * np.sin(turn)
    edges = 1.02 - rng.gamma(1.2, 0.05, 4)
    shade = 0.0 if rng.random() < 0.95 else float(rng.uniform(0.9, 1.0))
    inside = torch.stack([edges[0] - across, edges[1] + across, edges[2] - down, edges[3] + down]).amin(dim=0)
    shadow = torch.sigmoid(-inside * size)  # one pixel of penumbra
    alpha.copy_(torch.where(shadow < 0.01, 0.0, shadow))
    value.fill_(shade)
