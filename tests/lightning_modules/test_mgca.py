from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_modules import MGCA
from lightning_modules.objectives import Gather
from lightning_modules.objectives.mgca import sinkhorn

Make = Callable[..., Any]


def slow_tokens(tokens: Tensor, others: Tensor, temperature: float) -> Tensor:
    """One pair, no padding: each token finds its own in the other side and has to recognise it."""
    found = []
    for token in tokens:
        weights = torch.stack([token @ other / temperature for other in others]).softmax(0)
        found.append(F.normalize(sum(w * other for w, other in zip(weights, others, strict=True)), dim=0))
    similar = torch.stack([torch.stack([t @ f for f in found]) for t in tokens]) / temperature
    own = torch.arange(len(tokens))
    return (F.cross_entropy(similar, own) + F.cross_entropy(similar.T, own)) / 2


def slow_sinkhorn(scores: Tensor, iterations: int) -> Tensor:
    """As in SwAV's appendix: clusters by samples, to a matrix whose rows and columns are uniform."""
    q = scores.exp().T
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(1, keepdim=True) / q.shape[0]
        q = q / q.sum(0, keepdim=True) / q.shape[1]
    return (q / q.sum(0, keepdim=True)).T


def test_mgca_equals_the_slow_sum(features: Make) -> None:
    torch.manual_seed(0)
    image, text = features()
    objective = MGCA(6, 5, 8, 9, 0.2, 0.3, 0.4, 11, 0.5, 3, 0, 1.0, 0.7, 0.5)
    found = objective(image, text, {}, Gather())
    v, u, own = image.projected, text.projected, torch.arange(5)
    similar = v @ u.T / 0.2
    instance = F.cross_entropy(similar, own) + F.cross_entropy(similar.T, own)
    token = torch.zeros(())
    for i in range(5):
        length = int(text.local_mask[i].sum())
        words = F.normalize(objective.text_local(text.local[i, 1 : length - 1]), dim=1)
        patches = F.normalize(objective.image_local(image.local[i]), dim=1)
        token = token + (slow_tokens(words, patches, 0.3) + slow_tokens(patches, words, 0.3)) / 5
    prototype = torch.zeros(())
    for code, seen in ((v, u), (u, v)):
        targets = slow_sinkhorn(code @ objective.prototypes.T / 0.5, 3)
        prototype = prototype + F.cross_entropy(seen @ objective.prototypes.T / 0.4, targets.detach()) / 2
    for name, part in (("instance", instance), ("token", token), ("prototype", prototype)):
        torch.testing.assert_close(found[f"{name}_loss"], part, rtol=1e-4, atol=1e-5)
    expected = instance + 0.7 * token + 0.5 * prototype
    torch.testing.assert_close(found["loss"], expected, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(x, [*objective.parameters()]) for x in (found["loss"], expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_clusters_are_of_one_size() -> None:
    scores = 20 * torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    clusters = sinkhorn(scores, 100)
    torch.testing.assert_close(clusters.sum(1), torch.ones(60))
    torch.testing.assert_close(clusters.sum(0), torch.full((6,), 10.0), rtol=0.02, atol=0.0)


def test_prototypes_keep_their_length_and_may_be_frozen(features: Make) -> None:
    objective = MGCA(6, 5, 8, prototypes=7, frozen_steps=1)
    objective(*features(), {}, Gather())["loss"].backward()
    assert objective.prototypes.grad is not None and not objective.prototypes.grad.any()
    with torch.no_grad():
        objective.prototypes.mul_(3)
    objective.after_step()
    torch.testing.assert_close(objective.prototypes.norm(dim=1), torch.ones(7))
    objective(*features(), {}, Gather())["loss"].backward()
    assert objective.prototypes.grad.any()


def test_what_cannot_work_is_refused(features: Make) -> None:
    _, text = features()
    with pytest.raises(ValueError, match="not two texts: set text_agreement to 0"):
        MGCA(6, 5, 8).agreement(text, text, {}, Gather())
    for wrong in ({"temperature": 0.0}, {"prototypes": 1}, {"token_weight": -1.0}, {"iterations": 0}):
        with pytest.raises(ValueError, match="MGCA: temperatures"):
            MGCA(6, 5, 8, **wrong)
