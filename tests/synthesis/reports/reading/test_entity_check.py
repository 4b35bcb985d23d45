"""What the grammar writes, the extraction reads back; and every planted error is caught."""

import random
import re
from dataclasses import replace
from functools import cache

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.cases import BalancedCaseSampler, Case, Finding, UniformCaseSampler
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.reports.grammar import DEFAULT_PHRASES, GrammarWriter
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.reports.report import Report

CATALOG = ConceptCatalog()
OTHER = {"left": "right", "right": "left"}


@cache
def tools():
    return GrammarWriter(), EntityExtractor(), EntityCheck()


@cache
def sampler(kind, absent, uncertain, device):
    return kind(
        absent_mentions=absent,
        uncertain_rate=uncertain,
        device_rate=device,
        findings_per_case=(0.2, 0.3, 0.3, 0.2),
    )


cases = st.builds(
    lambda kind, absent, uncertain, device, index: sampler(kind, absent, uncertain, device).sample(
        9, "p", index
    ),
    st.sampled_from([BalancedCaseSampler, UniformCaseSampler]),
    st.sampled_from([0, 3, 10]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.5]),
    st.integers(0, 10**6),
)
seeds = st.integers(0, 2**63 - 1)


def write(case, seed):
    return tools()[0].write([case], [seed])[0]


def reasons(case, report):
    return {(d.reason, d.concept) for d in tools()[2].disagreements(case, report)}


@settings(max_examples=400, deadline=None)
@given(cases, seeds)
def test_a_report_read_back_is_its_case(case, seed):
    report = write(case, seed)
    mentions = tools()[1].extract(report.findings)
    asserted = CATALOG.closure(
        m.concept for m in mentions if m.status != "absent" and m.concept != NO_FINDING
    )
    assert asserted == case.concepts(CATALOG) - {NO_FINDING}
    denied = {m.concept for m in mentions if m.status == "absent" and m.laterality in (None, "bilateral")}
    assert not denied & case.concepts(CATALOG)
    assert all(denied & CATALOG.closure([name]) for name in case.absent)
    for finding in case.findings:
        stated = [m for m in mentions if m.concept == finding.concept and m.status != "absent"]
        expected = "uncertain" if finding.certainty == "possible" else "present"
        assert {m.status for m in stated} == {expected}
        assert {m.laterality for m in stated} <= {finding.laterality, None}
        assert {m.severity for m in stated} <= {finding.severity, None}
        assert {m.location for m in stated} <= {finding.location, None}
    assert tools()[2].disagreements(case, report) == []


@settings(max_examples=150, deadline=None)
@given(cases, seeds)
def test_the_impression_says_nothing_outside_the_case(case, seed):
    mentions = tools()[1].extract(write(case, seed).impression)
    held = case.concepts(CATALOG)
    assert mentions
    for mention in mentions:
        assert (mention.concept in held) == (mention.status != "absent"), mention


# Planted errors. A report of one case is held against another case that differs in one thing.


def variants(finding):
    """Yield each case that differs from a finding in one thing, and the reason that must be given."""
    concept = CATALOG[finding.concept]
    if finding.laterality in OTHER:
        side = OTHER[finding.laterality]
        if side in concept.lateralities and (finding.location in (*concept.places(side), None)):
            yield replace(finding, laterality=side), "side"
    if finding.severity in concept.severities:
        # "Moderate" may go without saying; the ends of the scale never do.
        ends = {concept.severities[0], concept.severities[-1]}
        if finding.severity in ends and len(ends) == 2:
            yield replace(finding, severity=(ends - {finding.severity}).pop()), "severity"
    if not concept.is_device:
        other = "possible" if finding.certainty == "definite" else "definite"
        yield replace(finding, certainty=other), "certainty"


@settings(max_examples=200, deadline=None)
@given(cases, seeds)
def test_a_wrong_side_severity_or_certainty_is_caught(case, seed):
    for i, finding in enumerate(case.findings):
        for variant, reason in variants(finding):
            other = replace(case, findings=(*case.findings[:i], variant, *case.findings[i + 1 :]))
            assert (reason, finding.concept) in reasons(case, write(other, seed)), (finding, variant)


@settings(max_examples=200, deadline=None)
@given(cases, seeds)
def test_a_missing_and_an_extra_finding_are_caught(case, seed):
    report = write(case, seed)
    for i, finding in enumerate(case.findings):
        assert ("missing", finding.concept) in reasons(case, write(case.without(i), seed))
        kept = case.without(i)
        if finding.concept not in kept.concepts(CATALOG):
            assert any(reason == "extra" for reason, _ in reasons(kept, report))


@settings(max_examples=200, deadline=None)
@given(cases, seeds)
def test_a_lost_negation_is_caught(case, seed):
    report = write(case, seed)
    sentences = replace(report, impression="").sentences()
    for sentence in sentences:
        denied = {m.concept for m in tools()[1].extract(sentence) if m.status == "absent"}
        lost = re.sub(r"^No (evidence of |sign of )?", "There is ", sentence)
        if lost != sentence and denied and not re.search(r"acute (osseous|bony)", sentence):
            wrong = Report(report.findings.replace(sentence, lost), report.impression)
            assert any(reason == "extra" for reason, _ in reasons(case, wrong)), lost


