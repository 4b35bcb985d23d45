"""Null and empty values are refused where something has to stand, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from jsonargparse import Namespace

from scripts.command_line.blanks import check_blanks

IMAGE = {"class_path": "lightning_modules.ViTEncoder"}
SAMPLER = {"class_path": "synthesis.BalancedCaseSampler"}


def config(**values: Any) -> Namespace:
    model = Namespace(class_path="lightning_modules.DualEncoder", init_args=Namespace(**values))
    return Namespace(trainer=Namespace(max_epochs=2, logger=None), model=model, data=None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": None}, r"model\.init_args\.seed=null: is not a whole number; give one"),
        (
            {"image_encoder": Namespace(**IMAGE, init_args=Namespace(pooling=None))},
            r"image_encoder\.init_args\.pooling=null: is not one of mean, cls, spatial",
        ),
        (
            {"objective": Namespace(**SAMPLER, init_args=Namespace(normal_rate=None))},  # handed on to a base
            r"normal_rate=null: is not a finite number",
        ),
        ({"weights": ""}, r"weights='': is empty; give a path"),
    ],
)
def test_what_has_to_stand_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_blanks(config(**values))


def test_null_stays_where_it_is_meant() -> None:
    check_blanks(config(weights=None, encoded_at_once=None, image_encoder=Namespace(**IMAGE, init_args=None)))
