"""Our training step beside those of peers."""

from __future__ import annotations

import pytest
import torch

from benchmarks import step_speed
from benchmarks.rows import NOT_INSTALLED, installed


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    mask = (torch.arange(24) < torch.tensor([[9], [24]])).long()
    ids = torch.randint(5, 4096, mask.shape, generator=draw) * mask
    return {"image": torch.rand(2, 1, 128, 128, generator=draw), "input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize(("peer", "context"), step_speed.GOALS)
def test_a_row_has_both_figures_or_says_what_is_missing(
    peer: str, context: int, batch: dict[str, torch.Tensor]
) -> None:
    row = step_speed._beside(peer, context, batch, True, 2.0, 1)
    there = installed(step_speed.PEERS[peer][0])
    assert row.version == (there or NOT_INSTALLED) and row.ours.median > 0 and row.goal == "≥ 2 ×"
    assert (row.ratio is None) == (there is None) == (row.theirs is None)


def test_the_share_of_the_matrix_product_rate_is_a_share(batch: dict[str, torch.Tensor]) -> None:
    row = step_speed._share(batch, False, 1, 512)
    assert row.ratio is not None and 0 < row.ratio.median < 1.5


def test_towers_are_of_the_same_sizes(
    batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []

    def count(model: torch.nn.Module, *_: object) -> None:
        counts.append(sum(weight.numel() for weight in model.parameters()))

    monkeypatch.setattr(step_speed, "stepped", count)
    step_speed.ours(batch, False)
    step_speed.transformers(batch, False, 128)
    assert counts[1] == pytest.approx(counts[0], rel=0.03)  # transformers has poolers beside
