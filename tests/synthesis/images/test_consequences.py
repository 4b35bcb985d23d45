"""What findings bring about beyond their own opacity: measured on pictures, with exact masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from synthesis.cases import BalancedCaseSampler, Case, Finding
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.findings import AirspaceHaze, Consequence, PleuralFluid, VolumeLoss
from synthesis.images.simulator.visibility import Visibility
from synthesis.seeding import pair_seed

SIZE = 64
CATALOG = "configs/concepts/consequences.yaml"
SIMULATOR = Simulator(image_size=SIZE, catalog=CATALOG)  # its maps serve all tests
BOTH = (VolumeLoss(), PleuralFluid())


def simulator(*consequences: Consequence) -> Simulator:
    made = Simulator(image_size=SIZE, catalog=CATALOG, consequences=consequences)
    made._builder = SIMULATOR.builder
    return made


def pictures(case: Case, count: int, *consequences: Consequence) -> tuple[Tensor, Tensor]:
    """Pictures of a case in some patients, and those patients healthy: (patient, row, column)."""
    seeds = [pair_seed(3, "consequences", k) for k in range(count)]
    drawings = list(simulator(*consequences).draw([case] * count, seeds))
    both = torch.stack([d.pictures([None, 0]) for d in drawings if d.case == case])
    assert len(both) > count / 2
    return both[:, 0], both[:, 1]


def dome(picture: Tensor, side: str) -> int:
    """The row of the steepest rise from lung to abdomen in the middle of a lung."""
    columns = slice(40, 48) if side == "left" else slice(16, 24)
    profile = picture[:, columns].mean(dim=1)
    return 28 + int((profile[30:60] - profile[28:58]).argmax())


def medial_edge(picture: Tensor, side: str) -> int:
    """The column of the steepest step from a lung to the heart, above the dome."""
    profile = picture[26:36].mean(dim=0)
    step = profile[2:] - profile[:-2]
    return 20 + int(step[20:36].argmax()) if side == "right" else 30 + int(step[30:50].argmin())


def collapse(side: str, severity: str = "severe") -> Case:
    return Case((Finding("atelectasis", side, "lower lobe", severity),))


def effusion(side: str, severity: str, **view: str) -> Case:
    return Case((Finding("pleural_effusion", side, "base", severity),), **view)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_collapsed_lobe_raises_its_dome_and_draws_the_mediastinum_over(side: str) -> None:
    other = "right" if side == "left" else "left"
    pairs = list(zip(*pictures(collapse(side), 12, VolumeLoss()), strict=True))
    raised = [dome(healthy, side) - dome(shown, side) for shown, healthy in pairs]
    beyond = [dome(healthy, other) - dome(shown, other) for shown, healthy in pairs]
    assert np.median(raised) >= 2, raised
    assert np.median(np.abs(beyond)) == 0, beyond
    # Seen where the other lung meets the heart, which the opacity does not reach.
    over = [medial_edge(shown, other) - medial_edge(healthy, other) for shown, healthy in pairs]
    assert np.mean(over) * (1 if side == "left" else -1) >= 0.7, over


def test_more_collapse_moves_more_and_none_draws_the_opacity_alone() -> None:
    def lifted(severity: str, amount: float) -> float:
        pairs = zip(*pictures(collapse("right", severity), 8, VolumeLoss(amount)), strict=True)
        return float(np.mean([dome(healthy, "right") - dome(shown, "right") for shown, healthy in pairs]))

    assert lifted("severe", 1.0) > lifted("mild", 1.0) > lifted("mild", 0.0)


def test_the_lung_beside_a_collapse_is_darker() -> None:
    upper = slice(14, 26), slice(40, 48)
    shown, healthy = pictures(collapse("left"), 6, VolumeLoss())
    assert (shown - healthy)[:, *upper].mean() < -0.01
    alone, healthy = pictures(collapse("left"), 6)
    assert (alone - healthy)[:, *upper].mean().abs() < 0.005


def test_small_fluid_blunts_the_angle_and_more_of_it_hides_the_dome() -> None:
    upright = PleuralFluid(lamellar=0, subpulmonic=0)

    def change(severity: str) -> tuple[float, float]:
        shown, healthy = pictures(effusion("right", severity), 8, upright)
        rise = shown - healthy
        return float(rise[:, 34:48, 6:16].amax(dim=(1, 2)).mean()), float(rise[:, 30:40, 18:26].mean())

    (angle, little), (_, more), (_, most) = map(change, ("small", "moderate", "large"))
    assert angle > 0.08 and little < 0.02
    assert more > 2 * little and most > 2 * more


def test_fluid_of_a_lying_patient_is_a_veil_over_the_whole_lung() -> None:
    apex = slice(12, 20), slice(40, 48)

    def haze(lying: float) -> Tensor:
        fluid = PleuralFluid(lying=lying, lamellar=0, subpulmonic=0)
        shown, healthy = pictures(effusion("left", "moderate", view="AP"), 6, fluid)
        return (shown - healthy)[:, *apex].mean(dim=(1, 2))

    assert (haze(1.0) > 0.02).all()
    assert (haze(0.0) < 0.01).all()


def test_fluid_below_the_lung_lifts_it() -> None:
    fluid = PleuralFluid(lamellar=0, subpulmonic=1)
    pairs = zip(*pictures(effusion("right", "moderate"), 6, fluid), strict=True)
    raised = [dome(healthy, "right") - dome(shown, "right") for shown, healthy in pairs]
    assert np.median(raised) >= 2, raised


def surface(change: Tensor) -> float:
    """By how many rows the upper edge of fluid rises and falls across the left lung."""
    dense = change > 0.5 * change.max()
    return float(np.std([int(column.nonzero()[0]) for column in dense[:, 40:54].T if column.any()]))


AIR = Finding("pneumothorax", "left", "apical", "large")


def test_fluid_under_air_has_a_level_which_it_loses_with_the_air() -> None:
    fluid = effusion("left", "moderate").findings[0]
    case, seeds = Case((fluid, AIR)), [pair_seed(4, "level", k) for k in range(6)]
    assert case.contradictions(SIMULATOR.catalog) == []
    on = simulator(PleuralFluid(lamellar=0, subpulmonic=0))
    drawn = torch.stack([d.pictures([None, 0, 1]) for d in on.draw([case] * 6, seeds)])
    alone = on.make([Case((fluid,))] * 6, None, seeds).images[:, 0]
    assert torch.equal(drawn[:, 2], alone)
    healthy = on.make([Case(())] * 6, None, seeds).images[:, 0]
    level = np.mean([surface(change) for change in drawn[:, 0] - drawn[:, 1]])
    meniscus = np.mean([surface(change) for change in alone - healthy])
    assert level < 1 and meniscus > 2, (level, meniscus)


def test_a_finding_that_is_dropped_takes_its_effect_on_others_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A picture is that of the case it shows."""
    fluid, on = effusion("left", "large").findings[0], simulator(*BOTH)
    seeds = [pair_seed(6, "dropped", k) for k in range(3)]
    alone = on.make([Case((fluid,))] * 3, None, seeds)
    contrast = Visibility.relative_contrast
    monkeypatch.setattr(
        Visibility,
        "relative_contrast",
        lambda self, drawing: [
            c * (f.concept != "pneumothorax")
            for c, f in zip(contrast(self, drawing), drawing.case.findings, strict=True)
        ],
    )
    made = on.make([Case((fluid, AIR))] * 3, None, seeds)
    assert made.cases == (Case((fluid,)),) * 3
    assert torch.equal(made.images, alone.images)


