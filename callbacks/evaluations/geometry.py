"""Shape of the embedding space: numbers that explain why retrieval or probing went as it did."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from callbacks.base.evaluation import Evaluation
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.charts import Chart, HistogramChart
from callbacks.drawing.pictures import COLOURS, blank_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class EmbeddingGeometry(Evaluation):
    """Alignment, uniformity, modality gap and effective rank of the first samples by index.

    - ``alignment``: mean squared distance of an image to its report, in [0, 4], lower is closer (Wang & Isola
      2020, arXiv:2005.10242, with exponent 2).
    - ``uniformity_image``, ``uniformity_text``: ``log mean exp(-2 |x - y|^2)`` over pairs of different
      samples, in [-8, 0], lower is more spread out (the same paper, t = 2).
    - ``uniformity``: the mean of the two; the images' alone for image-only data.
    - ``modality_gap``: distance between the mean image and the mean report, in [0, 2] (Liang et al. 2022,
      arXiv:2203.02053).
    - ``effective_rank_image``, ``effective_rank_text``, ``effective_rank_pooled``: exponential of the entropy
      of the normalised singular values (Roy & Vetterli, EUSIPCO 2007) of the features less their mean: how
      many directions are in use, from 1 to the dimension.

    Args:
        samples: How many are looked at, all if there are fewer; time and memory grow with its square.
        name: The callback's name in metric names.
    """

    def __init__(self, samples: int = 2000, name: str = "geometry") -> None:
        super().__init__(name, resamples=0)
        if samples < 2:
            raise ValueError(f"samples={samples} must be at least 2: distances are between samples")
        self.samples = samples

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Measure the space."""
        if len(features) < 2:
            return Result({}, {"note": "fewer than two samples: no distances"})
        images, pooled = features.image[: self.samples].double(), features.pooled[: self.samples].double()
        metrics = {
            "uniformity_image": uniformity(images),
            "effective_rank_image": effective_rank(images),
            "effective_rank_pooled": effective_rank(pooled),
        }
        metrics["uniformity"] = metrics["uniformity_image"]
        details: dict[str, object] = {"samples": len(images)}
        if features.text is None:
            details["note"] = "image-only data: no alignment, gap or text figures"
        else:
            texts = features.text[: self.samples].double()
            metrics["alignment"] = float((images - texts).square().sum(1).mean())
            metrics["modality_gap"] = float((images.mean(0) - texts.mean(0)).norm())
            metrics["uniformity_text"] = uniformity(texts)
            metrics["effective_rank_text"] = effective_rank(texts)
            metrics["uniformity"] = (metrics["uniformity_image"] + metrics["uniformity_text"]) / 2
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        charts: dict[str, Chart] = {}
        if occasion.final and features.text is not None:
            charts[f"{self.name}_similarity"] = similarities(images, features.text[: self.samples].double())
        return Result(finite, details, charts=charts)

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw how similar images are to their own reports and to others."""
        return {
            name: histograms(chart)
            for name, chart in result.charts.items()
            if isinstance(chart, HistogramChart)
        }


def similarities(images: Tensor, texts: Tensor) -> HistogramChart:
    """Return the cosines of images with their own reports and with all others.

    Args:
        images: ``(n, dim)``, L2-normalised.
        texts: ``(n, dim)``, L2-normalised, row i belonging to image i.
    """
    cosine = images @ texts.T
    other = ~torch.eye(len(images), dtype=torch.bool)
    values = {"own report": cosine.diagonal().numpy(), "other reports": cosine[other].numpy()}
    return HistogramChart("cosine similarity of images and reports", values)


def histograms(chart: HistogramChart) -> Figure:
    """Draw distributions over each other, each with an area of one."""
    figure = blank_figure(6.5, 3.8, chart.title)
    axes = figure.subplots()
    for (name, values), colour in zip(chart.values.items(), COLOURS, strict=False):
        label = f"{name}, n = {len(values):,}"
        axes.hist(values, bins=60, density=True, alpha=0.6, color=colour, label=label)
    axes.set(xlabel="cosine similarity", ylabel="density")
    axes.legend(fontsize=8, frameon=False)
    tidy(axes)
    return figure


def uniformity(x: Tensor, t: float = 2.0) -> float:
    """``log mean exp(-t |x_i - x_j|^2)`` over all i < j of ``x`` ``(n, dim)``, n >= 2."""
    squared = torch.nn.functional.pdist(x).square()
    return float(torch.logsumexp(-t * squared, 0) - math.log(len(squared)))


def effective_rank(x: Tensor) -> float:
    """Roy & Vetterli's effective rank of the centred ``x`` ``(n, dim)``; NaN if all rows are the same."""
    singular = torch.linalg.svdvals(x - x.mean(0))
    if singular[0] < 1e-9 * x.norm():  # rounding is all that is left
        return math.nan
    share = singular / singular.sum()
    return float(torch.special.entr(share).sum().exp())
