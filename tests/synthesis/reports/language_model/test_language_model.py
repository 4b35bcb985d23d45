"""The writer's logic with a model that says what it is told; the real models have tests of their own."""

from __future__ import annotations

import dataclasses
import pickle
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from synthesis.cases import BalancedCaseSampler, Case, Finding
from synthesis.concepts import ConceptCatalog
from synthesis.reports.grammar import GrammarWriter, vocabulary
from synthesis.reports.grammar.vocabulary import Vocabulary
from synthesis.reports.language_model import LanguageModelWriter, Outcome
from synthesis.reports.language_model.chat_model import ChatModel
from synthesis.reports.language_model.prompts import DEFAULT_PROMPTS, Prompts
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.reports.report import Report
from synthesis.seeding import pair_seed
from synthesis.strict_yaml import YamlError

CATALOG = ConceptCatalog.load()
FILES = sorted(DEFAULT_PROMPTS.parent.glob("*.yaml"))
EFFUSION = Case((Finding("pleural_effusion", "left", None, "small"),), ("pneumothorax",))


def cases(number, **settings):
    sampler = BalancedCaseSampler(**settings)
    return [sampler.sample(5, "llm", i) for i in range(number)]


def seeds(number):
    return [pair_seed(5, "llm", i) for i in range(number)]


def only_first(bad):
    """Say something bad when asked for the first time, whatever the seed."""
    said = Counter()

    def change(answer, seed):
        said[answer] += 1
        return bad(answer) if said[answer] == 1 else answer

    return change


def test_what_a_faithful_model_writes_is_taken_and_agrees_with_its_case(parrot):
    writer = LanguageModelWriter(parrot())
    asked = cases(40)
    reports = writer.write(asked, seeds(40))
    check = EntityCheck()
    assert all(check.disagreements(case, report) == [] for case, report in zip(asked, reports, strict=True))
    accepted = [Outcome(section, 1, "accepted") for section in ("findings", "impression")]
    assert writer.outcomes == dict.fromkeys(accepted, 40)
    assert {report.notes for report in reports} == {(*map(str, accepted), "written by the language model")}


def test_the_prompt_carries_every_concept_with_its_definition(parrot):
    model = parrot()
    (case,) = cases(30, absent_mentions=3)[7:8]
    assert case.findings and case.absent
    for path in FILES:
        LanguageModelWriter(model, path, attempts=1).write([case], [1])
        questions = " ".join(turns[-1]["content"] for turns, _ in model.asked)
        for name in [*(f.concept for f in case.findings), *case.absent]:
            assert CATALOG[name].definition in questions
            assert CATALOG[name].preferred_name in questions
        for finding in case.findings:
            assert finding.laterality is None or finding.laterality in questions
            assert finding.location is None or finding.location in questions
        model.asked.clear()


def test_the_impression_is_asked_from_the_findings_alone(parrot):
    model = parrot()
    report = LanguageModelWriter(model).write([EFFUSION], [3])[0]
    question = model.asked[-1][0][-1]["content"]
    assert report.findings in question
    assert CATALOG["pleural_effusion"].definition not in question


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda a: a.replace("left", "right"), "side"),
        (lambda a: a.replace("left ", ""), "side"),
        (lambda a: a.replace("small", "large"), "severity"),
        (lambda a: a.replace("is small", "is possible small"), "certainty"),
        (lambda a: a.replace("is small", "is no small"), "denied"),
        (lambda a: f"{a} There is a mass.", "extra"),
        (lambda a: a.replace("pleural effusion", "scoliosis"), "missing"),
        (lambda a: "", "empty"),
        (lambda a: a.removesuffix("."), "cut off"),
        (lambda a: f"{a} The trachea is midline.", "off topic"),
        (lambda a: f"{a} {a}", "repeated"),
        (lambda a: f"{a} IMPRESSION: {a}", "heading"),
        (lambda a: a.replace(".", " in this patient."), "forbidden words"),
        (lambda a: a.replace(".", " with bronzoid asthma."), "unknown words"),
    ],
)
def test_what_is_wrong_is_refused_by_reason_and_asked_for_again(parrot, bad, reason):
    change = only_first(lambda answer: bad(answer) if "effusion" in answer else answer)
    writer = LanguageModelWriter(parrot(change))
    report = writer.write([EFFUSION], [3])[0]
    assert f"findings, attempt 1: {reason}" in report.notes
    assert "findings, attempt 2: accepted" in report.notes
    assert report.findings == "There is small left pleural effusion. There is no pneumothorax."
    assert writer.outcomes[Outcome("findings", 1, reason)] == 1
    assert {str(outcome): n for outcome, n in writer.outcomes.items()} == Counter(report.notes[:-1])


