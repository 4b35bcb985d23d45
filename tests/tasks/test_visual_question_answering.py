from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from callbacks import Features, Occasion, QuestionAnswering
from callbacks.evaluations.question_answering import AnsweredQuestion, language_prior
from datamodules.batch import QUESTION_TWIN
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers import Images, Questions
from datamodules.loading.sample import Sample
from datamodules.texts.question_writer import DEFAULT_QUESTIONS, QuestionWriter
from synthesis.cases import BalancedCaseSampler, Case, Finding
from synthesis.concepts import ConceptCatalog
from synthesis.counterparts import TwinKind, counterpart
from synthesis.pairs import PairSynthesizer
from synthesis.question_twins import QuestionTwinSynthesizer
from synthesis.strict_yaml import YamlError

TEST = Occasion("test", (), final=True)
EFFUSION = Case((Finding("pleural_effusion", "left", None, "large"),), view="AP")


def test_answers_are_what_the_case_says() -> None:
    writer = QuestionWriter()
    asked = {writer.ask(EFFUSION, np.random.default_rng(i)) for i in range(3000)}
    answers = {question.text: question.answer for question in asked}
    assert len(answers) == len(asked), "no question has two answers"
    assert answers["Is there evidence of pleural effusion?"]
    assert not answers["Is there evidence of pneumothorax?"]
    assert answers["Is the pleural effusion on the left?"]
    assert not answers["Is the pleural effusion on the right?"]
    assert answers["Is the pleural effusion large?"] and not answers["Is the pleural effusion small?"]
    assert answers["Is this an AP view?"] and not answers["Is this a PA view?"]
    assert not answers["Is this radiograph normal?"]
    assert not answers["Are there two or more findings?"]
    assert answers["Are there more findings on the left than on the right?"]
    assert not answers["Are there more findings on the right than on the left?"]
    normal = {writer.ask(Case(()), np.random.default_rng(i)) for i in range(500)}
    assert {q.kind for q in normal} == {"presence", "view", "normal", "count", "comparison"}
    assert all(q.answer == (q.kind == "normal" or q.text == "Is this a PA view?") for q in normal)


def test_yes_and_no_are_balanced_and_words_give_little_away() -> None:
    writer, sampler = QuestionWriter(), BalancedCaseSampler()
    cases = [sampler.sample(0, "train", i) for i in range(3000)]
    asked = [writer.ask(case, np.random.default_rng(i)) for i, case in enumerate(cases)]
    for kind in ("side", "severity", "view"):
        share = np.mean([question.answer for question in asked if question.kind == kind])
        assert share == pytest.approx(0.5, abs=0.06)
    assert min(Counter(question.kind for question in asked).values()) > 200


def test_findings_are_counted_and_compared(catalog: ConceptCatalog) -> None:
    same = f"Is the {catalog['mass'].preferred_name} on the same side as the pleural effusion?"

    def told(*findings: Finding) -> dict[str, bool]:
        case, writer = Case(findings), QuestionWriter()
        asked = [writer.ask(case, np.random.default_rng(i)) for i in range(1500)]
        return {q.text: q.answer for q in asked if q.kind in ("count", "comparison")}

    mass, tube = (
        Finding("mass", "left", "upper zone", "large"),
        Finding("endotracheal_tube", None, None, None),
    )
    effusion, edema = EFFUSION.findings[0], Finding("edema", "bilateral", None, "mild")
    two = told(mass, effusion, tube)
    assert two["Are there two or more findings?"] and not two["Are there three or more findings?"], (
        "a tube is none"
    )
    assert two[same]
    other = told(replace(mass, laterality="right"), effusion, edema)
    assert other["Are there three or more findings?"] and not other["Are there four or more findings?"]
    assert not other[same]
    assert not other["Are there more findings on the left than on the right?"], "edema counts for both"


