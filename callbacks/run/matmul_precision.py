"""How exactly a GPU multiplies float32 matrices."""

from __future__ import annotations

from typing import Literal

import lightning as L
import torch


class MatmulPrecision(L.Callback):
    """Lets float32 matrix products be rounded on the way while a trainer runs.

    Under mixed precision most products are in bfloat16 anyhow; those of the loss are not. On a CPU nothing
    changes, unless it rounds to bfloat16 itself.

    Args:
        precision: Of `torch.set_float32_matmul_precision`: "highest" (torch's own), "high" (TF32, ten bits of
            mantissa) or "medium" (bfloat16, seven).

    Raises:
        ValueError: If it is none of these.
    """

    def __init__(self, precision: Literal["highest", "high", "medium"] = "high") -> None:
        if precision not in ("highest", "high", "medium"):
            raise ValueError(f"MatmulPrecision: precision={precision!r}: give highest, high or medium")
        self.precision = precision
        self._before = "highest"

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Set it."""
        self._before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.precision)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Set it back, for whatever runs in this process next."""
        torch.set_float32_matmul_precision(self._before)
