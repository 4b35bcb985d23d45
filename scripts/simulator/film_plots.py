"""Pictures of simulated beside real radiographs: mean histograms, mean spectra, a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from callbacks.drawing.pictures import COLOURS, blank_figure, tidy
from scripts.simulator.film_features import BANDS, spectrum
from synthesis.files import replaced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("real", "simulated")
COLUMNS, ROWS, GAP = 6, 8, 6  # films of a kind in a row of the contact sheet, rows, px between the kinds


def save_histograms(real: Tensor, simulated: Tensor, path: Path) -> None:
    """Draw the mean histogram of grey values of both kinds, and the middle half of the films.

    Args:
        real: ``(film, height, width)`` in [0, 1].
        simulated: Likewise.
        path: Of the PNG.
    """
    edges = np.linspace(0, 1, 65)
    curves = [
        np.stack([np.histogram(film, edges)[0] / film.size for film in films.numpy()])
        for films in (real, simulated)
    ]
    _save(_curves((edges[1:] + edges[:-1]) / 2, curves, "grey value", "share of the pixels"), path)


def save_spectra(real: Tensor, simulated: Tensor, path: Path) -> None:
    """Draw the mean power spectrum of both kinds, and the middle half of the films. Args as above."""
    curves = [spectrum(films) for films in (real, simulated)]
    middle = np.sqrt(np.array(BANDS[:-1]) * np.array(BANDS[1:]))[: curves[0].shape[1]]
    figure = _curves(middle, curves, "cycles an image", "log10 power")
    figure.axes[0].set_xscale("log")
    _save(figure, path)


def save_sheet(real: Tensor, simulated: Tensor, path: Path) -> None:
    """Lay films side by side, real ones left, simulated ones right; as many as there are, at most 48 a kind.

    Args:
        real: ``(film, height, width)`` in [0, 1]; film k stands beside film k of the other kind.
        simulated: Likewise.
        path: Of the PNG.
    """
    blocks = []
    for films in (real, simulated):
        count = min(len(films), COLUMNS * ROWS)
        chosen = films[np.linspace(0, len(films) - 1, count).astype(int)]
        height, width = films.shape[1:]
        rows = -(-count // COLUMNS)
        grid = torch.ones(rows * COLUMNS, height, width)
        grid[:count] = chosen
        grid = grid.view(rows, COLUMNS, height, width).transpose(1, 2)
        blocks.append(grid.reshape(rows * height, COLUMNS * width))
    sheet = torch.cat([blocks[0], torch.ones(len(blocks[0]), GAP), blocks[1]], dim=1)
    with replaced(path) as temporary:
        Image.fromarray((sheet * 255).round().byte().numpy()).save(temporary, format="PNG")


def _curves(x: np.ndarray, kinds: Sequence[np.ndarray], across: str, up: str) -> Figure:
    figure = blank_figure(6.0, 4.0, "")
    axes = figure.subplots()
    for values, name, colour in zip(kinds, KINDS, COLOURS, strict=False):
        low, high = np.percentile(values, [25, 75], axis=0)
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, values.mean(0), color=colour, label=name)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(frameon=False)
    tidy(axes)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with replaced(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