@settings(max_examples=200, deadline=None)
@given(cases, seeds)
def test_a_denied_finding_is_caught(case, seed):
    report = write(case, seed)
    for finding in case.findings:
        name = CATALOG[finding.concept].preferred_name
        wrong = Report(f"{report.findings} There is no {name}.", report.impression)
        assert ("denied", finding.concept) in reasons(case, wrong)


@settings(max_examples=100, deadline=None)
@given(cases, seeds)
def test_an_absence_that_is_not_mentioned_is_caught(case, seed):
    report = write(replace(case, absent=()), seed)
    silent = [
        name
        for name in case.absent
        if not any(
            m.status == "absent"
            and m.concept in CATALOG.closure([name])
            and m.laterality in (None, "bilateral")
            for m in tools()[1].extract(report.findings)
        )
    ]
    assert {c for reason, c in reasons(case, report) if reason == "not denied"} == set(silent)


@pytest.mark.parametrize("concept", [c for c in CATALOG if c.name != NO_FINDING], ids=lambda c: c.name)
def test_an_extra_sentence_about_any_concept_is_caught(concept):
    case = Case((Finding("fracture", "left", "ribs", "mild"),))
    if concept.name == "fracture":
        case = Case((Finding("scoliosis", "left", "thoracic spine", "mild"),))
    report = write(case, 1)
    for wrong in (
        Report(f"{report.findings} There is {concept.preferred_name}.", report.impression),
        Report(report.findings, f"{report.impression} {concept.preferred_name.capitalize()}."),
    ):
        assert any(reason == "extra" for reason, _ in reasons(case, wrong)), wrong


def test_swapped_words_left_and_right_are_caught():
    rng, caught, total = random.Random(0), 0, 0
    for index in range(300):
        case = sampler(BalancedCaseSampler, 3, 0.1, 0.2).sample(1, "swap", index)
        report = write(case, rng.getrandbits(62))
        swapped = re.sub(
            r"\b(left|right)", lambda m: OTHER[m.group().lower()], report.findings, flags=re.IGNORECASE
        )
        if swapped != report.findings:  # "levoscoliosis" has neither word
            total += 1
            caught += any(
                reason in ("side", "denied")
                for reason, _ in reasons(case, Report(swapped, report.impression))
            )
    assert total > 100
    assert caught == total


def flip_sides(bank):
    for group in bank["slots"]["side"]:
        group["any"] = [OTHER[group["when"]["laterality"]]]


def understate(bank):
    for group in bank["slots"]["severity"]:
        if group["when"].get("severity") == "severe":
            group["any"] = ["mild"]


def call_all_lungs_clear(bank):
    bank["normals"]["lungs"]["lungs_clear"]["denies"] = ["hernia"]


SPOILS = {
    "sides flipped": (flip_sides, "side"),
    "severe called mild": (understate, "severity"),
    "denials without no": (lambda bank: bank["slots"].update(denial=["there is {list}"]), "extra"),
    "possible said as certain": (lambda bank: bank["slots"].update(possible_findings=["{np}"]), "certainty"),
    "lungs called clear that are not": (call_all_lungs_clear, "denied"),
    "a finding slipped in": (lambda b: b["slots"].update(opening=["PA view with a nodule"]), "extra"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_phrase_bank_that_lies_is_found_out(spoil, tmp_path):
    change, reason = SPOILS[spoil]
    bank = yaml.safe_load(DEFAULT_PHRASES.read_text())
    change(bank)
    path = tmp_path / "bank.yaml"
    path.write_text(yaml.safe_dump(bank, sort_keys=False, allow_unicode=True))
    liar = GrammarWriter(phrases=path)
    found = set()
    for index in range(100):
        case = sampler(BalancedCaseSampler, 3, 0.3, 0.0).sample(4, "lies", index)
        assert reasons(case, write(case, index)) == set()
        found |= {reason for reason, _ in reasons(case, liar.write([case], [index])[0])}
    assert reason in found


def test_a_disagreement_says_what_and_where():
    case = Case((Finding("pleural_effusion", "left", "base", "small"),), absent=("pneumothorax",))
    wrong = Report("Large right pleural effusion. Right apical pneumothorax.", "Pleural effusion.")
    found = tools()[2].disagreements(case, wrong)
    assert {(d.reason, d.concept) for d in found} == {
        ("side", "pleural_effusion"),
        ("severity", "pleural_effusion"),
        ("extra", "pneumothorax"),
        ("not denied", "pneumothorax"),
    }
    assert any("right" in d.detail and "left" in d.detail for d in found)


def test_normal_is_extra_where_something_is_found():
    case = Case((Finding("pleural_effusion", "left", "base", "small"),))
    wrong = Report("Small left pleural effusion.", "No acute cardiopulmonary abnormality.")
    assert reasons(case, wrong) == {("extra", NO_FINDING)}
