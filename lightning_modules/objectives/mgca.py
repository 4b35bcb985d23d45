"""MGCA: alignment of whole pairs, of their tokens, and of their clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.objective import Objective
from lightning_modules.objectives.words import words_of
from synthesis.limits import at_least

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


class MGCA(Objective):
    """InfoNCE on pairs, contrast of tokens within a pair, and swapped prediction of prototypes.

    With unit vectors v, u of N pairs, unit tokens, attention of one side's tokens t over the other's r, and
    K unit prototypes p::

        instance  = CE_rows(v·u / τ) + CE_columns(v·u / τ)
        c_t       = unit(Σ_r softmax_r(t·r / τ_token) r)
        token     = Σ_sides mean over pairs and tokens of ½ [CE_rows + CE_columns](t·c_t' / τ_token)
        prototype = −½ mean_i Σ_k [ q(u_i)_k log softmax_k(v_i·p / τ_p)
                                    + q(v_i)_k log softmax_k(u_i·p / τ_p) ]
        loss      = instance_weight · instance + token_weight · token + prototype_weight · prototype

    where q are the soft clusters that Sinkhorn's iterations make of exp(·p / ε), so that all prototypes are
    used equally often (SwAV, arXiv 2006.09882). Wang et al. 2022, "Multi-Granularity Cross-modal Alignment
    for Generalized Medical Visual Representation Learning" (arXiv 2210.06044), with the
    paper's settings: τ 0.07, τ_token 0.1, τ_p 0.2, ε 0.05, 3 iterations, 500 prototypes, weights 1 (the class
    of the released code has 1, 0.7 and 0.5). There tokens are weighted by the last layer's attention from
    [CLS]; here all count alike, for our towers need not pool by [CLS]. Tokens are those of one pair, so only
    pairs and clusters are gathered: over several ranks they are those of all of them.

    Args:
        image_width: Dimension of the image encoder's tokens.
        text_width: Dimension of the text encoder's tokens.
        projection_dim: Dimension of the shared space, in which the prototypes lie.
        dim: Dimension in which tokens meet.
        temperature: τ, > 0.
        token_temperature: τ_token, > 0.
        prototype_temperature: τ_p, > 0.
        prototypes: K, ≥ 2.
        epsilon: ε, > 0: the smaller, the harder the clusters.
        iterations: Of Sinkhorn's algorithm, ≥ 1.
        frozen_steps: Steps for which the prototypes stay as drawn; the paper freezes them for an epoch.
        instance_weight: Weight of the instance term, ≥ 0.
        token_weight: Weight of the token term, ≥ 0.
        prototype_weight: Weight of the prototype term, ≥ 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    steps: Tensor

    def __init__(
        self,
        image_width: int,
        text_width: int,
        projection_dim: int,
        dim: int = 128,
        temperature: float = 0.07,
        token_temperature: float = 0.1,
        prototype_temperature: float = 0.2,
        prototypes: int = 500,
        epsilon: float = 0.05,
        iterations: int = 3,
        frozen_steps: int = 0,
        instance_weight: float = 1.0,
        token_weight: float = 1.0,
        prototype_weight: float = 1.0,
    ) -> None:
        at_least(
            self, 1, image_width=image_width, text_width=text_width, projection_dim=projection_dim, dim=dim
        )
        super().__init__()
        positive = (
            temperature,
            token_temperature,
            prototype_temperature,
            epsilon,
            iterations,
            prototypes - 1,
        )
        weights = (instance_weight, token_weight, prototype_weight)
        if min(positive) <= 0 or min(*weights, frozen_steps) < 0:
            raise ValueError(
                f"MGCA: temperatures {positive[:3]}, epsilon {epsilon}, iterations {iterations} must be "
                f"above 0, prototypes {prototypes} above 1, weights {weights} and frozen_steps "
                f"{frozen_steps} at least 0"
            )
        self.image_local = nn.Linear(image_width, dim, bias=False)
        self.text_local = nn.Linear(text_width, dim, bias=False)
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, projection_dim), dim=1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.temperature, self.token_temperature = temperature, token_temperature
        self.prototype_temperature, self.epsilon = prototype_temperature, epsilon
        self.iterations, self.frozen_steps, self.weights = iterations, frozen_steps, weights

    def forward(
        self, images: EncoderOutput, texts: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> dict[str, Tensor]:
        """Compute the loss (see `Objective.forward`) and its three terms."""
        image, text = images.projected.float(), texts.projected.float()
        own, all_images, all_texts = gather.own(image), gather(image), gather(text)
        to_texts, to_images = image @ all_texts.T, text @ all_images.T
        instance = sum(F.cross_entropy(x / self.temperature, own) for x in (to_texts, to_images))
        words, mask = words_of(texts)
        words = F.normalize(self.text_local(words), dim=-1)
        patches = F.normalize(self.image_local(images.local.float()), dim=-1)
        token = self._tokens(words, mask, patches, images.local_mask)
        token = token + self._tokens(patches, images.local_mask, words, mask)
        parts = (instance, token, self._prototypes(all_images, all_texts, own))
        loss = sum(weight * part for weight, part in zip(self.weights, parts, strict=True))
        names = ("instance_loss", "token_loss", "prototype_loss")
        return {"loss": torch.as_tensor(loss), **dict(zip(names, map(torch.as_tensor, parts), strict=True))}

    def _tokens(self, tokens: Tensor, mask: Tensor, others: Tensor, other_mask: Tensor) -> Tensor:
        """Tell what a token found in the other modality from what the pair's other tokens found."""
        scores = tokens @ others.transpose(1, 2) / self.token_temperature
        attention = scores.masked_fill(~other_mask[:, None], -torch.inf).softmax(-1)
        found = F.normalize(attention @ others, dim=-1)
        similar = tokens @ found.transpose(1, 2) / self.token_temperature
        share = mask.float() / mask.sum(1, keepdim=True)
        total = similar.new_zeros(())
        for rows in (similar, similar.transpose(1, 2)):
            right = rows.masked_fill(~mask[:, None], -torch.inf).log_softmax(-1).diagonal(dim1=1, dim2=2)
            total = total - (right.masked_fill(~mask, 0.0) * share).sum(1).mean()
        return total / 2

    def _prototypes(self, images: Tensor, texts: Tensor, own: Tensor) -> Tensor:
        """Predict the cluster of each side from the other; clusters are made of the pairs of all ranks."""
        frozen = self.training and int(self.steps) < self.frozen_steps
        # Frozen ones still get a gradient, of 0: DDP waits for one.
        prototypes = self.prototypes.detach() + 0 * self.prototypes if frozen else self.prototypes
        loss = images.new_zeros(())
        for code, seen in ((texts, images), (images, texts)):
            targets = sinkhorn(code.detach() @ self.prototypes.detach().T / self.epsilon, self.iterations)[
                own
            ]
            predicted = (seen[own] @ prototypes.T / self.prototype_temperature).log_softmax(-1)
            loss = loss - (targets * predicted).sum(1).mean() / 2
        return loss

    def agreement(
        self, first: EncoderOutput, second: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> Tensor:
        """Refuse: two texts have no patches.

        Raises:
            ValueError: Always.
        """
        raise ValueError("MGCA compares words with image patches, not two texts: set text_agreement to 0")

    @torch.no_grad()
    def after_step(self) -> None:
        """Bring the prototypes back to length 1."""
        self.steps += 1
        self.prototypes.copy_(F.normalize(self.prototypes, dim=1))


@torch.no_grad()
def sinkhorn(scores: Tensor, iterations: int) -> Tensor:
    """Make soft clusters that are all of the same size.

    Args:
        scores: Log-affinity of samples to clusters, ``(samples, clusters)``.
        iterations: How often clusters and samples are normalised in turn.

    Returns:
        ``(samples, clusters)``; rows sum to 1, columns nearly to samples / clusters.
    """
    logs = scores.float()
    for _ in range(iterations):
        logs = logs - logs.logsumexp(0, keepdim=True)
        logs = logs - logs.logsumexp(1, keepdim=True)
    return logs.exp()
