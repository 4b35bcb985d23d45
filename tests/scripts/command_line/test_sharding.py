"""Strategies that split the weights are refused before anything is built; those that keep them whole pass."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from main import main
from scripts.command_line.sharding import check_strategy

LIGHTNING = "lightning.pytorch.strategies."
SHARDING = ["fsdp", "fsdp_cpu_offload", "deepspeed", "deepspeed_stage_3", LIGHTNING + "FSDPStrategy"]
SHARDING += [LIGHTNING + "DeepSpeedStrategy", LIGHTNING + "ModelParallelStrategy"]
WHOLE = ["auto", "ddp", "ddp_find_unused_parameters_true", LIGHTNING + "DDPStrategy", None]


@pytest.mark.parametrize("name", SHARDING)
def test_a_strategy_that_splits_weights_is_refused_in_every_form(name: str) -> None:
    for form in (name, {"class_path": name}, SimpleNamespace(class_path=name)):
        with pytest.raises(ValueError, match=rf"trainer\.strategy={name}: .*Give ddp\..*encoded_at_once"):
            check_strategy(form)


@pytest.mark.parametrize("name", WHOLE)
def test_one_that_keeps_them_whole_passes(name: str | None) -> None:
    check_strategy(name)
    check_strategy({"class_path": name or ""})


def test_ours_is_reached_before_lightnings_and_anything_is_built() -> None:
    words = ["fit", "-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml"]
    with pytest.raises(ValueError, match=r"trainer\.strategy=lightning\.pytorch\.strategies\.FSDPStrategy"):
        main([*words, f"--trainer.strategy={LIGHTNING}FSDPStrategy"])
