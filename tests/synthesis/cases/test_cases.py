"""Every case is pure in its index, and drawn as often as the sampler promises."""

import json
import pickle
from collections import Counter

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.cases import (
    BalancedCaseSampler,
    LongTailedCaseSampler,
    UniformCaseSampler,
)
from synthesis.concepts import DEFAULT_CATALOG, NO_FINDING
from synthesis.identity import identity
from tests.drawn_cases import CATALOG, SAMPLED, SAMPLERS, draw, indices, is_device, make, seeds


def surprise(observed, expected):
    """Pearson's statistic, in standard deviations above its mean under the expected counts."""
    observed, expected = np.asarray(observed), np.asarray(expected)
    freedom = len(observed) - 1
    return (((observed - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


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


# -- settings


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_describe_is_json_and_tells_settings_apart(sampler):
    default = sampler().describe()
    assert json.loads(json.dumps(default)) == default
    assert identity(sampler())["name"] == sampler.__name__
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
        ({"normal_rate": 1.0}, r"normal_rate=1\.0"),
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