def test_what_is_asked_of_two_cases_has_opposite_answers_and_words_give_nothing_away(
    catalog: ConceptCatalog,
) -> None:
    writer, sampler = QuestionWriter(), BalancedCaseSampler()
    kinds: tuple[TwinKind, ...] = ("without", "swap", "side")
    rows, fold = [], []
    for i in range(1200):
        case = sampler.sample(0, "train", i)
        found = counterpart(case, kinds[i % 3], np.random.default_rng(i), catalog)
        if found is None:
            continue
        question, opposite = (
            writer.ask_apart(*pair, np.random.default_rng(i)) for pair in ((case, found[1]), (found[1], case))
        )
        if question is None or opposite is None:  # what was dropped is implied by another finding
            assert question is opposite
            continue
        assert (question.text, question.kind) == (opposite.text, opposite.kind)
        assert question.answer != opposite.answer
        shown = (question, opposite)[i // 3 % 2]
        rows.append(AnsweredQuestion(shown.text, shown.kind, float(shown.answer), 0.0))
        fold.append(i % 5)
    assert {row.kind for row in rows} >= {"presence", "side", "count", "comparison"}
    assert len(rows) > 900
    guesses, answers = language_prior(rows, np.array(fold)), np.array([row.answer for row in rows])
    right = np.where(guesses == 0.5, 0.5, guesses == answers).mean()
    assert right < 0.5 + 4 * 0.5 / len(rows) ** 0.5, "words alone are right half the time"
    assert writer.ask_apart(EFFUSION, EFFUSION, np.random.default_rng(0)) is None


def test_the_twin_is_shown_every_other_time(catalog: ConceptCatalog) -> None:
    class Encoded:
        def encoded(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(len(texts), 2), torch.ones(len(texts), 2)

    def sample(case: Case, grey: int) -> Sample:
        image = torch.full((1, 4, 4), grey, dtype=torch.uint8)
        return Sample(image, torch.full((2,), float(grey)), 0, 0, case=case)

    healthy = sample(Case((), view="AP"), 255)
    pair = sample(EFFUSION, 0)
    pair.companions = {QUESTION_TWIN: healthy}
    alone = sample(EFFUSION, 0)
    enricher = Questions(QuestionWriter(), Encoded(), Images())  # type: ignore[arg-type]
    batch: Any = {"masks": [], "mask_concepts": []}
    enricher.enrich(batch, [pair, pair, pair, alone], Draws(0, [(0, 2), (1, 2), (1, 3), (0, 1)]))
    assert batch["image"][:, 0, 0, 0].tolist() == [0, 1, 0, 0]
    assert batch["labels"][:, 0].tolist() == [0, 255, 0, 0] and "masks" not in batch
    writer = QuestionWriter()
    shown = [EFFUSION, healthy.case, EFFUSION, EFFUSION]
    for text, answer, case in zip(batch["question"], batch["answer"].tolist(), shown, strict=True):
        assert case is not None
        told = {writer.ask(case, np.random.default_rng(i)) for i in range(1500)}
        assert (text, bool(answer)) in {(q.text, q.answer) for q in told}
    plain: Any = {"masks": []}
    enricher.enrich(plain, [alone], Draws(0, [(0, 1)]))
    assert "masks" in plain and "image" not in plain
    alone.case = None
    with pytest.raises(ValueError, match="whose cases are known"):
        enricher.enrich({}, [alone], Draws(0, [(0, 1)]))


def test_companions_for_questions_differ_and_do_not_depend_on_their_batch(
    synthesizer: PairSynthesizer,
) -> None:
    twins = QuestionTwinSynthesizer(synthesizer)
    numbers = list(range(8))
    pairs, made = synthesizer.make(numbers, 3, "test"), twins.make(numbers, 3, "test")
    for pair, twin in zip(pairs, made, strict=True):
        assert twin.index == pair.index
        differs = twin.case != pair.case
        assert differs == (not torch.equal(twin.image, pair.image)) or twin.case == pair.case
    again = twins.make([5, 2], 3, "test")
    assert [pair.case for pair in again] == [made[5].case, made[2].case]
    assert torch.equal(again[0].image, made[5].image)
    moved = [p.case.findings != t.case.findings for p, t in zip(pairs, made, strict=True)]
    assert sum(moved) >= 6


def test_a_broken_file_of_questions_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "questions.yaml"
    file.write_text(DEFAULT_QUESTIONS.read_text().replace("side:", "sides:"))
    with pytest.raises(YamlError, match="key side: missing"):
        QuestionWriter(questions=file)
    file.write_text(DEFAULT_QUESTIONS.read_text() + "colour:\n  - Is it {colour}?\n")
    with pytest.raises(YamlError, match="colour"):
        QuestionWriter(questions=file)


def test_the_prior_learns_from_other_patients_only() -> None:
    rows = [AnsweredQuestion("a?", "presence", float(i % 4 > 0), 1.0) for i in range(40)]
    rows += [AnsweredQuestion(f"only {i}?", "side", 0.0, 1.0) for i in range(20)]
    fold = np.arange(60) % 5
    guesses = language_prior(rows, fold)
    assert (guesses[:40] == 1).all() and (guesses[40:] == 0).all()  # new words: the kind's majority
    index, none = torch.arange(60), torch.zeros(60, 0)
    features = Features(
        torch.zeros(60, 1), torch.zeros(60, 1), index, None, none, index, index, measured={"vqa": rows}
    )
    result = QuestionAnswering(resamples=30).evaluate(features, TEST)
    assert result.metrics["accuracy/presence"] == result.metrics["language_prior/presence"] == 0.75
    assert result.metrics["accuracy/side"] == 0 and result.metrics["language_prior/side"] == 1
    assert result.metrics["gain"] == pytest.approx(-1 / 3)
    assert result.draws.keys() == result.metrics.keys()


def test_the_command_line_answers_questions(
    train: Callable[..., Any], weights: str, pretrained: Path
) -> None:
    summary, directory = train("vqa", weights, "--trainer.max_epochs=1")
    assert 0 <= summary["val/vqa/accuracy"] <= 1 and 0 <= summary["val/vqa/language_prior/presence"] <= 1
    details = summary["details"]["val/vqa"]
    assert sum(details["questions"].values()) == details["n"] == 48
    assert len(details["prompts_sha256"]) == 64 and details["intervals"]["gain"]
    assert (directory / "pictures" / "val_vqa.png").stat().st_size > 10_000
    saved = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    before = torch.load(pretrained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    moved = {k for k in saved if k in before and not torch.equal(saved[k], before[k])}
    assert any(k.startswith("text_encoder.bert") for k in moved)
    assert any(k.startswith("image_encoder.vit") for k in moved)
    gap = max(float((saved[k] - before[k]).abs().max()) for k in moved)
    assert gap < 0.01, "both towers began where pre-training ended"
