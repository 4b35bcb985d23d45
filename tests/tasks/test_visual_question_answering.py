from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from callbacks import Features, Occasion, QuestionAnswering
from callbacks.evaluations.question_answering import AnsweredQuestion, language_prior
from datamodules.texts.question_writer import DEFAULT_QUESTIONS, QuestionWriter
from synthesis.cases import BalancedCaseSampler, Case, Finding
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
    normal = {writer.ask(Case(()), np.random.default_rng(i)) for i in range(500)}
    assert {q.kind for q in normal} == {"presence", "view", "normal"}
    assert all(q.answer == (q.kind == "normal" or q.text == "Is this a PA view?") for q in normal)


def test_yes_and_no_are_balanced_and_words_give_little_away() -> None:
    writer, sampler = QuestionWriter(), BalancedCaseSampler()
    cases = [sampler.sample(0, "train", i) for i in range(3000)]
    asked = [writer.ask(case, np.random.default_rng(i)) for i, case in enumerate(cases)]
    for kind in ("side", "severity", "view"):
        share = np.mean([question.answer for question in asked if question.kind == kind])
        assert share == pytest.approx(0.5, abs=0.06)
    assert min(Counter(question.kind for question in asked).values()) > 200


def test_a_broken_file_of_questions_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "questions.yaml"
    file.write_text(DEFAULT_QUESTIONS.read_text().replace("side:", "sides:"))
    with pytest.raises(YamlError, match="key side: missing"):
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
