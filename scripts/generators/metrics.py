"""How good generated radiographs are: pure functions of features, images and labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from callbacks.statistics.concept_scores import ConceptTable, score_concepts
from callbacks.statistics.intervals import PatientBootstrap
from callbacks.statistics.logistic import fit_logistic, standardiser


class _AsTheyAre(nn.Module):
    """Features stand for themselves, so that each image is encoded once for all metrics."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(reference: Tensor, made: Tensor) -> float:
    """Fréchet distance of two sets of features ``(n, dim)`` (Heusel et al. 2017, arXiv 1706.08500).

    It depends on n: compare only figures of equal n.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_AsTheyAre(reference.shape[1]), input_img_size=(1, 1, 1))
    metric.set_dtype(torch.float64)
    metric.update(reference.double(), real=True)
    metric.update(made.double(), real=False)
    return float(metric.compute())


def kernel_distance(reference: Tensor, made: Tensor, seed: int = 0) -> tuple[float, float]:
    """Mean and deviation over subsets of the kernel distance (Bińkowski et al. 2018, arXiv 1801.01401)."""
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(len(reference), len(made)) // 2
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance`")
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(
            feature=_AsTheyAre(reference.shape[1]), subsets=50, subset_size=min(500, size)
        )
        metric.update(reference, real=True)
        metric.update(made, real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


@dataclass(frozen=True)
class Manifold:
    """Precision, recall (Kynkäänniemi et al. 2019, arXiv 1904.06991), density, coverage (Naeem et al. 2020).

    Attributes:
        precision: Share of made samples within the k-nearest-neighbour balls of the reference.
        recall: Share of reference samples within those of the made ones.
        density: Mean number of reference balls around a made sample, over k.
        coverage: Share of reference samples whose ball holds a made one.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(reference: Tensor, made: Tensor, k: int = 5) -> Manifold:
    """Compare the manifolds of two sets of features ``(n, dim)``: arXiv 2002.09797, equations 1 to 4.

    Args:
        reference: Features of reference images.
        made: Features of generated images.
        k: Which neighbour gives a ball its radius.

    Raises:
        ValueError: If a set has not more than k samples.
    """
    if min(len(reference), len(made)) <= k:
        raise ValueError(f"{len(reference)} and {len(made)} samples: give more than k = {k} of each")
    radii = {name: _radii(x, k) for name, x in {"reference": reference, "made": made}.items()}
    distance = torch.cdist(made.double(), reference.double())
    within = distance < radii["reference"][None]
    return Manifold(
        precision=float(within.any(1).double().mean()),
        recall=float((distance < radii["made"][:, None]).any(0).double().mean()),
        density=float(within.double().sum(1).mean() / k),
        coverage=float((distance.min(0).values < radii["reference"]).double().mean()),
    )


def _radii(x: Tensor, k: int) -> Tensor:
    distance = torch.cdist(x.double(), x.double())
    return distance.kthvalue(k + 1, dim=1).values  # the first neighbour is the sample itself


def similarity_within_prompts(images: Tensor) -> float:
    """Return the mean MS-SSIM of two images of one prompt: 1 is no variety at all.

    Args:
        images: ``(prompt, sample, 1, height, width)`` in [0, 1], at least two samples each.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    first, second = torch.triu_indices(images.shape[1], images.shape[1], offset=1)
    betas = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    while 10 * (len(betas) - 1) ** 2 >= images.shape[-1]:  # as many scales as fit its window
        betas = betas[:-1]
    weights = tuple((betas / betas.sum()).tolist())
    pairs = images[:, first].flatten(0, 1), images[:, second].flatten(0, 1)
    return float(ms_ssim(*pairs, data_range=1.0, betas=weights))


@dataclass(frozen=True)
class Probe:
    """A linear probe of the concepts, fitted on simulated images: see `fit_probe`."""

    mean_and_scale: object
    weight: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Return ``(n, concept)``: higher means more likely present."""
        return self.mean_and_scale(features.double()) @ self.weight  # type: ignore[operator]


def fit_probe(features: Tensor, labels: Tensor, penalty: float = 30.0) -> Probe:
    """Fit a logistic regression a concept on features ``(n, dim)`` and labels ``(n, concept)``."""
    standardise = standardiser(features.double())
    fitted = fit_logistic(standardise(features.double()), labels.double(), penalty)
    return Probe(standardise, fitted.weight)


def fidelity(
    probe: Probe,
    features: Tensor,
    labels: Tensor,
    names: Sequence[str],
    least: int = 10,
    bootstrap: PatientBootstrap | None = None,
) -> ConceptTable:
    """Say how well the probe finds in images what was asked for: AUROC a concept.

    Args:
        probe: Fitted on simulated images.
        features: Features of the images.
        labels: What was asked for, ``(n, concept)``.
        names: The concepts.
        least: Fewest images with and without a concept for it to be judged.
        bootstrap: Draws cases, for intervals; None for none.
    """
    return score_concepts(probe.scores(features).numpy(), labels.numpy(), names, least, bootstrap)


@dataclass(frozen=True)
class Memorisation:
    """How near generated images are to training images, compared with as many held-out ones.

    Attributes:
        nearer_training: Share of generated images whose nearest training image is nearer than the nearest
            held-out one; 0.5 if nothing is memorised.
        least_ratio: The smallest ratio of the two distances.
        worst: Rows of the generated images with the smallest ratios, the smallest first.
        training: Row of the nearest training image of each of `worst`.
        held_out: Row of the nearest held-out image of each of `worst`.
    """

    nearer_training: float
    least_ratio: float
    worst: Tensor
    training: Tensor
    held_out: Tensor


def memorisation(made: Tensor, training: Tensor, held_out: Tensor, show: int = 6) -> Memorisation:
    """Compare distances of generated images to training and to held-out images, in features ``(n, dim)``.

    Args:
        made: Generated images.
        training: Images the generator was trained on.
        held_out: As many that it has not seen; else the larger set would be nearer by chance.
        show: How many of the worst cases to name.

    Raises:
        ValueError: If the two sets differ in size.
    """
    if len(training) != len(held_out):
        raise ValueError(f"{len(training)} training and {len(held_out)} held-out images: give equally many")
    near, far = (torch.cdist(made.double(), x.double()).min(1) for x in (training, held_out))
    ratio = near.values / far.values.clamp_min(1e-12)
    worst = ratio.argsort()[:show]
    nearer = (ratio < 1).double().mean() + 0.5 * (ratio == 1).double().mean()
    return Memorisation(float(nearer), float(ratio.min()), worst, near.indices[worst], far.indices[worst])