def test_an_absence_that_is_not_denied_is_asked_for_again(parrot):
    change = only_first(lambda a: "There is no fracture." if "pneumothorax" in a else a)
    report = LanguageModelWriter(parrot(change)).write([EFFUSION], [3])[0]
    assert report.notes[0] == "findings, attempt 1: not denied"
    assert "no pneumothorax" in report.findings


def test_only_what_was_refused_is_asked_for_again_and_with_another_seed(parrot):
    model = parrot(only_first(lambda a: "" if "effusion" in a else a))
    LanguageModelWriter(model).write([EFFUSION], [3])
    questions = [turns[-1]["content"] for turns, _ in model.asked]
    counts = Counter(re.search(r"(Finding|Absent|FINDINGS): .*", q)[0] for q in questions)
    assert counts == {
        "Finding: small left pleural effusion": 2,
        "Absent: pneumothorax": 1,
        "FINDINGS: There is small left pleural effusion. There is no pneumothorax.": 1,
    }
    assert len({seed for _, seed in model.asked}) == len(model.asked)


def test_a_part_may_not_deny_what_another_part_states(parrot):
    change = only_first(lambda a: a.replace(".", " and no effusion.") if a.startswith("There is no") else a)
    report = LanguageModelWriter(parrot(change)).write([EFFUSION], [3])[0]
    assert report.notes[0] == "findings, attempt 1: denied"
    assert "no effusion" not in report.findings


def test_an_impression_that_hides_the_findings_is_refused(parrot):
    def hide(answer, seed):
        return hidden[answer]

    hidden = {"There is no pneumothorax.": "There is no pneumothorax."}
    hidden["There is small left pleural effusion."] = "There is a small effusion on the left."
    hidden["There is a small effusion on the left."] = "No pneumothorax."  # the parrot's impression
    report = LanguageModelWriter(parrot(hide), attempts=3).write([EFFUSION], [3])[0]
    assert report.dropped
    assert report.notes.count("findings, attempt 1: accepted") == 1
    assert [f"impression, attempt {k}: missing" in report.notes for k in (1, 2, 3)] == [True] * 3
    assert report.notes[-1] == "dropped: no impression in 3 attempts"


def test_drop_or_hand_over_is_a_choice(parrot):
    asked = cases(6)
    dropping = LanguageModelWriter(parrot(lambda a, s: "Hello."), attempts=2)
    handing = LanguageModelWriter(parrot(lambda a, s: "Hello."), attempts=2, fallback=GrammarWriter())
    for report in dropping.write(asked, seeds(6)):
        assert report.dropped and report.findings == report.impression == ""
        assert report.notes[-1] == "dropped: no findings in 2 attempts"
    by_grammar = GrammarWriter().write(asked, seeds(6))
    for report, expected in zip(handing.write(asked, seeds(6)), by_grammar, strict=True):
        assert dataclasses.replace(report, notes=()) == expected
        assert report.notes[-1] == "handed to GrammarWriter: no findings in 2 attempts"
    assert sum(outcome.attempt == 2 for outcome in handing.outcomes.elements()) >= 6
    assert dropping.describe() != handing.describe()


def test_a_report_does_not_depend_on_what_it_is_written_with(parrot):
    def moody(answer, seed):  # right or wrong as its seed says
        return answer if seed % 3 else f"{answer} There is a fracture."

    asked, numbers = cases(12), seeds(12)
    together = LanguageModelWriter(parrot(moody), attempts=2).write(asked, numbers)
    assert {report.dropped for report in together} == {True, False}
    for k in (11, 4, 0):
        assert LanguageModelWriter(parrot(moody), attempts=2).write([asked[k]], [numbers[k]]) == [together[k]]
    assert LanguageModelWriter(parrot(moody), attempts=2).write(asked, [s + 1 for s in numbers]) != together


