from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_modules import Adaptation, BertEncoder, ViTEncoder

TINY: dict[str, Any] = {"width": 32, "layers": 2, "heads": 2, "projection_dim": 16}
IMAGE: dict[str, Any] = {**TINY, "image_size": 32, "patch_size": 8}
TEXT: dict[str, Any] = {**TINY, "vocab_size": 16, "max_length": 16}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}


def trained(encoder: torch.nn.Module) -> set[str]:
    return {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}


def towers(adaptation: Adaptation | None, image: str | None = None, text: str | None = None) -> Any:
    return (
        ViTEncoder(**IMAGE, pretrained=image, adaptation=adaptation),
        BertEncoder(**TEXT, pretrained=text, adaptation=adaptation),
    )


@pytest.fixture
def directories(tmp_path: Path) -> tuple[str, str]:
    from transformers import BertConfig, BertModel, ViTConfig, ViTModel

    torch.manual_seed(0)
    vit = ViTModel(ViTConfig(image_size=32, patch_size=8, num_channels=1, **SIZES))
    bert = BertModel(BertConfig(vocab_size=16, max_position_embeddings=16, **SIZES))
    vit.save_pretrained(tmp_path / "vit")
    bert.save_pretrained(tmp_path / "bert")
    return str(tmp_path / "vit"), str(tmp_path / "bert")


def test_lower_layers_are_frozen_with_the_embeddings() -> None:
    for tower, whole in zip(towers(Adaptation(1)), towers(None), strict=True):
        kept = trained(whole) - trained(tower)
        assert kept and all("embeddings" in name or ".0." in name for name in kept)
        rest = trained(tower)
        assert any(".1." in name for name in rest) and not any("embeddings" in name for name in rest)
        assert "projection.weight" in rest


def test_a_whole_tower_is_frozen_but_for_its_projection(batch: dict[str, Tensor]) -> None:
    for tower in towers(Adaptation("all")):
        assert trained(tower) == {"projection.weight"}
        out = tower(batch)
        assert not out.pooled.requires_grad and out.projected.requires_grad


def test_lora_starts_at_the_checkpoint_and_trains_little(
    directories: tuple[str, str], batch: dict[str, Tensor]
) -> None:
    pytest.importorskip("peft")
    for plain, lora in zip(
        towers(None, *directories), towers(Adaptation(lora_rank=2), *directories), strict=True
    ):
        torch.testing.assert_close(lora(batch).pooled, plain(batch).pooled)
        names = trained(lora)
        assert "projection.weight" in names and len(names) == 1 + 2 * 2 * 2  # blocks, maps, A and B
        assert all("lora_" in name for name in names - {"projection.weight"})
        before = {name: value.clone() for name, value in lora.state_dict().items()}
        optimizer = torch.optim.SGD([p for p in lora.parameters() if p.requires_grad], lr=1.0)
        for _ in range(2):  # A moves from the second step on: B is 0 before
            optimizer.zero_grad()
            lora(batch).projected[:, 0].sum().backward()
            optimizer.step()
        moved = {name for name, value in lora.state_dict().items() if not torch.equal(value, before[name])}
        assert moved == names
        assert (lora(batch).pooled - plain(batch).pooled).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frozen_layers": -1}, "must be at least 0"),
        ({"frozen_layers": 1, "lora_rank": 2}, "set frozen_layers to 0"),
        ({"frozen_layers": 3}, "has 2 layers: give at most 2, or all"),
        ({"lora_rank": 2}, "starts from random weights, which LoRA would keep"),
    ],
)
def test_what_cannot_work_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        towers(Adaptation(**arguments))