def test_twins_differ_only_where_the_mask_says_and_are_pictures_without_the_finding() -> None:
    sampler, changed = BalancedCaseSampler(catalog=CATALOG), ("atelectasis", "pleural_effusion")
    cases = [case for case in (sampler.sample(5, "train", i) for i in range(400)) if case.findings]
    cases = [case for case in cases if case.findings[0].concept in changed][:24]
    seeds, on = [pair_seed(5, "train", k) for k in range(len(cases))], simulator(*BOTH)
    made, twins = on.twins(cases, seeds, [0] * len(cases))
    without = on.make([case.without(0) for case in made.cases], None, seeds)
    for k, masks in enumerate(made.masks):
        different = (255 * made.images[k]).round() != (255 * twins[k]).round()
        assert different.any() and not (different[0] & ~masks[0]).any(), cases[k]
    single = [len(case.findings) == 1 for case in made.cases]  # others may be drawn stronger beside it
    assert any(single) and torch.equal(without.images[single], twins[single])


def test_haze_is_smoother_than_patches_and_unlike_in_two_lungs() -> None:
    case = Case((Finding("infiltration", "bilateral", "diffuse", "moderate"),))

    def grain(*consequences: Consequence) -> tuple[float, Tensor]:
        shown, healthy = pictures(case, 8, *consequences)
        change = (shown - healthy)[:, 16:36]
        rough = (change - torch.nn.functional.avg_pool2d(change[:, None], 5, 1, 2)[:, 0]).abs()
        halves = torch.stack([change[..., 14:26].mean(dim=(1, 2)), change[..., 38:50].mean(dim=(1, 2))])
        return float(rough.mean() / change.abs().mean()), (halves[0] / halves[1]).log().abs()

    (patches, alike), (haze, unlike) = grain(), grain(AirspaceHaze(share=1.0))
    assert haze < 0.75 * patches
    assert unlike.mean() > alike.mean() + 0.1
    none = simulator(AirspaceHaze(share=0)).make([case], None, [1]).images
    assert torch.equal(none, simulator().make([case], None, [1]).images)


def test_what_is_switched_off_leaves_no_trace() -> None:
    off, on = simulator(), simulator(*BOTH)
    assert "consequences" not in off.describe()
    assert [c["name"] for c in on.describe()["consequences"]] == ["VolumeLoss", "PleuralFluid"]
    case, seed = Case((Finding("nodule", "left", "mid zone", "large"),)), pair_seed(7, "off", 0)
    assert torch.equal(on.make([case], None, [seed]).images, off.make([case], None, [seed]).images)
    several = replace(case, findings=(*case.findings, *collapse("right").findings))
    healthy = [d.healthy for s in (off, on) for d in s.draw([several], [seed])]
    assert torch.equal(*healthy)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VolumeLoss(amount=-1), "VolumeLoss: amount=-1: give 0 or more"),
        (lambda: simulator(VolumeLoss(), VolumeLoss(0.5)), "VolumeLoss is there twice"),
        (lambda: AirspaceHaze(share=-0.1), "AirspaceHaze: share=-0.1: give from 0 to 1"),
        (lambda: PleuralFluid(lying=1.5), "PleuralFluid: lying=1.5: give from 0 to 1"),
        (lambda: PleuralFluid(lamellar=0.7, subpulmonic=0.6), "together they exceed 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
