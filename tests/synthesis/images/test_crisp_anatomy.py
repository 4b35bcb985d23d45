"""Crisp anatomy: what each switch does, and what none may break."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from synthesis.cases import BalancedCaseSampler, Case
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.crisp_anatomy import CrispAnatomy, steepened
from synthesis.seeding import generator, pair_seed

SIZE = 64
ALL = CrispAnatomy(surfaces=3.0, bones=0.4, vessels=0.85, organs=True, postures=True)
PLAIN, CRISP = Simulator(image_size=SIZE), Simulator(image_size=SIZE, crisp=ALL)
SEEDS = [pair_seed(21, "crisp", k) for k in range(10)]
HEALTHY = [Case((), (), "PA" if k % 2 else "AP") for k in range(10)]


def test_its_layer_turns_all_on() -> None:
    content = yaml.safe_load(Path("configs/simulator/crisp.yaml").read_text())
    maker = content["data"]["init_args"]["synthesizer"]["init_args"]["image_maker"]
    assert CrispAnatomy(**maker["init_args"]["crisp"]) == ALL


def test_with_nothing_on_pictures_are_as_without() -> None:
    off = Simulator(image_size=SIZE, crisp=CrispAnatomy())
    plain = PLAIN.make(HEALTHY[:4], None, SEEDS[:4]).images
    assert torch.equal(off.make(HEALTHY[:4], None, SEEDS[:4]).images, plain)


@pytest.mark.parametrize(
    "one",
    [{"surfaces": 4.0}, {"bones": 1.0}, {"vessels": 0.85}, {"organs": True}, {"postures": True}],
    ids=lambda one: next(iter(one)),
)
def test_each_part_changes_healthy_chests_and_only_where_it_is_on(one: dict[str, float]) -> None:
    """And is named in the fingerprint only then."""
    on = Simulator(image_size=SIZE, crisp=CrispAnatomy(**one))  # type: ignore[arg-type]
    plain = PLAIN.make(HEALTHY[:4], None, SEEDS[:4]).images
    assert not torch.equal(on.make(HEALTHY[:4], None, SEEDS[:4]).images, plain)
    assert "crisp" not in PLAIN.describe() and on.describe()["crisp"].items() > one.items()


def test_a_steep_edge_has_no_new_extremes() -> None:
    ramp = torch.sigmoid((torch.arange(80.0) - 40) / 4).mul(150).expand(1, 60, 80).contiguous()
    steep = steepened(ramp, 3.0)
    assert steep.amin() >= ramp.amin() - 1e-3 and steep.amax() <= ramp.amax() + 1e-3
    assert (steep[0, 30].diff().max() > 1.6 * ramp[0, 30].diff().max()) and steep[0, 30, 40] > 60
    gentle = torch.linspace(0, 150, 80).expand(1, 60, 80).contiguous()  # the depth of a lung is no edge
    assert (steepened(gentle, 3.0) - gentle).abs().max() < 6


def test_domes_are_steeper() -> None:
    plain, crisp = (s.builder.body[:, 0].float() for s in (PLAIN, CRISP))
    rows = slice(plain.shape[1] // 2, None)
    fall = [(-maps[:, rows].diff(dim=1)).amax(dim=1)[:, 20:-20].mean() for maps in (plain, crisp)]
    assert fall[1] > 1.25 * fall[0]


def test_vessels_are_a_patients_own_and_stay_with_it() -> None:
    first = list(CRISP.draw(HEALTHY[:3], SEEDS[:3]))
    again = list(CRISP.draw(HEALTHY[:3], SEEDS[:3], [1, 2, 3]))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.anatomy.vessels, other.anatomy.vessels)
    both = [d.anatomy.vessels for d in CRISP.draw([HEALTHY[1]] * 2, SEEDS[:2])]
    assert float(torch.corrcoef(torch.stack(both).flatten(1))[0, 1]) < 0.8
    for drawing in first:
        anatomy = drawing.anatomy
        outside = anatomy.vessels[anatomy.lungs < 0.1]
        assert outside.mean() < 0.02 * anatomy.vessels[anatomy.lungs > 40].mean()
        # They branch from the hila: more of them medially than laterally.
        inner, outer = (anatomy.u > 0) & (anatomy.u < 0.4), (anatomy.u > 0.6) & (anatomy.u < 1)
        middle = (anatomy.v > 0.2) & (anatomy.v < 0.7) & (anatomy.lungs > 40)
        assert anatomy.vessels[inner & middle].mean() > 1.5 * anatomy.vessels[outer & middle].mean()


def test_larger_pictures_hold_more_detail() -> None:
    """Between what 64 px and 128 px can show, there is more of it than without."""

    def fine(simulator: Simulator) -> float:
        pictures = [d.healthy[34:94, 34:94] for d in simulator.draw(HEALTHY[:3], SEEDS[:3])]
        window = torch.hann_window(60)[:, None] * torch.hann_window(60)
        power = torch.fft.fft2(torch.stack([(p - p.mean()) * window for p in pictures])).abs().square()
        frequency = torch.fft.fftfreq(60) * 128
        radius = (frequency[:, None].square() + frequency[None].square()).sqrt()
        return float(power[:, (radius > 36) & (radius < 62)].mean())

    crisp = replace(ALL, postures=False)
    assert fine(Simulator(image_size=128, crisp=crisp)) > 2 * fine(Simulator(image_size=128))


def test_postures_depend_on_the_view_and_have_their_girdle() -> None:
    patient = next(PLAIN.draw(HEALTHY[:1], SEEDS[:1])).anatomy.patient
    for portable, most in ((False, "out"), (True, "down")):
        found: Counter[str] = Counter()
        for seed in range(300):
            posed = ALL.change(patient, generator(seed, "crisp"), portable)
            name = "up" if posed.arms_raised else "down" if posed.girdle == patient.girdle else "out"
            found[name] += 1
            assert (posed.girdle >= 8) == (name != "down") and posed.girdle < 16
        assert found.most_common(1)[0][0] == most and min(found.values()) > 10


def test_a_picture_depends_on_neither_batch_nor_order() -> None:
    sampler = BalancedCaseSampler()
    cases = [sampler.sample(3, "train", i) for i in range(6)]
    together = CRISP.make(cases, None, SEEDS[:6])
    alone = Simulator(image_size=SIZE, crisp=ALL, chunk=1).make(cases[::-1], None, SEEDS[:6][::-1])
    assert torch.equal(together.images, alone.images.flip(0))


def test_twins_differ_only_where_the_mask_says() -> None:
    sampler = BalancedCaseSampler()
    cases = [case for i in range(14) if (case := sampler.sample(4, "train", i)).findings][:10]
    made, twins = CRISP.twins(cases, SEEDS[: len(cases)], [0] * len(cases))
    for image, twin, masks, case in zip(made.images, twins, made.masks, made.cases, strict=True):
        if case.findings:
            changed = (255 * image).round() != (255 * twin).round()
            assert changed.any() and not (changed[0] & ~masks[0]).any(), case
    healthy = CRISP.make([replace(c, findings=()) for c in cases[:1]], None, SEEDS[:1])
    if len(made.cases[0].findings) == 1:
        assert torch.equal(twins[:1], healthy.images)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vessels": 1.5}, r"vessels=1\.5: give a share from 0 to 1"),
        ({"surfaces": -1.0}, "surfaces=-1"),
        ({"bones": float("nan")}, "bones=nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrispAnatomy(**given)  # type: ignore[arg-type]


def test_gas_is_where_the_patient_has_some() -> None:
    patient = ALL.change(
        next(PLAIN.draw(HEALTHY[:1], SEEDS[:1])).anatomy.patient, generator(3, "crisp"), False
    )
    x, y = (t[None].contiguous() for t in torch.meshgrid(*[torch.linspace(-160, 200, 90)] * 2, indexing="xy"))
    none, some = (
        replace(patient, gas=np.concatenate([np.full(8, value), np.zeros(8)])) for value in (1.0, 0.0)
    )
    assert not ALL.bowel_gas([none], x, y).any()
    gas = ALL.bowel_gas([some], x, y)[0]
    assert gas.max() > 5 and float(gas[y[0] < 60].sum()) == 0
