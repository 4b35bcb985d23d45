from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from synthesis.corruption import ClinicSynthesizer
from synthesis.filters import EntityAgreement, ReportLength, TemplateLeakage
from synthesis.pairs import Pair, PairFilter, PairSynthesizer
from synthesis.strict_yaml import YamlError
from tests.made_pairs import kinds, with_report

GOOD = "The lungs are clear. There is no pleural effusion (see above)."


@pytest.mark.parametrize("part", [EntityAgreement(), ReportLength(), TemplateLeakage()])
def test_reports_of_the_grammar_pass(part: PairFilter, pairs: list[Pair]) -> None:
    assert part.reject(pairs) == [None] * len(pairs)
    assert isinstance(part, PairFilter) and isinstance(part.describe(), dict)


def test_another_cases_report_is_refused(synthesizer: PairSynthesizer) -> None:
    clinic = ClinicSynthesizer(
        synthesizer.sampler, synthesizer.writer, synthesizer.image_maker, mispaired=1, corrupted=0
    )
    reasons = EntityAgreement().reject(clinic.make(range(40), 0, "train"))
    assert sum(reason is None for reason in reasons) <= 1
    assert set(kinds(reasons)) - {None} == {"report disagrees with case"}


@pytest.mark.parametrize(
    ("findings", "impression", "kind"),
    [
        ("", "", "empty report"),
        ("  ", "\n", "empty report"),
        ("Clear lungs.", "", "short report"),
        (" ".join(["word"] * 401) + ".", "", "long report"),
        (GOOD, "", None),
        (GOOD, "No acute", "report cut off"),
        ("There is a small left pleural", "Effusion.", "report cut off"),
    ],
)
def test_length(findings: str, impression: str, kind: str | None) -> None:
    assert kinds(ReportLength().reject([with_report(findings, impression)])) == [kind]


def test_length_is_configurable() -> None:
    pair = with_report("There is a small left pleural", "")
    assert ReportLength(ends=False).reject([pair]) == [None]
    assert kinds(ReportLength(ends=False, sections=True).reject([pair])) == ["empty section"]
    with pytest.raises(ValueError, match="least=9, most=3"):
        ReportLength(9, 3)


@pytest.mark.parametrize(
    "text",
    [
        "There is a [size] left pleural effusion.",
        "The {finding} is seen in the left lung.",
        "Compared to ___ the effusion is smaller.",
        "Sure, here is the report.",
        "As an AI language model I can say that the lungs are clear.",
        "**Findings** The lungs are clear.",
        "FINDINGS: The lungs are clear.",
        "Assistant: the lungs are clear.",
        "Write a report about a left effusion.",
        "<left> effusion is seen.",
    ],
)
def test_what_leaks_from_templates_is_refused(text: str) -> None:
    assert kinds(TemplateLeakage().reject([with_report(f"{GOOD} {text}")])) == ["template leaked"]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "The nodule measures 1.5 x 2 cm. Cardiothoracic ratio is > 0.5 and < 0.6.",
        "Here the costophrenic angle is blunted; findings are suggestive of effusion.",
        "Lines and tubes are as follows: endotracheal tube 3 cm above the carina.",
    ],
)
def test_what_radiologists_dictate_is_no_template(text: str) -> None:
    assert TemplateLeakage().reject([with_report(text, text)]) == [None]


def test_a_stretch_of_a_prompt_is_refused(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("A pleural effusion is excess fluid that accumulates in the pleural cavity, hence…")
    part = TemplateLeakage(templates=[prompt])
    copied = "Effusion is excess fluid that accumulates\nin the pleural cavity of the left side."
    assert kinds(part.reject([with_report(copied)])) == ["template leaked"]
    assert part.reject([with_report("A pleural effusion is excess fluid on the left.")]) == [None]
    assert TemplateLeakage(templates=[prompt], stretch=9).describe() != part.describe()
    assert TemplateLeakage().describe() != part.describe()


def test_mistakes_in_the_files_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("patterns: {open: '('}")
    with pytest.raises(YamlError, match=r"bad.yaml.*key open.*not a regular expression"):
        TemplateLeakage(bad)
    with pytest.raises(ValueError, match=r"gone.txt is no file"):
        TemplateLeakage(templates=[tmp_path / "gone.txt"])
    with pytest.raises(ValueError, match="stretch=1"):
        TemplateLeakage(stretch=1)


def test_a_negated_finding_is_found(pairs: list[Pair]) -> None:
    pair = next(p for p in pairs if any(f.concept == "pneumothorax" for f in p.case.findings))
    lying = replace(pair, report=replace(pair.report, findings="There is no pneumothorax. " + GOOD))
    (reason,) = EntityAgreement().reject([lying])
    assert reason is not None and reason.kind == "report disagrees with case"
