"""Hard negatives that differ in a single finding: the same patient without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.batch import TEXT_LABELS, TWINS
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.objective import Objective

if TYPE_CHECKING:
    from lightning_modules.encoders import EncodedTwins, EncoderOutput


class CounterfactualTwins(Objective):
    """Any objective, and beside it: each image prefers its own report over its twin's, and the reverse.

    A pair (v, u) and its twin (v', u') show the same patient, exposure and noise; a single finding differs.
    Nothing but that finding tells them apart, so no shortcut does. With unit vectors and a temperature τ::

        ℓ(d) = log(1 + e^(−d/τ))
        twin = ¼ mean over pairs with a twin of ℓ(v·u − v·u') + ℓ(v'·u' − v'·u)
                                              + ℓ(u·v − u·v') + ℓ(u'·v' − u'·v)
        loss = objective + weight · twin

    Each ℓ is a softmax over two candidates. The idea of hard negatives made by a minimal change is that of
    Yuksekgonul et al. 2022, "When and Why Vision-Language Models Behave like Bags-of-Words" (NegCLIP, arXiv
    2210.01936), who swap words; here the image is changed as well, and the change is exact. Ours: there is no
    published setting.

    The twins are compared in the first text view; the objective itself does not see them. The towers encode
    twice as many images and reports a step. Over several ranks the mean is that over all of them.

    Args:
        objective: The loss of the pairs.
        weight: Of the twin term, ≥ 0.
        temperature: τ, > 0.

    Raises:
        ValueError: If an argument is out of range, or the objective reads texts of other patients.
    """

    def __init__(self, objective: Objective, weight: float = 1.0, temperature: float = 0.1) -> None:
        super().__init__()
        if weight < 0 or temperature <= 0:
            raise ValueError(
                f"CounterfactualTwins: weight is {weight}, temperature {temperature}: give ≥ 0 and > 0"
            )
        if TEXT_LABELS in objective.needs:
            raise ValueError(
                "CounterfactualTwins compares each image with its own report, but "
                f"{type(objective).__name__} reads those of other patients: set unpaired to false"
            )
        self.objective = objective
        self.needs_negatives, self.needs_tokens = objective.needs_negatives, objective.needs_tokens
        self.needs = objective.needs | {TWINS}
        self.weight = weight
        self.temperature = temperature

    def forward(
        self, images: EncoderOutput, texts: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> dict[str, Tensor]:
        """Compute the loss (see `Objective.forward`) and, beside the objective's own scalars, more.

        ``twin_loss``, ``twins_right`` (share of the four choices that fall on the own partner; chance is 0.5)
        and ``twins`` (share of the pairs that have a twin).

        Raises:
            KeyError: If a training batch has no twins.
        """
        return self.over_views([images], [texts], [batch], gather)

    def over_views(
        self,
        images: Sequence[EncoderOutput],
        texts: Sequence[EncoderOutput],
        batches: Sequence[Mapping[str, Any]],
        gather: Gather,
    ) -> dict[str, Tensor]:
        """See `Objective.over_views` and `forward`."""
        found = self.objective.over_views(images, texts, batches, gather)
        if TWINS not in batches[0]:
            if self.training:
                raise KeyError(
                    f"CounterfactualTwins needs {TWINS!r} in the batch, which has {sorted(batches[0])}: "
                    "train on a data module that makes twins (SyntheticPairs with the simulator)"
                )
            return found
        twin = self._twin_term(images[0], texts[0], batches[0][TWINS], gather)
        return {**found, **twin, "loss": found["loss"] + self.weight * twin["twin_loss"]}

    def _twin_term(
        self, images: EncoderOutput, texts: EncoderOutput, twins: EncodedTwins, gather: Gather
    ) -> dict[str, Tensor]:
        assert twins.texts is not None
        v, u = images.projected.float(), texts.projected.float()
        w, s = twins.images.projected.float(), twins.texts.projected.float()
        own, twin = (v * u).sum(1), (w * s).sum(1)
        crossed, back = (v * s).sum(1), (w * u).sum(1)
        margins = torch.stack([own - crossed, twin - back, own - back, twin - crossed])
        differs = twins.differs.float()
        # Ranks have different numbers of twins: the mean is over those of all ranks, and DDP averages ranks.
        share = gather.world_size * differs / gather(differs).sum().clamp_min(1)
        loss = (F.softplus(-margins / self.temperature).mean(0) * share).sum()
        right = ((margins.detach() > 0).float().mean(0) * share).sum()
        return {"twin_loss": loss, "twins_right": right, "twins": differs.mean()}

    def agreement(
        self, first: EncoderOutput, second: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> Tensor:
        """See `Objective.agreement`: that of the objective alone."""
        return self.objective.agreement(first, second, batch, gather)

    def after_step(self) -> None:
        """See `Objective.after_step`."""
        self.objective.after_step()
