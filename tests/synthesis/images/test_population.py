"""Two populations of one simulator: what they share (nothing), and what stays as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from synthesis.cases import Case, Finding
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.exposure import draw_exposure
from synthesis.images.simulator.girdle import GIRDLES
from synthesis.images.simulator.patient import Patient, draw_patient
from synthesis.images.simulator.population import _PLANE, DetectorFamily, Population
from synthesis.images.simulator.textures import TEXTURE_SEED, texture_bank
from synthesis.seeding import generator

FIRST, SECOND = Population("first"), Population("second", DetectorFamily(), 1021)
POSES = [4, 5, 7, 9, 11]  # an odd number: the halves differ in size


def maker_of(layer: str) -> dict[str, Any]:
    content = yaml.safe_load(Path(layer).read_text())
    found: dict[str, Any] = content["data"]["init_args"]["synthesizer"]["init_args"]["image_maker"]
    return found["init_args"]


def people(population: Population, count: int = 300) -> list[Patient]:
    drawn = (draw_patient(generator(seed, "patient"), POSES, GIRDLES, seed % 2 == 0) for seed in range(count))
    return [population.change(patient, POSES) for patient in drawn]


def test_halves_share_no_pose_no_girdle_and_no_shape_and_leave_none_out() -> None:
    ones, others = people(FIRST), people(SECOND)
    for name in ("pose", "girdle"):
        here, there = ({getattr(p, name) for p in half} for half in (ones, others))
        assert not here & there
        assert here | there == set(POSES if name == "pose" else range(GIRDLES))
    for half, sign in ((ones, -1), (others, 1)):
        assert all(sign * p.heart_turn >= 0 and sign * p.rib_shift[0] >= 0 for p in half)
        assert all(sign * (p.warp * _PLANE).sum() >= 0 for p in half)
    assert all(
        (a.torso, a.breast, a.scale, a.field) == (b.torso, b.breast, b.scale, b.field)
        for a, b in zip(ones, others, strict=True)
    )


def test_a_patient_keeps_subject_and_view_and_one_pose_cannot_be_halved() -> None:
    patient = people(FIRST, 1)[0]
    assert FIRST.change(replace(patient, pose=7), [7, 9]).pose == 7
    assert SECOND.change(replace(patient, pose=7), [7, 9]).pose == 9
    with pytest.raises(ValueError, match=r"the atlas has 1 pose .*make atlas"):
        FIRST.change(patient, [patient.pose])


def test_no_film_of_the_other_detector_could_be_one_of_the_default() -> None:
    exposures = [draw_exposure(generator(seed, "exposure"), seed % 2 == 0) for seed in range(300)]
    assert all(FIRST.expose(e, generator(0, "detector")) == e for e in exposures)
    for seed, exposure in enumerate(exposures):
        other = SECOND.expose(exposure, generator(seed, "detector"))
        assert other.knee > max(e.knee for e in exposures) and other.edge > max(e.edge for e in exposures)
        assert other.equalise > max(e.equalise for e in exposures) and other.noise == exposure.noise


def test_textures_are_others() -> None:
    one, other = texture_bank(), texture_bank(1021)
    assert texture_bank(1021) is other and all(
        not torch.equal(one.fields[kind], other.fields[kind]) for kind in one.fields
    )
    finding = Finding("consolidation", "right", "lower lobe", "severe")
    pictures = [
        Simulator(64, population=Population(texture_seed=seed))
        .make([Case((), ()), Case((finding,), ())], None, [3, 3])
        .images
        for seed in (TEXTURE_SEED, 1021)
    ]
    assert torch.equal(pictures[0][0], pictures[1][0]) and not torch.equal(pictures[0][1], pictures[1][1])


def test_pictures_of_the_two_worlds_differ_and_their_fingerprints_say_why() -> None:
    hospital, simulated = (
        Simulator(64, population=Population(half, detector))  # type: ignore[arg-type]
        for half, detector in (("second", DetectorFamily()), ("first", None))
    )
    healthy = [Case((), (), "PA"), Case((), (), "AP")]
    made = [maker.make(healthy, None, [1, 2]).images for maker in (hospital, simulated, Simulator(64))]
    assert not torch.equal(made[0], made[1])
    assert hospital.describe()["population"]["half"] == "second"
    assert simulated.describe()["population"]["detector"] is None
    assert "population" not in Simulator(64).describe()


def test_the_layers_of_the_worlds_are_opposite_halves() -> None:
    hospital, simulated = (maker_of(f"configs/simulator/{name}.yaml") for name in ("hospital", "simulated"))
    assert {hospital["population"]["half"], simulated["population"]["half"]} == {"first", "second"}
    assert hospital["population"]["texture_seed"] != simulated["population"].get("texture_seed", 20)
    assert {"crisp", "tone", "grain"} <= hospital.keys() and simulated.keys() == {"population"}


@pytest.mark.parametrize(
    ("cls", "given", "complaint"),
    [
        (Population, {"half": "third"}, "half='third': give first or second"),
        (Population, {"texture_seed": -1}, "texture_seed=-1: give 0 or more"),
        (DetectorFamily, {"knee": (1.0, 2.5)}, "greatest knee=2.5: give from 0 to 2"),
        (DetectorFamily, {"edge": (1.0, 0.5)}, "greatest edge=0.5: give 1 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(cls: Any, given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        cls(**given)
