"""Tone, grain and attenuation factors of the simulator: switches that leave findings alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.simulator.film_features import BANDS, spectrum
from synthesis.cases import BalancedCaseSampler, Case
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.attenuation import DENSEST_LUNG, GAINS, AttenuationFactors
from synthesis.images.simulator.detector import correlate
from synthesis.images.simulator.exposure import draw_exposure
from synthesis.images.simulator.grain import Grain
from synthesis.images.simulator.patient import Patient, draw_patient
from synthesis.images.simulator.tone import QUANTILES, Tone, ToneAims, bend, curves
from synthesis.seeding import pair_seed

SIZE = 64
ALL: Mapping[str, Any] = {"tone": Tone(), "grain": Grain(), "attenuation": AttenuationFactors()}
SAMPLER = BalancedCaseSampler()
SEEDS = [pair_seed(4, "train", i) for i in range(24)]
CASES = [SAMPLER.sample(4, "train", i) for i in range(24)]
HEALTHY = [Case((), (), view) for view in ("PA", "AP")] * 12


@pytest.fixture(scope="module")
def plain() -> torch.Tensor:
    return Simulator(SIZE).make(HEALTHY, None, SEEDS).images


def skews(images: torch.Tensor) -> torch.Tensor:
    centred = images.flatten(1) - images.flatten(1).mean(1, keepdim=True)
    return centred.pow(3).mean(1) / centred.square().mean(1).pow(1.5)


def patient(seed: int) -> Patient:
    return draw_patient(np.random.default_rng(seed), [0], 1, portable=False)


@pytest.mark.parametrize("name", ALL)
def test_a_switch_is_named_where_it_is_on_and_changes_the_pictures(name: str, plain: torch.Tensor) -> None:
    on = Simulator(SIZE, **{name: ALL[name]})
    assert on.describe().keys() - Simulator(SIZE).describe().keys() == {name}
    changed = (on.make(HEALTHY, None, SEEDS).images - plain).abs().amax((1, 2, 3)) > 0.1 / 255
    assert changed.float().mean() > 0.9


def test_settings_of_a_switch_are_part_of_the_identity() -> None:
    one, other = Simulator(SIZE, grain=Grain()), Simulator(SIZE, grain=Grain(finer=3))
    assert one.describe() != other.describe()


def test_twins_still_differ_only_where_the_mask_says_and_findings_stay() -> None:
    chosen = [(case, seed) for case, seed in zip(CASES, SEEDS, strict=True) if case.findings]
    cases, seeds = [case for case, _ in chosen], [seed for _, seed in chosen]
    made, twins = Simulator(SIZE, **ALL).twins(cases, seeds, [0] * len(cases))
    usual = Simulator(SIZE).make(cases, None, seeds)
    for image, twin, masks, case in zip(made.images, twins, made.masks, made.cases, strict=True):
        if case.findings:
            changed = (255 * image).round() != (255 * twin).round()
            assert changed.any() and not (changed[0] & ~masks[0]).any(), case
    shown, expected = (sum(len(case.findings) for case in some.cases) for some in (made, usual))
    assert shown > 0.85 * expected, "as many findings are visible as without"


def test_a_picture_is_the_same_alone_and_in_a_batch() -> None:
    simulator = Simulator(SIZE, **ALL)
    together = simulator.make(CASES[:6], None, SEEDS[:6]).images
    for k in (0, 5):
        assert torch.equal(simulator.make(CASES[k : k + 1], None, SEEDS[k : k + 1]).images[0], together[k])


def test_factors_and_tone_are_drawn_anew_at_another_visit_and_the_anatomy_is_not() -> None:
    simulator = Simulator(SIZE, **ALL)
    first, second = (next(simulator.draw(HEALTHY[:1], [5], [visit])) for visit in (5, 6))
    assert torch.equal(first.anatomy.lungs, second.anatomy.lungs)
    gains = [[getattr(one.anatomy.patient, gain) for gain in GAINS.values()] for one in (first, second)]
    assert gains[0] != gains[1]
    bent = [one.detector.curve for one in (first, second)]
    assert bent[0] is not None and bent[1] is not None and not torch.equal(bent[0], bent[1])


# ------------------------------------------------------------------------------------------------- tone
def test_grey_values_are_skewed_as_on_real_films(plain: torch.Tensor) -> None:
    """Real radiographs have a long dark tail; without the switch ours have none."""
    toned = Simulator(SIZE, tone=Tone()).make(HEALTHY, None, SEEDS).images
    assert skews(plain).median() > -0.35
    assert skews(toned).median() < -0.5


def test_quantiles_of_a_healthy_body_are_brought_to_the_aims() -> None:
    toned = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.15
    inside = torch.ones_like(toned, dtype=torch.bool)
    inside[1, :60], toned[1, :60] = False, 0.0  # however much air there is around it
    aims = [(0, 0.05, 0.3, 0.6, 0.8, 0.9), (0, 0.2, 0.5, 0.7, 0.8, 0.85), (0.1, 0.2, 0.4, 0.5, 0.7, 0.95)]
    found = curves(toned, inside, aims)
    assert (found.diff(dim=1) >= 0).all() and found.min() >= 0 and found.max() <= 1
    for picture, body, curve, aim in zip(toned, inside, found, aims, strict=True):
        bent = bend(picture[None].clone(), curve)[0]
        assert torch.quantile(bent[body], torch.tensor(QUANTILES[1:])).tolist() == pytest.approx(
            aim[2:], abs=0.09
        )
        assert not (~body).any() or bent[~body].max() < aim[1] - 0.1


def test_a_flat_picture_has_a_curve_too() -> None:
    flat = torch.full((1, 32, 32), 0.5)
    for inside in (flat > 0, flat < 0):  # all body, or none
        found = curves(flat, inside, [(0.0, 0.1, 0.3, 0.6, 0.8, 0.9)])
        assert torch.isfinite(found).all() and (found.diff() >= 0).all()


def test_greys_of_films_are_drawn_around_the_aims_of_their_view() -> None:
    tone = Tone(pa=ToneAims(white=(0.95, 0.01)), ap=ToneAims(white=(0.7, 0.01)))
    rng = np.random.default_rng(0)
    for portable, white in ((False, 0.95), (True, 0.7)):
        drawn = [tone.change(draw_exposure(rng, portable), rng, portable).greys for _ in range(200)]
        greys = np.array(drawn)
        assert (np.diff(greys) >= 0).all() and greys.min() >= 0 and greys.max() <= 1
        assert greys[:, -1].mean() == pytest.approx(white, abs=0.01)


# ------------------------------------------------------------------------------------------------ grain
@pytest.mark.parametrize("finer", [1, 2, 3, 6])
def test_noise_has_the_spectrum_of_noise_that_was_averaged_down(finer: int) -> None:
    size, rng = 64, torch.Generator().manual_seed(0)
    fine = torch.randn(6, 1, size * finer, size * finer, generator=rng)
    averaged = F.interpolate(fine, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    drawn = torch.randn(6, 1, size, size, generator=rng)
    correlation = Grain(finer=finer).correlation
    for field in drawn:
        correlate(field[0].numpy(), correlation) if correlation else None
    assert drawn.std() == pytest.approx(1, abs=0.02)
    for rows, columns in ((0, 1), (1, 0), (1, 1), (0, 2)):
        ours, theirs = (together(noise[:, 0], rows, columns) for noise in (drawn, averaged))
        assert ours == pytest.approx(theirs, abs=0.025), (rows, columns)


def together(noise: torch.Tensor, rows: int, columns: int) -> float:
    shifted = noise.roll((rows, columns), (1, 2))
    return float((noise * shifted).mean() / noise.square().mean())


def test_only_the_noise_is_another(plain: torch.Tensor) -> None:
    """A blur leaves nothing of the difference."""
    grained = Simulator(SIZE, grain=Grain()).make(HEALTHY, None, SEEDS).images
    assert F.avg_pool2d(grained - plain, 16).abs().max() < 0.03


# ------------------------------------------------------------------------------------------ attenuation
def test_factors_are_lognormal_of_mode_one_within_their_range() -> None:
    every = AttenuationFactors(probability=1.0)
    drawn = np.array([[*every.factors(np.random.default_rng(k)).values()] for k in range(600)]).ravel()
    assert 0.1 <= drawn.min() < 0.4 and 3 < drawn.max() <= 4
    counts, edges = np.histogram(drawn, np.arange(0, 4.2, 0.2))
    assert 0.7 <= edges[counts.argmax()] <= 1.0
    half = [AttenuationFactors().factors(np.random.default_rng(k)) for k in range(300)]
    assert np.mean([[f == 1 for f in one.values()] for one in half]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("structure", GAINS)
def test_each_structure_alone_can_be_scaled(structure: str) -> None:
    alone = AttenuationFactors(probability=1.0, structures=(structure,))
    before = replace(patient(0), breast=20.0)
    after = alone.change(before, np.random.default_rng(1))
    changed = {name for name, value in vars(after).items() if value is not getattr(before, name)}
    assert {name for name in changed if getattr(after, name) != getattr(before, name)} == {GAINS[structure]}
    assert alone.factors(np.random.default_rng(1))[structure] == pytest.approx(
        AttenuationFactors(probability=1.0).factors(np.random.default_rng(1))[structure]
    ), "its factor does not hang on which others are scaled"


def test_a_lung_stays_darker_than_what_fills_it() -> None:
    dense = AttenuationFactors(probability=1.0, least=3.5)
    for seed in range(20):
        assert dense.change(patient(seed), np.random.default_rng(seed)).lung_density <= DENSEST_LUNG


def test_structures_with_gains_of_their_own_reach_the_picture() -> None:
    """Heart and girdle, whose gains nothing else reads."""
    builder = Simulator(SIZE).builder
    someone = patient(3)
    for gain in ("heart_gain", "girdle_gain"):
        one, more = (builder.build([replace(someone, **{gain: value})])[0].base for value in (1.0, 3.0))
        assert (more - one).amin() >= 0 and (more - one).amax() > 3


@pytest.mark.parametrize(
    ("part", "given", "says"),
    [
        (AttenuationFactors, {"least": 0.0}, r"least=0.0: give more than 0"),
        (AttenuationFactors, {"least": -1.0}, r"least=-1.0: give more than 0"),
        (AttenuationFactors, {"greatest": 0.05}, r"greatest=0.05: give 0.1 or more"),
        (AttenuationFactors, {"spread": 0.0}, r"spread=0.0: give more than 0"),
        (AttenuationFactors, {"probability": 1.5}, r"probability=1.5: give from 0 to 1"),
        (AttenuationFactors, {"structures": ("lung",)}, r"there is no 'lung'; give some of lungs, vessels"),
        (Grain, {"finer": 0}, r"finer=0: give 1 or more"),
        (Grain, {"amount": (0.0, 0.1)}, r"amount=.*give more than 0"),
        (Grain, {"amount": (0.2, 0.1)}, r"greatest amount=0.1: give 0.2 or more"),
        (Tone, {"spread": float("nan")}, r"spread=nan"),
        (Tone, {"detail": (-1.0, 1.0)}, r"detail=.*give 0 or more"),
        (Tone, {"together": 2.0}, r"together=2.0: give from 0 to 1"),
        (ToneAims, {"white": (1.2, 0.1)}, r"white=1.2: give from 0 to 1"),
        (ToneAims, {"dark": (0.2, -0.1)}, r"deviation of dark=-0.1"),
    ],
)
def test_settings_without_sense_are_refused(part: Any, given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        part(**given)


def test_detail_brings_out_what_is_as_fine_as_ribs() -> None:
    """Between 12 and 40 cycles a picture, and hardly below."""
    images = [
        Simulator(SIZE, tone=Tone(detail=(g, g))).make(HEALTHY[:4], None, SEEDS[:4]) for g in (0.0, 1.5)
    ]
    bands = [spectrum(made.images[:, 0]) for made in images]
    more = dict(zip(BANDS, (bands[1] - bands[0]).mean(0), strict=False))
    assert min(more[low] for low in (16, 20, 24)) > 0.3
    assert max(abs(more[low]) for low in (1, 2, 3)) < 0.1
