"""How much lung is seen varies more, and knows nothing of the findings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from synthesis.cases import Case, Finding
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.inspiration import Inspiration
from synthesis.seeding import pair_seed

OFF = Simulator(image_size=64)
SEEDS = [pair_seed(2, "inspiration", k) for k in range(60)]
DISEASED = Case((Finding("pleural_effusion", "left", "base", "moderate"),))


def breathing(inspiration: Inspiration) -> Simulator:
    made = Simulator(image_size=64, inspiration=inspiration)
    made._builder = OFF.builder
    return made


def lungs(simulator: Simulator, case: Case = DISEASED) -> np.ndarray:
    """How high the lungs of each film are, in mm of the detector."""
    heights = []
    for drawing in simulator.draw([case] * len(SEEDS), SEEDS):
        rows = (drawing.anatomy.lungs > 15).any(dim=1).nonzero()
        heights.append(float(rows[-1] - rows[0]) * drawing.anatomy.mm)
    return np.array(heights)


def test_low_and_large_lungs_are_frequent_in_health_and_in_disease() -> None:
    usual, varied = lungs(OFF), lungs(breathing(Inspiration(probability=1.0)))
    assert varied.std() > 1.3 * usual.std()
    low, high = np.percentile(usual, [5, 95])
    assert (varied < low).mean() > 0.12 and (varied > high).mean() > 0.08
    assert np.array_equal(lungs(breathing(Inspiration(1.0)), Case(())), varied)


def test_the_rest_of_the_patient_and_the_other_films_stay() -> None:
    half = breathing(Inspiration(probability=0.5))
    images, varied = (s.make([Case(())] * 20, None, SEEDS[:20]).images for s in (OFF, half))
    same = [bool(torch.equal(a, b)) for a, b in zip(images, varied, strict=True)]
    assert 4 <= sum(same) <= 16
    assert "inspiration" not in OFF.describe()
    assert half.describe()["inspiration"] == {"probability": 0.5, "shallow": 3.0, "deep": 2.5}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Inspiration(probability=2), "Inspiration: probability=2: give from 0 to 1"),
        (lambda: Inspiration(deep=-1), "Inspiration: deep=-1: give 0 or more"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(make: Callable[[], Inspiration], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
