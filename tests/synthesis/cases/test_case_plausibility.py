"""Every case that a sampler draws is plausible, and one that is not is told."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings

from synthesis.cases import Case, Finding
from synthesis.concepts import NO_FINDING, UnknownConceptError
from tests.drawn_cases import CATALOG, RAW, cases, is_device

BODY = {None: set(), "left": {"left"}, "right": {"right"}, "bilateral": {"left", "right"}}


# -- the oracle: plausibility re-derived from the YAML file alone


def closure(name):
    return {name}.union(*(closure(parent) for parent in RAW[name].get("implies", [])))


def ruled_out(key, a, b):
    pairs = [(x, y) for x in closure(a) for y in closure(b)]
    return any(y in RAW[x].get(key, []) or x in RAW[y].get(key, []) for x, y in pairs)


def sides_of_places(concept):
    sides = concept.get("lateralities", [])
    places = concept.get("locations", [])
    return {
        p if isinstance(p, str) else p["name"]: sides if isinstance(p, str) else p["lateralities"]
        for p in places
    }


@given(cases())
@settings(max_examples=400, deadline=None)
def test_findings_have_possible_sides_places_and_grades(case):
    for finding in case.findings:
        concept = RAW[finding.concept]
        assert finding.concept != NO_FINDING
        assert concept.get("sampled", True)
        sides = concept.get("lateralities", [])
        assert finding.laterality in sides if sides else finding.laterality is None
        places = sides_of_places(concept)
        if places:
            assert finding.location in places
            assert not sides or finding.laterality in places[finding.location]
        else:
            assert finding.location is None
        grades = concept.get("severities", [])
        assert finding.severity in grades if grades else finding.severity is None
        assert case.view in concept.get("views", ["PA", "AP"])
        assert finding.certainty == "definite" or not is_device(finding.concept)


@given(cases())
@settings(max_examples=400, deadline=None)
def test_findings_never_contradict_each_other(case):
    for a, b in combinations(case.findings, 2):
        assert a.concept != b.concept
        assert b.concept not in closure(a.concept)
        assert a.concept not in closure(b.concept)
        assert not ruled_out("excludes", a.concept, b.concept)
        if BODY[a.laterality] & BODY[b.laterality]:
            assert not ruled_out("excludes_same_side", a.concept, b.concept)


@given(cases())
@settings(max_examples=400, deadline=None)
def test_denials_never_contradict_the_findings(case):
    found = {finding.concept for finding in case.findings}
    present = set().union(*map(closure, found))
    spared = set().union(*(RAW[name].get("never_denies", []) for name in present))
    assert len(set(case.absent)) == len(case.absent)
    assert NO_FINDING not in case.absent
    for name in case.absent:
        assert name not in present
        assert not closure(name) & found  # no special form of a finding
        assert not any(name in closure(other) for other in spared)  # nor what its picture contains


@given(cases())
@settings(max_examples=200, deadline=None)
def test_labels_are_the_closure(case):
    found = {finding.concept for finding in case.findings}
    expected = set().union(*map(closure, found))
    if all(is_device(name) for name in found):
        expected.add(NO_FINDING)
    assert case.concepts(CATALOG) == expected
    labels = case.labels(CATALOG)
    assert labels.dtype == np.float32
    assert {name for name, label in zip(CATALOG.names, labels, strict=True) if label == 1} == expected
    assert set(np.unique(labels)) <= {0.0, 1.0}


@given(cases())
@settings(max_examples=200, deadline=None)
def test_contradictions_agree_and_twins_stay_plausible(case):
    assert case.contradictions(CATALOG) == []
    for i, dropped in enumerate(case.findings):
        twin = case.without(i)
        assert twin.contradictions(CATALOG) == []
        assert (*twin.findings[:i], dropped, *twin.findings[i:]) == case.findings
        assert (twin.absent, twin.view) == (case.absent, case.view)


# -- cases by hand

MASS = Finding("mass", "left", "hilum", "large")
EFFUSION = Finding("pleural_effusion", "left", "base", "small")
TUBE = Finding("endotracheal_tube", None, "mid trachea")


def test_no_finding_means_nothing_but_devices():
    for findings in [(), (TUBE,), (Finding("pacemaker", "left", "dual lead"), TUBE)]:
        assert NO_FINDING in Case(findings, view="AP").concepts(CATALOG)
    assert NO_FINDING not in Case((TUBE, EFFUSION), view="AP").concepts(CATALOG)
    assert Case((MASS,)).concepts(CATALOG) == {"mass", "lung_lesion", "lung_opacity"}


@pytest.mark.parametrize(
    "case",
    [
        Case(()),
        Case((MASS, EFFUSION), ("pneumothorax", "fracture", "edema")),
        Case((EFFUSION, Finding("pneumothorax", "right", "apical", "large")), ("support_devices",)),
        Case((TUBE,), ("pneumothorax",), "AP"),
        Case((replace(MASS, certainty="possible"),)),
    ],
)
def test_plausible_cases(case):
    assert case.contradictions(CATALOG) == []


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case((Finding("no_finding"),)), "no_finding cannot be a finding"),
        (Case((Finding("lung_lesion"),)), "lung_lesion cannot be a finding"),
        (Case((replace(MASS, laterality="bilateral"),)), "mass has no laterality 'bilateral'"),
        (Case((replace(MASS, laterality=None),)), "mass has no laterality None"),
        (Case((Finding("cardiomegaly", "left", None, "mild"),)), "cardiomegaly has no laterality 'left'"),
        (Case((replace(MASS, location="base"),)), "mass has no location 'base' with laterality 'left'"),
        (
            Case((Finding("consolidation", "left", "middle lobe", "mild"),)),
            "consolidation has no location 'middle lobe' with laterality 'left'",
        ),
        (
            Case((Finding("fibrosis", "right", "diffuse", "mild"),)),
            "fibrosis has no location 'diffuse' with laterality 'right'",
        ),
        (Case((replace(MASS, severity="mild"),)), "mass has no severity 'mild'"),
        (Case((TUBE,)), "endotracheal_tube does not occur on PA views"),
        (
            Case((replace(TUBE, certainty="possible"),), view="AP"),
            "endotracheal_tube is a device and cannot be possible",
        ),
        (Case((MASS, replace(MASS, laterality="right"))), "mass and mass are the same"),
        (
            Case((MASS, Finding("lung_opacity", "right", "mid zone", "mild"))),
            "mass and lung_opacity are the same, or one is a special form",
        ),
        (
            Case(
                (
                    Finding("fibrosis", "left", "upper zone", "mild"),
                    Finding("emphysema", "bilateral", "diffuse", "mild"),
                )
            ),
            "fibrosis and emphysema exclude each other",
        ),
        (
            Case((EFFUSION, Finding("pneumothorax", "left", "apical", "large"))),
            "pleural_effusion and pneumothorax exclude each other on the same side",
        ),
        (
            Case(
                (
                    replace(EFFUSION, laterality="bilateral"),
                    Finding("pneumothorax", "left", "apical", "large"),
                )
            ),
            "exclude each other on the same side",
        ),
        (Case((MASS,), ("mass",)), "mass cannot be denied here"),
        (Case((MASS,), ("lung_opacity",)), "lung_opacity cannot be denied here"),
        (Case((TUBE,), ("support_devices",), "AP"), "support_devices cannot be denied here"),
        (
            Case((Finding("consolidation", "left", "lingula", "mild"),), ("pneumonia",)),
            "pneumonia cannot be denied here",
        ),
        (Case((), ("no_finding",)), "no_finding cannot be denied here"),
        (Case((), ("edema", "edema")), "edema is denied twice"),
    ],
)
def test_contradictions_are_told(case, reason):
    (told,) = case.contradictions(CATALOG)
    assert told.startswith(reason) or reason in told


def test_unknown_concepts_are_told():
    with pytest.raises(UnknownConceptError, match="did you mean mass"):
        Case((Finding("mas"),)).concepts(CATALOG)
