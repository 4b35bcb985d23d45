"""The pairwise sigmoid loss of SigLIP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.objective import Objective
from lightning_modules.objectives.row_blocks import mean_over_rows

if TYPE_CHECKING:
    from lightning_modules.encoders import EncoderOutput


class SigLIP(Objective):
    """Asks of every image and every report whether they belong together, each time by itself.

    With unit vectors v (images) and u (reports) of all N pairs, a scale t and a bias b, both learned::

        loss = −1/N Σ_i Σ_j log σ(z_ij (t v_i·u_j + b)),   z_ij = 1 for i = j, else −1

    Equation 1 of Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training" (arXiv 2303.15343), with
    its start: t = 10, b = −10. Each term stands alone (no softmax), so that there is one loss for both
    directions. Over several ranks the N pairs are those of all of them.

    Args:
        scale: Initial t, > 0; it is learned as its logarithm, as in the paper.
        bias: Initial b. Near −scale it offsets that all but one of N answers are no.
        max_scale: Upper bound of t, applied after every optimiser step, as in `InfoNCE`; the paper has none.

    Raises:
        ValueError: If an argument is out of range.
    """

    needs_tokens = False

    def __init__(self, scale: float = 10.0, bias: float = -10.0, max_scale: float = 100.0) -> None:
        super().__init__()
        if not 0 < scale <= max_scale < math.inf:
            raise ValueError(
                f"SigLIP: scale is {scale}: give a number above 0, at most max_scale = {max_scale}"
            )
        self.max_log_scale = math.log(max_scale)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(
        self, images: EncoderOutput, texts: EncoderOutput, batch: Mapping[str, Any], gather: Gather
    ) -> dict[str, Tensor]:
        """Compute the loss (see `Objective.forward`), the scale and the bias."""
        image, text = images.projected.float(), texts.projected.float()
        scale = self.log_scale.float().exp()
        own = gather.own(image)

        def losses(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
            # −log σ(−x) = softplus(x) for every pair, and for the own one −log σ(x) = softplus(x) − x.
            found = F.softplus(logits).sum(1) - logits.gather(1, own[rows, None])[:, 0]
            return found, found.detach()

        parameters = [scale, self.bias.float()]
        loss, _ = mean_over_rows(_logits, image, gather(text), parameters, losses)
        return {"loss": loss, "scale": scale, "bias": self.bias}

    @torch.no_grad()
    def after_step(self) -> None:
        """Clamp the scale."""
        self.log_scale.clamp_(max=self.max_log_scale)


def _logits(queries: Tensor, keys: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return scale * queries @ keys.T + bias