def test_it_survives_pickling_and_counts_for_itself(parrot):
    writer = LanguageModelWriter(PickledParrot())
    reports = writer.write([EFFUSION], [3])
    copy = pickle.loads(pickle.dumps(writer))
    assert not copy.outcomes and writer.outcomes
    assert copy.write([EFFUSION], [3]) == reports
    assert isinstance(writer.model, ChatModel)


class PickledParrot:
    def complete(self, conversations, seeds):
        from tests.synthesis.reports.conftest import told

        return [told(turns[-1]["content"]) for turns in conversations]

    def describe(self):
        return {}


def test_the_fingerprint_follows_prompts_and_phrases(parrot, tmp_path: Path, monkeypatch):
    changed = tmp_path / "prompts.yaml"
    changed.write_text(DEFAULT_PROMPTS.read_text().replace("one short sentence", "one sentence"))
    described = [LanguageModelWriter(parrot(), path).describe() for path in (None, changed)]
    assert described[0]["prompts_sha256"] != described[1]["prompts_sha256"]
    assert described[0]["vocabulary_sha256"] == described[1]["vocabulary_sha256"]
    bank = tmp_path / "grammar.yaml"
    bank.write_text(
        vocabulary.DEFAULT_PHRASES.read_text().replace("lungs are clear", "lungs are unblemished")
    )
    with monkeypatch.context() as patched:
        patched.setattr(vocabulary, "DEFAULT_PHRASES", bank)
        other = LanguageModelWriter(parrot()).describe()
    assert described[0]["vocabulary_sha256"] != other["vocabulary_sha256"]
    assert described[0] != LanguageModelWriter(parrot(), examples=0).describe()
    assert described[0] != LanguageModelWriter(parrot(), attempts=1).describe()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_examples_shown_are_what_the_check_accepts(path):
    prompts = Prompts(path, CATALOG)
    content = yaml.safe_load(path.read_text())
    check, vocabulary = EntityCheck(), Vocabulary(CATALOG, prompts.allowed)
    for name, task in content["tasks"].items():
        assert len(task["examples"]) == len(prompts.tasks[name].examples) >= 3
        for example in task["examples"]:
            answer = example["answer"]
            assert not prompts.forbidden.search(answer) and not vocabulary.unknown(answer)
            if "text" not in example:
                findings = tuple(Finding(**finding) for finding in example.get("findings", ()))
                case = Case(findings, tuple(example.get("absent", ())))
                assert check.disagreements(case, Report(answer, "")) == [], example


def test_fewer_examples_can_be_shown():
    case = EFFUSION
    assert len(Prompts(None, CATALOG, examples=0).conversation("finding", case)) == 2
    assert len(Prompts(None, CATALOG, examples=2).conversation("finding", case)) == 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{text}", "{txet}", "txet"),
        ("concept: cardiomegaly", "concept: cardiomegalia", "cardiomegaly"),
        ("laterality: left, severity: small", "laterality: up, severity: small", "no laterality 'up'"),
        ("system: ", "sytem: ", "system: missing|key system"),
        ("- patient\n", '- "(patient"\n', "regular expression"),
        ("  denial:", "  denials:", "denial: missing"),
    ],
)
def test_a_wrong_prompts_file_is_named(tmp_path, old, new, message):
    path = tmp_path / "prompts.yaml"
    text = DEFAULT_PROMPTS.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(YamlError, match=message) as error:
        Prompts(path, CATALOG)
    assert str(path) in str(error.value)


def test_the_grammar_uses_no_unknown_words():
    vocabulary = Vocabulary(CATALOG)
    for report in GrammarWriter().write(cases(200), seeds(200)):
        assert vocabulary.unknown(report.text.replace("FINDINGS", "").replace("IMPRESSION", "")) == []
    assert vocabulary.unknown("Left pleural effusions with bronchiectasis.") == ["bronchiectasis"]


def test_less_than_one_attempt_is_refused(parrot):
    with pytest.raises(ValueError, match="attempts=0"):
        LanguageModelWriter(parrot(), attempts=0)
