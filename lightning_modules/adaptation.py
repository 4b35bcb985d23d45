"""Which weights of a tower are trained: all, the upper layers, or low-rank additions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from synthesis.limits import above, below


@dataclass(frozen=True)
class Adaptation:
    """What is trained of a tower; its projection into the shared space always is.

    LoRA (Hu et al. 2021, arXiv 2106.09685) leaves every weight as it is and adds to some matrices W the
    product of two thin ones, (alpha / rank) · B A, the only weights trained. It starts at W, for B starts at
    0.

    Attributes:
        frozen_layers: So many blocks from the input keep their weights, and with them the embeddings; ``all``
            keeps the whole tower, 0 trains everything.
        lora_rank: Rank of the additions; 0 for none. Needs the optional package peft.
        lora_alpha: Their scale is alpha / rank.
        lora_dropout: Dropout before A, in [0, 1).
        lora_targets: Names of the linear maps that get one; by default queries and values, as in the paper,
            under the names that ViT, DINOv2 and BERT have for them.
    """

    frozen_layers: int | Literal["all"] = 0
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_dropout: float = 0.0
    lora_targets: Sequence[str] = ("q_proj", "v_proj", "query", "value")

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        frozen = self.frozen_layers == "all" or self.frozen_layers > 0
        if self.lora_rank < 0 or (self.frozen_layers != "all" and self.frozen_layers < 0):
            raise ValueError(f"{self}: frozen_layers and lora_rank must be at least 0")
        above(self, 0, lora_alpha=self.lora_alpha)
        below(self, 1, lora_dropout=self.lora_dropout)
        if frozen and self.lora_rank:
            raise ValueError(f"{self}: LoRA leaves all weights as they are; set frozen_layers to 0")

    def apply(self, tower: nn.Module, pretrained: str | None) -> None:
        """Freeze weights of a tower, or add to them, in place.

        Args:
            tower: A `transformers` model.
            pretrained: Where its weights come from; None if they are random.

        Raises:
            ValueError: If the tower has fewer layers, or random weights are to be kept by LoRA.
            ModuleNotFoundError: If LoRA is asked for and peft is not installed.
        """
        if self.lora_rank:
            self._add_lora(tower, pretrained)
        elif self.frozen_layers == "all":
            tower.requires_grad_(False)
        elif self.frozen_layers:
            blocks = _blocks(tower)
            if self.frozen_layers > len(blocks):
                raise ValueError(
                    f"frozen_layers is {self.frozen_layers}, {type(tower).__name__} has {len(blocks)} "
                    f"layers: give at most {len(blocks)}, or all"
                )
            for module in (tower.get_submodule("embeddings"), *blocks[: self.frozen_layers]):
                module.requires_grad_(False)

    def _add_lora(self, tower: nn.Module, pretrained: str | None) -> None:
        if pretrained is None:
            raise ValueError(
                f"lora_rank is {self.lora_rank}, but the tower starts from random weights, which LoRA would "
                "keep: give a pretrained directory, or set lora_rank to 0"
            )
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("LoRA needs peft: pip install 'synvlp[lora]'") from error
        config = LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=list(self.lora_targets),
        )
        inject_adapter_in_model(config, tower)
        for name, parameter in tower.named_parameters():
            parameter.requires_grad_("lora_" in name)


def merge_additions(tower: nn.Module) -> None:
    """Add low-rank additions to the matrices that they belong to, in place; a tower without any stays.

    Args:
        tower: A `transformers` model; its modules then have the names and sizes of one without LoRA.
    """
    for name, module in list(tower.named_modules()):
        if hasattr(module, "lora_A"):
            module.merge()
            tower.set_submodule(name, module.get_base_layer())


def _blocks(tower: nn.Module) -> nn.ModuleList:
    """Return the blocks of a transformer, from the input to the output."""
    for name, module in tower.named_modules():
        if isinstance(module, nn.ModuleList) and name.rpartition(".")[2] in ("layer", "layers"):
            return module
    raise ValueError(f"{type(tower).__name__} has no list of layers to freeze: set frozen_layers to all or 0")
