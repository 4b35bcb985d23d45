"""Bodies and framing: what the switches vary, what they leave, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from synthesis.cases import BalancedCaseSampler, Case
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.detector import ATTENUATION
from synthesis.images.simulator.framing import Framing
from synthesis.images.simulator.habitus import Habitus
from synthesis.images.simulator.overlay import Overlay, draw_overlay
from synthesis.seeding import generator, pair_seed

SIZE = 64
BOTH = {"habitus": Habitus(), "framing": Framing()}
PLAIN, VARIED = Simulator(image_size=SIZE), Simulator(image_size=SIZE, habitus=Habitus(), framing=Framing())
SEEDS = [pair_seed(5, "framing", k) for k in range(12)]
HEALTHY = [Case((), (), "PA" if k % 2 else "AP") for k in range(12)]


@pytest.mark.parametrize("name", BOTH)
def test_each_changes_healthy_films_and_is_named_only_where_it_is_on(name: str) -> None:
    on = Simulator(image_size=SIZE, **{name: BOTH[name]})  # type: ignore[arg-type]
    plain, changed = (s.make(HEALTHY[:4], None, SEEDS[:4]).images for s in (PLAIN, on))
    assert not any(torch.equal(a, b) for a, b in zip(plain, changed, strict=True))
    assert name not in PLAIN.describe() and on.describe()[name] == vars(BOTH[name])


def test_another_rendering_is_framed_anew_and_another_visit_is_not() -> None:
    first = list(VARIED.draw(HEALTHY[:4], SEEDS[:4]))
    visit = list(VARIED.draw(HEALTHY[:4], SEEDS[:4], [1, 2, 3, 4]))
    anew = list(VARIED.draw(HEALTHY[:4], SEEDS[:4], [1, 2, 3, 4], placed_anew=True))
    for one, same, other in zip(first, visit, anew, strict=True):
        assert torch.equal(one.anatomy.base, same.anatomy.base)
        assert not torch.equal(one.healthy, same.healthy)  # the beam, and wires
        before, after = one.anatomy.patient, other.anatomy.patient
        assert before.arm_angle != after.arm_angle
        assert before.centre != after.centre and before.diaphragm == after.diaphragm
        assert np.array_equal(before.habitus, after.habitus)


def test_shoulders_are_square_axillae_full_and_the_waist_narrow() -> None:
    """There is more body at the axillae than in the plain one, and less beside the waist."""

    def path(simulator: Simulator, column: float, row: float) -> float:
        drawings = list(simulator.draw([Case((), (), "PA")] * 12, SEEDS))
        near = [(d.anatomy.x.abs() - column).abs() + (d.anatomy.y - row).abs() for d in drawings]
        values = [d.anatomy.base.flatten()[n.argmin()] for d, n in zip(drawings, near, strict=True)]
        return float(torch.stack(values).mean())

    body = Simulator(image_size=SIZE, habitus=Habitus())
    assert path(body, 165, -60) > 1.1 * path(PLAIN, 165, -60)
    assert path(body, 185, 130) < 0.8 * path(PLAIN, 185, 130)


def test_the_heart_border_is_drawn_in_and_the_rest_of_the_frame_stays() -> None:
    patient = next(VARIED.draw(HEALTHY[:1], SEEDS[:1])).anatomy.patient
    x, y = torch.meshgrid(torch.linspace(-200, 200, 41), torch.linspace(-200, 200, 41), indexing="xy")
    moved = Habitus().drawn_in([patient], x[None], y[None])[0] - x
    assert moved[20, 27].sign() == np.sign(patient.habitus[5]) and moved[:, :12].abs().max() < 0.1
    assert (x + moved).diff(dim=1).min() > 0  # nothing is turned over


def test_borders_lie_outside_and_below_the_markers() -> None:
    bordered = 0
    framing = Framing(borders=1.0)
    for seed in range(20):
        marked = draw_overlay(generator(seed, "overlay"), SIZE, False)
        both = framing.bordered(marked, generator(seed, "borders"), False)
        assert ((both.value >= 0) & (both.value <= 1) & (both.alpha >= 0) & (both.alpha <= 1)).all()
        assert both.alpha[SIZE // 2, SIZE // 2] == marked.alpha[SIZE // 2, SIZE // 2]
        letters = marked.alpha == 1
        assert torch.equal(both.value[letters], marked.value[letters])
        bordered += bool((both.alpha > marked.alpha + 0.5).any())
    assert bordered > 12
    none = Overlay(torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE))
    assert Framing(borders=0).bordered(none, generator(0, "borders"), False) is none


def test_the_beam_is_uneven_in_the_healthy_picture_and_its_mean_stays() -> None:
    field = Framing(beam=0.2).uneven(SIZE, generator(1, "beam"), portable=False)
    assert field.abs().max() > 0.02 and abs(float(field.mean())) < 0.01
    still = Framing(off_centre=0, borders=0, beam=0.2)
    on, off = (
        next(Simulator(image_size=SIZE, framing=f).draw(HEALTHY[1:2], SEEDS[:1])).healthy
        for f in (still, Framing(off_centre=0, borders=0, beam=0))
    )
    drawn = still.uneven(SIZE, generator(SEEDS[0], "beam"), portable=False)
    assert torch.allclose(on - off, drawn / ATTENUATION, atol=1e-2)


def test_a_picture_depends_on_neither_batch_nor_order_and_twins_on_the_mask() -> None:
    sampler = BalancedCaseSampler()
    cases = [case for i in range(12) if (case := sampler.sample(3, "train", i)).findings][:6]
    made, twins = VARIED.twins(cases, SEEDS[:6], [0] * 6)
    alone = Simulator(image_size=SIZE, chunk=1, habitus=Habitus(), framing=Framing())
    assert torch.equal(made.images, alone.make(cases[::-1], None, SEEDS[:6][::-1]).images.flip(0))
    for image, twin, masks, case in zip(made.images, twins, made.masks, made.cases, strict=True):
        if case.findings:
            changed = (255 * image).round() != (255 * twin).round()
            assert changed.any() and not (changed[0] & ~masks[0]).any(), case


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Habitus(variety=-1), "Habitus: variety=-1: give 0 or more"),
        (lambda: Framing(borders=1.5), r"Framing: borders=1\.5: give from 0 to 1"),
        (lambda: Framing(beam=float("nan")), "Framing: beam=nan"),
        (lambda: Framing(off_centre=-0.1), r"Framing: off_centre=-0\.1: give 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
