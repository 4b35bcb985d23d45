"""Patients as the page makes them."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.demo.markup import outlined
from scripts.demo.patients import Patients, told


@pytest.fixture(scope="module")
def patients() -> Patients:
    return Patients(image_size=64)


def test_a_patient_shows_what_was_chosen_and_its_twins_lack_one_finding_each(patients: Patients) -> None:
    chosen = [("pleural_effusion", "right", "large"), ("pacemaker", None, None)]
    patient = patients.patient(patients.case(chosen, "PA", 2), 2)
    assert [(f.concept, f.laterality, f.severity) for f in patient.case.findings][:1] == [chosen[0]]
    assert "effusion" in patient.report or "pleural fluid" in patient.report
    assert patient.masks.shape == (2, 64, 64) and patient.masks.any((1, 2)).all()
    for i, twin in enumerate(patient.twins):
        changed = twin.image != patient.image
        assert changed.any() and not (changed & ~patient.masks[i]).any()
        assert twin.report != patient.report and twin.finding == patient.case.findings[i]


def test_the_same_choices_and_seed_give_the_same_patient_and_another_seed_another(patients: Patients) -> None:
    case = patients.case([("nodule", None, None)], "PA", 5)
    assert case == patients.case([("nodule", None, None)], "PA", 5)
    one, again, other = (patients.patient(case, seed) for seed in (5, 5, 6))
    assert np.array_equal(one.image, again.image) and one.report == again.report
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ([("pneumothorax", None, None)] * 2, "chosen twice"),
        ([("cardiomegaly", "left", None)], "no laterality"),
        ([("pleural_effusion", "right", "huge")], "no severity"),
        ([("emphysema", None, None), ("hyperinflation", None, None)], "the same"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    patients: Patients, chosen: list[tuple[str, str | None, str | None]], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        patients.case(chosen, "PA", 0)


def test_drawn_cases_fit_the_page_and_can_be_made(patients: Patients) -> None:
    for number in range(40):
        drawn = patients.drawn(number, 3)
        assert len(drawn.findings) <= 3
        chosen = [(f.concept, f.laterality, f.severity) for f in drawn.findings]
        case = patients.case(chosen, drawn.view, number)
        assert [(f.concept, f.laterality, f.severity) for f in case.findings] == chosen


def test_without_findings_the_report_is_normal_and_there_is_no_twin(patients: Patients) -> None:
    patient = patients.patient(patients.case([], "AP", 1), 1)
    assert patient.twins == () and patient.masks.shape[0] == 0 and patient.report


def test_findings_are_told_in_words(patients: Patients) -> None:
    finding = patients.case([("pleural_effusion", "right", "large")], "PA", 0).findings[0]
    assert told(finding).startswith("large pleural effusion, right")


def test_outlines_lie_on_the_rim_of_the_mask() -> None:
    image, mask = np.full((8, 8), 100, np.uint8), np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    drawn = outlined(image, mask[None]).astype(int)
    coloured = np.ptp(drawn, axis=-1) > 0
    assert np.array_equal(coloured, np.kron(mask, np.ones((2, 2), bool)))
    strong = np.ptp(drawn, axis=-1) > 100
    assert strong[4, 4:12].all() and strong[4:12, 4].all() and not strong[5:11, 5:11].any()
