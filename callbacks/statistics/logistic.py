"""Multi-label logistic regression out of fold: what a linear probe is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Transform = Callable[[Tensor], Tensor]

Choice = Callable[[np.ndarray], np.ndarray]
"""Turns the samples that may be fitted on, ``(n,)`` bool, into those that are."""


@dataclass(frozen=True)
class LogisticFit:
    """A fitted model: ``logit = x @ weight + bias``.

    Attributes:
        weight: ``(dim, concept)`` float64.
        bias: ``(concept,)`` float64.
        gradient: Largest absolute entry of the gradient where the search stopped (0 at the optimum).
    """

    weight: Tensor
    bias: Tensor
    gradient: float


def fit_logistic(x: Tensor, labels: Tensor, penalty: float, max_iterations: int = 500) -> LogisticFit:
    """Fit one logistic regression a concept, all at once, by L-BFGS with strong-Wolfe line search.

    Minimises for each concept ``sum over known labels of log(1 + exp(-+logit)) + penalty / 2 |w|^2`` (the
    bias is free), from zero: convex, deterministic, without state between calls. Products are in single
    precision until that is of no more use, then in double. In scikit-learn's terms ``C = 1 / penalty``.

    The search is in the principal axes of ``x``, each scaled by the curvature that it has at most (a quarter
    of its variance, and the penalty: Böhning 1992, Ann. Inst. Stat. Math. 44:197-200). Features of an encoder
    vary by orders of magnitude between axes, and a search without this takes two to three times the steps.

    Args:
        x: ``(n, dim)`` float64, standardised.
        labels: ``(n, concept)`` of 1, 0 and NaN (unknown, masked out).
        penalty: Strength of the L2 penalty, > 0.
        max_iterations: Of L-BFGS.
    """
    # A row a concept, for products of few rows are the faster way round.
    known = ~labels.T.isnan()
    target = labels.T.nan_to_num(0.0)
    # Each concept's objective is divided by its known labels, so that concepts weigh alike in one search.
    count = known.sum(1, keepdim=True).clamp(min=1)
    share, l2 = known / count, penalty / count
    with torch.inference_mode(False), torch.no_grad():
        variance, axes = torch.linalg.eigh(x.T @ x / max(1, len(x)))
        rotated, scale = x @ axes, (variance.clamp(min=0) / 4 + l2).rsqrt()
        weight, bias = torch.zeros_like(scale), _log_odds(target, share)

        def search(dtype: torch.dtype, gradient: float, change: float) -> None:
            features, asked, counted = rotated.to(dtype), target.to(dtype), share.to(dtype)
            columns = features.T.contiguous()
            optimizer = torch.optim.LBFGS(
                [weight, bias],
                max_iter=max_iterations,
                max_eval=2 * max_iterations,
                history_size=10,
                tolerance_grad=gradient,
                tolerance_change=change,
                line_search_fn="strong_wolfe",
            )

            def closure() -> float:
                along = scale * weight
                logit = torch.addmm(bias.to(dtype), along.to(dtype), columns)
                residual = (logit.sigmoid() - asked) * counted
                weight.grad = scale * (along * l2 + residual @ features)
                bias.grad = residual.sum(1, keepdim=True, dtype=x.dtype)
                loss = (torch.nn.functional.softplus(logit) - asked * logit) * counted
                return float(loss.sum(dtype=x.dtype) + 0.5 * (l2 * along.square()).sum())

            optimizer.step(closure)
            closure()

        search(torch.float32, gradient=1e-5, change=1e-9)  # most of the way, at half the price
        search(x.dtype, gradient=1e-6, change=0.0)
        assert weight.grad is not None and bias.grad is not None
        left = max(float((weight.grad / scale).abs().max()), float(bias.grad.abs().max()))
    return LogisticFit(axes @ (scale * weight).T, bias[:, 0], left)


def _log_odds(target: Tensor, share: Tensor) -> Tensor:
    """Return the bias that is best without features; clipped where a fold knows only one answer."""
    rate = (target * share).sum(1, keepdim=True).clamp(1e-4, 1 - 1e-4)
    return rate.logit()


def standardiser(x: Tensor) -> Transform:
    """Learn mean and deviation from ``x`` ``(n, dim)``; features that do not vary in it become 0."""
    mean, deviation = x.mean(0), x.std(0, correction=0)
    varies = deviation > 1e-7 * (mean.abs() + 1e-7)
    scale = torch.where(varies, 1 / deviation.where(varies, torch.ones_like(deviation)), 0.0)
    return lambda rows: (rows - mean) * scale


def principal_components(x: Tensor, components: int) -> Transform:
    """Learn the leading principal axes of ``x`` ``(n, dim)``; at most ``min(n - 1, dim)`` of them."""
    mean = x.mean(0)
    centred = x - mean
    wide = centred.shape[0] < centred.shape[1]
    gram = centred @ centred.T if wide else centred.T @ centred
    _, vectors = torch.linalg.eigh(gram)
    top = min(components, len(x) - 1, x.shape[1])
    axes = centred.T @ vectors[:, -top:] if wide else vectors[:, -top:]
    axes = torch.nn.functional.normalize(axes, dim=0).flip(1)
    return lambda rows: (rows - mean) @ axes


def folds_of(group: np.ndarray, folds: int) -> np.ndarray:
    """Fold of each sample by a hash of its patient, ``(n,)`` in [0, folds).

    A patient's fold depends on nothing but the patient: not on the order or number of samples, nor on a seed.
    """
    patients, patient = np.unique(group, return_inverse=True)
    digests = (hashlib.sha256(str(int(number)).encode()).digest() for number in patients)
    fold = np.array([int.from_bytes(digest[:8], "big") % folds for digest in digests])
    return np.asarray(fold[patient])


@dataclass(frozen=True)
class OutOfFold:
    """Scores of samples by models that have not seen their patients.

    Attributes:
        scores: ``(n, concept)`` float64, to rank samples by: without the bias.
        logits: ``(n, concept)`` float64, to compare concepts by: with it.
        gradient: Largest gradient entry left over the folds: how well the fits converged.
    """

    scores: np.ndarray
    logits: np.ndarray
    gradient: float


def out_of_fold(
    features: Tensor,
    labels: Tensor,
    fold: np.ndarray,
    penalty: float,
    components: int | None = None,
    choose: Choice | None = None,
) -> OutOfFold:
    """Score every sample by a logistic regression fitted on the other folds.

    Everything learnt from data (principal axes, mean, deviation, weights) is learnt from the fitting folds
    alone. Samples are ranked by ``x @ weight``, **without the bias**: a fold rich in positives leaves the
    others poor in them, so their bias is low, and pooling scores over folds would push AUROC below its true
    value (for chance features, below one half). Which class a sample has is another question: there the
    biases hold how frequent the classes are.

    Args:
        features: ``(n, dim)``.
        labels: ``(n, concept)`` of 1, 0 and NaN.
        fold: Fold of each sample, ``(n,)``.
        penalty: See `fit_logistic`.
        components: Reduce to so many principal components first; None: do not.
        choose: Which of the samples outside a fold are fitted on; None for all. All are scored. A concept of
            which a fit sees one answer only gets equal scores.

    Raises:
        ValueError: If all samples are in one fold: then nothing is left to fit on.
    """
    present = np.unique(fold)
    if len(present) < 2:
        raise ValueError(
            f"all {len(fold)} samples fall into one fold: a probe needs several patients, or more folds than "
            "one"
        )
    x, y = features.double(), labels.double()
    scores, gradient = torch.zeros(y.shape, dtype=torch.float64), 0.0
    logits = scores.clone()
    for k in present:
        held_out = torch.from_numpy(fold == k)
        fitted = torch.from_numpy(fold != k if choose is None else choose(fold != k))
        fitting, rows = x[fitted], x[held_out]
        if components is not None:
            reduce = principal_components(fitting, components)
            fitting, rows = reduce(fitting), reduce(rows)
        standardise = standardiser(fitting)
        fit = fit_logistic(standardise(fitting), y[fitted], penalty)
        scores[held_out] = standardise(rows) @ fit.weight
        logits[held_out] = scores[held_out] + fit.bias
        gradient = max(gradient, fit.gradient)
    return OutOfFold(scores.numpy(), logits.numpy(), gradient)
