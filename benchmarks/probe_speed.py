"""How fast the linear probe is fitted, beside scikit-learn's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from benchmarks.rows import Row, compared, in_turns, installed
from callbacks.statistics.logistic import fit_logistic, standardiser

PENALTY = 30.0  # LinearProbe's


def rows(quick: bool) -> Iterator[Row]:
    """Yield the fit of all concepts on one set of features, and how far AUROC on other samples differs."""
    samples, dim, concepts, turns = (300, 16, 3, 1) if quick else (3200, 192, 30, 5)
    x, labels = made(2 * samples, dim, concepts)
    fitted, unseen = x[:samples], x[samples:]
    wanted = labels[:samples]
    scores: dict[str, np.ndarray] = {}

    def ours() -> None:
        found = fit_logistic(fitted, wanted, PENALTY)
        scores["ours"] = (unseen @ found.weight + found.bias).numpy()

    works: dict[str, Callable[[], object]] = {"ours": ours}
    if installed("scikit-learn"):
        works["theirs"] = lambda: scores.update(theirs=by_scikit_learn(fitted, wanted, unseen))
    costs = in_turns(turns, works)
    note = f"{samples:,} samples of {dim} numbers, {concepts} concepts, to the optimum that each reports."
    if "theirs" in scores:
        unlike = [
            auroc(scores["ours"][:, k], labels[samples:, k])
            - auroc(scores["theirs"][:, k], labels[samples:, k])
            for k in range(concepts)
        ]
        note += f" AUROC on as many unseen samples differs by at most {max(map(abs, unlike)):.1e}."
    yield compared(
        "linear probe, fitted",
        "scikit-learn, lbfgs, a concept at a time",
        "scikit-learn",
        costs,
        1,
        "fits/s",
        "≥ 3 × at AUROC within .001",
        note=note,
    )


def made(samples: int, dim: int, concepts: int) -> tuple[Tensor, Tensor]:
    """Return standardised features whose axes vary by orders of magnitude, as an encoder's do, and labels.

    Args:
        samples: How many.
        dim: Numbers of each.
        concepts: Labels of each; a tenth of the samples has one.

    Returns:
        ``(samples, dim)`` and ``(samples, concepts)`` of 0 and 1, float64.
    """
    draw = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(dim, dim, generator=draw, dtype=torch.float64))[0]
    hidden = torch.randn(samples, dim, generator=draw, dtype=torch.float64)
    spread = torch.arange(1, dim + 1, dtype=torch.float64).rsqrt()
    features = (hidden * spread**2) @ axes
    told = hidden @ torch.randn(dim, concepts, generator=draw, dtype=torch.float64) / dim**0.5
    told += torch.randn(samples, concepts, generator=draw, dtype=torch.float64)
    labels = (told > told.quantile(0.9, dim=0)).double()
    return standardiser(features)(features), labels


def by_scikit_learn(x: Tensor, labels: Tensor, unseen: Tensor) -> np.ndarray:
    """Return the logits of unseen samples ``(n, concept)``, by the same objective."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for column in labels.numpy().T:
            model = LogisticRegression(C=1 / PENALTY, solver="lbfgs", max_iter=1000)
            found.append(model.fit(x.numpy(), column).decision_function(unseen.numpy()))
    return np.stack(found, axis=1)


def auroc(scores: np.ndarray, labels: Tensor) -> float:
    """Return the AUROC of one concept."""
    from torchmetrics.functional.classification import binary_auroc

    return float(binary_auroc(torch.from_numpy(scores), labels.long()))
