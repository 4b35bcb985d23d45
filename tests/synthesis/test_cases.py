"""Every case is plausible, pure in its index, and drawn as often as the sampler promises."""

import json
import pickle
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.cases import (
    BalancedCaseSampler,
    Case,
    Finding,
    LongTailedCaseSampler,
    UniformCaseSampler,
)
from synthesis.concepts import DEFAULT_CATALOG, NO_FINDING, ConceptCatalog, UnknownConceptError

RAW = yaml.safe_load(DEFAULT_CATALOG.read_text())["concepts"]
CATALOG = ConceptCatalog()
SAMPLED = [c.name for c in CATALOG if c.sampled and c.name != NO_FINDING]
SAMPLERS = [BalancedCaseSampler, UniformCaseSampler, LongTailedCaseSampler]
BODY = {None: set(), "left": {"left"}, "right": {"right"}, "bilateral": {"left", "right"}}

indices = st.integers(0, 10**7)
seeds = st.integers(0, 2**32)


@cache
def make(sampler, *items):
    return sampler(**dict(items))


@cache
def draw(sampler, number, *items):
    return [make(sampler, *items).sample(0, "train", i) for i in range(number)]


def surprise(observed, expected):
    """Pearson's statistic, in standard deviations above its mean under the expected counts."""
    observed, expected = np.asarray(observed), np.asarray(expected)
    freedom = len(observed) - 1
    return (((observed - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


@st.composite
def cases(draw):
    """Cases under settings that crowd them: many findings, devices and denials."""
    crowded = (
        ("findings_per_case", draw(st.sampled_from([(1.0,), (0.0, 0.0, 0.0, 1.0), (0.0,) * 7 + (1.0,)]))),
        ("device_rate", draw(st.sampled_from([0.0, 0.5, 1.0]))),
        ("absent_mentions", draw(st.sampled_from([0.0, 3.0, 12.0]))),
        ("uncertain_rate", draw(st.sampled_from([0.0, 0.5, 1.0]))),
    )
    return make(draw(st.sampled_from(SAMPLERS)), *crowded).sample(draw(seeds), "train", draw(indices))


# -- the oracle: plausibility re-derived from the YAML file alone


def closure(name):
    return {name}.union(*(closure(parent) for parent in RAW[name].get("implies", [])))


def ruled_out(key, a, b):
    pairs = [(x, y) for x in closure(a) for y in closure(b)]
    return any(y in RAW[x].get(key, []) or x in RAW[y].get(key, []) for x, y in pairs)


def is_device(name):
    return RAW[name]["entity_type"] == "device"


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


# -- purity


@given(seeds, st.sampled_from(["train", "val"]), indices, st.sampled_from(SAMPLERS))
@settings(max_examples=60, deadline=None)
def test_a_case_depends_on_seed_split_and_index_only(seed, split, index, sampler):
    used, fresh = make(sampler), sampler()
    used.sample(seed + 1, split, index + 3)
    assert used.sample(seed, split, index) == fresh.sample(seed, split, index)
    assert pickle.loads(pickle.dumps(used)).sample(seed, split, index) == used.sample(seed, split, index)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_order_does_not_matter(sampler):
    forwards = [sampler().sample(3, "train", i) for i in range(40)]
    one = sampler()
    assert [one.sample(3, "train", i) for i in reversed(range(40))] == forwards[::-1]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_other_seeds_and_splits_give_other_cases(sampler):
    one = make(sampler)
    draws = {
        key: tuple(one.sample(key[0], key[1], i) for i in range(50))
        for key in [(0, "train"), (1, "train"), (0, "val"), (0, "test")]
    }
    assert len(set(draws.values())) == 4


# -- frequencies


@given(seeds, st.integers(1, 20), st.sampled_from([0.0, 0.12, 0.5]), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_balanced_cap_holds_exactly_in_every_block(seed, cap, normal_rate, block):
    sampler = make(BalancedCaseSampler, ("cap", cap), ("normal_rate", normal_rate))
    start = block * sampler.block_size
    leads = Counter(sampler.lead(seed, "train", start + i) for i in range(sampler.block_size))
    normal = leads.pop(NO_FINDING, 0)
    assert leads == dict.fromkeys(SAMPLED, cap)
    assert normal == sampler.block_size - cap * len(SAMPLED)
    assert abs(normal / sampler.block_size - normal_rate) <= 1 / sampler.block_size


def test_balanced_blocks_are_shuffled_anew():
    sampler = make(BalancedCaseSampler)
    size = sampler.block_size
    blocks = {tuple(sampler.lead(0, "train", b * size + i) for i in range(size)) for b in range(5)}
    assert len(blocks) == 5


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_lead_comes_first(sampler):
    for i, case in enumerate(draw(sampler, 300, ("device_rate", 0.0))):
        lead = make(sampler, ("device_rate", 0.0)).lead(0, "train", i)
        assert case.findings[0].concept == lead if case.findings else lead == NO_FINDING


def test_uniform_leads_are_uniform():
    sampler = make(UniformCaseSampler)
    leads = Counter(sampler.lead(0, "train", i) for i in range(20_000))
    normal = leads.pop(NO_FINDING)
    assert normal / 20_000 == pytest.approx(0.12, abs=0.01)
    assert (
        surprise([leads[name] for name in SAMPLED], np.full(len(SAMPLED), leads.total() / len(SAMPLED))) < 4
    )


def test_long_tailed_leads_follow_the_prevalences():
    sampler = make(LongTailedCaseSampler)
    leads = Counter(sampler.lead(0, "train", i) for i in range(40_000))
    normal = leads.pop(NO_FINDING)
    assert normal / 40_000 == pytest.approx(CATALOG[NO_FINDING].prevalence, abs=0.01)
    prevalences = np.array([CATALOG[name].prevalence for name in SAMPLED])
    expected = prevalences / prevalences.sum() * leads.total()
    assert surprise([leads[name] for name in SAMPLED], expected) < 4


def test_long_tailed_findings_rank_like_the_prevalences_and_balanced_ones_do_not():
    prevalences = np.log([CATALOG[name].prevalence for name in SAMPLED])

    def slope(sampler):
        found = Counter(
            f.concept for case in draw(sampler, 6000, ("normal_rate", 0.12)) for f in case.findings
        )
        return np.polyfit(prevalences, np.log([found[name] + 1 for name in SAMPLED]), 1)[0]

    assert slope(LongTailedCaseSampler) > 0.7
    assert abs(slope(BalancedCaseSampler)) < 0.1


def test_no_concept_starves_in_the_balanced_sampler():
    found = Counter(f.concept for case in draw(BalancedCaseSampler, 6000) for f in case.findings)
    assert min(found[name] for name in SAMPLED) > 0.05 * 6000


def test_every_side_place_and_grade_of_every_concept_is_drawn():
    drawn = {
        (f.concept, f.laterality, f.location, f.severity)
        for c in draw(BalancedCaseSampler, 20_000)
        for f in c.findings
    }
    for concept in map(CATALOG.__getitem__, SAMPLED):
        for side in concept.lateralities or (None,):
            for place in concept.places(side) or (None,):
                for severity in concept.severities or (None,):
                    assert (concept.name, side, place, severity) in drawn


def test_number_of_findings_follows_its_distribution():
    numbers = Counter(
        len(c.findings) for c in draw(UniformCaseSampler, 6000, ("device_rate", 0.0), ("normal_rate", 0.0))
    )
    assert surprise([numbers[n] for n in (1, 2, 3, 4)], [2100, 2100, 1200, 600]) < 4


def test_normal_studies_hold_nothing_but_a_device():
    settings = (("normal_rate", 0.5), ("device_rate", 0.25))
    sampler = make(UniformCaseSampler, *settings)
    normal = [
        case
        for i, case in enumerate(draw(UniformCaseSampler, 4000, *settings))
        if sampler.lead(0, "train", i) == NO_FINDING
    ]
    assert all(is_device(f.concept) for case in normal for f in case.findings)
    assert np.mean([len(case.findings) for case in normal]) == pytest.approx(0.25, abs=0.04)
    assert all(case.labels(CATALOG)[CATALOG.index(NO_FINDING)] == 1 for case in normal)


def test_views_follow_the_rate_except_where_a_device_needs_one():
    drawn = draw(BalancedCaseSampler, 6000, ("ap_rate", 0.3))
    tubes = [c.view for c in drawn if any(f.concept == "endotracheal_tube" for f in c.findings)]
    others = [c.view for c in drawn if all(f.concept != "endotracheal_tube" for f in c.findings)]
    assert set(tubes) == {"AP"}
    assert np.mean([view == "AP" for view in others]) == pytest.approx(0.3, abs=0.03)


def test_certainty_follows_the_rate_and_devices_are_certain():
    findings = [f for c in draw(UniformCaseSampler, 6000, ("uncertain_rate", 0.25)) for f in c.findings]
    possible = [f.certainty == "possible" for f in findings if not is_device(f.concept)]
    assert np.mean(possible) == pytest.approx(0.25, abs=0.02)
    assert all(f.certainty == "definite" for f in findings if is_device(f.concept))


def test_number_and_choice_of_denials():
    drawn = draw(UniformCaseSampler, 6000, ("absent_mentions", 2.0))
    assert np.mean([len(case.absent) for case in drawn]) == pytest.approx(2.0, abs=0.08)
    denied = Counter(name for case in drawn for name in case.absent)
    assert set(denied) == set(CATALOG.names) - {NO_FINDING}
    assert denied["pneumothorax"] > 5 * denied["pacemaker"]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [((1.0, 1.0), [1, 1, 1]), ((1.0, 3.0), [1, 2, 3]), ((0.0, 1.0, 3.0), [0, 1, 3]), ((1.0,), [1, 1, 1])],
)
def test_severity_weights_tilt_the_grades(weights, expected):
    grades = Counter(
        f.severity
        for case in draw(UniformCaseSampler, 4000, ("severity_weights", weights))
        for f in case.findings
        if CATALOG[f.concept].severities == ("mild", "moderate", "severe")
    )
    observed = np.array([grades[grade] for grade in ("mild", "moderate", "severe")])
    assert observed / observed.sum() == pytest.approx(np.array(expected) / sum(expected), abs=0.03)


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


# -- settings


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_describe_is_json_and_tells_settings_apart(sampler):
    default = sampler().describe()
    assert json.loads(json.dumps(default)) == default
    assert default["class"] == sampler.__name__
    assert default["catalog_sha256"] == CATALOG.sha256
    changes = {
        "normal_rate": 0.2,
        "findings_per_case": [0.5, 0.5],
        "device_rate": 0.2,
        "absent_mentions": 1.0,
        "uncertain_rate": 0.3,
        "ap_rate": 0.1,
        "severity_weights": [1.0],
    }
    changes |= {"cap": 3} if sampler is BalancedCaseSampler else {}
    for name, value in changes.items():
        described = sampler(**{name: value}).describe()
        assert described == default | {name: value} != default


def test_a_catalogue_can_be_given(tmp_path):
    content = yaml.safe_load(DEFAULT_CATALOG.read_text())
    names = ["no_finding", "hernia", "scoliosis", "pacemaker", "support_devices"]
    content["concepts"] = {name: content["concepts"][name] for name in names}
    path = tmp_path / "few.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    for sampler in SAMPLERS:
        drawn = [sampler(catalog=path, absent_mentions=12.0).sample(0, "train", i) for i in range(60)]
        assert {f.concept for case in drawn for f in case.findings} == {"hernia", "scoliosis", "pacemaker"}
        assert (
            max(len(case.findings) for case in drawn) == 3
        )  # nothing more fits, however many were asked for
        assert sampler(catalog=path).describe()["catalog_sha256"] != CATALOG.sha256


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normal_rate": 1.0}, r"normal_rate=1\.0: must be from 0 to 1"),
        ({"normal_rate": -0.1}, r"normal_rate=-0\.1: must be from 0"),
        ({"device_rate": 1.5}, r"device_rate=1\.5: must be from 0 to 1; correct it"),
        ({"uncertain_rate": float("nan")}, "uncertain_rate=nan"),
        ({"ap_rate": 2}, "ap_rate=2"),
        ({"absent_mentions": 13}, "absent_mentions=13: must be from 0 to 12"),
        ({"findings_per_case": []}, r"findings_per_case=\[\]: must be numbers"),
        ({"findings_per_case": [0.5, 0.4]}, "findings_per_case.*the sum is 0.9, must be 1"),
        ({"findings_per_case": [1.5, -0.5]}, "findings_per_case.*must be numbers ≥ 0"),
        ({"severity_weights": [0, 0]}, r"severity_weights=\[0, 0\]: .* not all 0"),
        ({"cap": 0}, "cap=0: no concept could lead"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        BalancedCaseSampler(**settings)
