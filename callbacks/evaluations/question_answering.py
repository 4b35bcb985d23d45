"""Accuracy of answers to closed questions, beside what the words of the questions give away."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.pictures import COLOURS, GREY, blank_figure, tidy
from callbacks.statistics.logistic import folds_of
from datamodules.batch import ANSWER, IMAGE, INDEX, QUESTION, QUESTION_KIND, Batch, data_facts
from lightning_modules.evaluation_output import EvaluationOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question and what was answered.

    Attributes:
        text: The question.
        kind: What it asks for.
        answer: 1 for yes.
        score: Logit of yes.
        image: ``(height, width)``, kept for the first samples alone.
    """

    text: str
    kind: str
    answer: float
    score: float
    image: np.ndarray | None = None


class QuestionAnswering(BatchEvaluation[EvaluationOutput]):
    """Accuracy by kind of question, with a language prior.

    An answer is yes where its logit is above 0; no threshold is chosen. The prior answers each question as
    the same words were mostly answered for *other* patients (five folds by a hash of the patient; the kind's
    majority where the words are new), without an image: what a model has to beat (Goyal et al. 2017,
    arXiv:1612.00837).

    Figures: ``accuracy``, ``accuracy/<kind>``, ``language_prior``, ``language_prior/<kind>``, ``gain``
    (accuracy less prior) with a paired interval.

    Args:
        examples: How many of the first samples are kept for the picture.
        name: The callback's name in metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If a number is negative.
    """

    needs = frozenset({QUESTION})

    def __init__(
        self,
        examples: int = 18,
        name: str = "vqa",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        require_non_negative(examples=examples)
        self.examples = examples
        self._questions_sha256: str | None = None

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note which questions are asked."""
        super().on_validation_start(trainer, pl_module)
        self._questions_sha256 = data_facts(trainer).questions_sha256

    on_test_start = on_validation_start

    def measure(
        self, pl_module: L.LightningModule, batch: Batch, outputs: EvaluationOutput
    ) -> Sequence[AnsweredQuestion] | None:
        """Take the answers.

        Raises:
            TypeError: If the step returns none.
        """
        if QUESTION not in batch:
            return None
        if outputs.scores is None:
            raise TypeError(
                f"the evaluation step of {type(pl_module).__name__} returned no scores: QuestionAnswering is "
                "for models with a score a question, such as lightning_modules.VisualQuestionAnswering"
            )
        scores, answers = outputs.scores.tolist(), batch[ANSWER].tolist()
        index = batch[INDEX].tolist()
        return [
            AnsweredQuestion(
                text, kind, answers[row], scores[row],
                batch[IMAGE][row, 0].float().cpu().numpy() if index[row] < self.examples else None,
            )
            for row, (text, kind) in enumerate(zip(batch[QUESTION], batch[QUESTION_KIND], strict=True))
        ]  # fmt: skip

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Count right answers."""
        rows: list[AnsweredQuestion] | None = features.measured.get(self.name)
        if rows is None:
            return Result({}, {"note": "no questions in these data"})
        group, answer = features.group.numpy(), np.array([row.answer for row in rows])
        guesses = language_prior(rows, folds_of(group, 5))
        right = {
            "accuracy": (np.array([row.score > 0 for row in rows]) == answer).astype(float),
            "language_prior": np.where(guesses == 0.5, 0.5, guesses == answer),
        }
        kinds = np.array([row.kind for row in rows])
        values = dict(right) | {"gain": right["accuracy"] - right["language_prior"]}
        for kind in sorted(set(kinds.tolist())):
            values |= {f"{name}/{kind}": np.where(kinds == kind, v, np.nan) for name, v in right.items()}
        metrics = {name: float(np.nanmean(value)) for name, value in values.items()}
        details = {
            "questions": dict(Counter(kinds.tolist())),
            "yes": float(answer.mean()),
            "prompts_sha256": self._questions_sha256,
        }
        return Result(metrics, details, self.mean_draws(values, group, occasion))

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw accuracy by kind beside the prior, and the first images with question and answer."""
        rows: list[AnsweredQuestion] = features.measured[self.name]
        shown = [
            (row.image, row.text, row.answer > 0.5, row.score > 0) for row in rows if row.image is not None
        ]
        return {"vqa": answer_sheet(result.metrics, shown)}


def language_prior(rows: Sequence[AnsweredQuestion], fold: np.ndarray) -> np.ndarray:
    """Return each question's commonest answer in the other folds, ``(n,)``: 1, 0, or 0.5 for a tie.

    Args:
        rows: The questions.
        fold: Fold of each, ``(n,)``.
    """
    guesses = np.full(len(rows), 0.5)
    for k in np.unique(fold):
        votes: dict[str, list[float]] = defaultdict(list)
        for row, other in zip(rows, fold != k, strict=True):
            if other:
                votes[row.text.lower()].append(row.answer)
                votes[f"kind: {row.kind}"].append(row.answer)
        for i in np.flatnonzero(fold == k).tolist():
            seen = votes.get(rows[i].text.lower()) or votes.get(f"kind: {rows[i].kind}") or [0.5]
            guesses[i] = 0.5 * (1 + np.sign(np.mean(seen) - 0.5))
    return guesses


def answer_sheet(
    metrics: Mapping[str, float], shown: Sequence[tuple[np.ndarray, str, bool, bool]], columns: int = 6
) -> Figure:
    """Accuracy by kind of question beside the language prior; below it images with what was asked of them.

    Args:
        metrics: ``accuracy/<kind>`` and ``language_prior/<kind>``.
        shown: Image ``(height, width)``, question, right answer, and the answer given.
        columns: Images a row.
    """
    rows = -(-len(shown) // columns)
    figure = blank_figure(2.2 * columns, 2.6 + 2.6 * rows, "closed questions")
    grid = figure.add_gridspec(rows + 1, columns)
    bars = figure.add_subplot(grid[0, :])
    kinds = [name.removeprefix("accuracy/") for name in metrics if name.startswith("accuracy/")]
    place = np.arange(len(kinds))
    for i, measure in enumerate(("accuracy", "language_prior")):
        values = [metrics[f"{measure}/{kind}"] for kind in kinds]
        label = measure.replace("_", " ")
        bars.bar(place + 0.4 * i - 0.2, values, 0.38, color=COLOURS[1 - i], label=label)
    bars.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
    bars.set_xticks(place, kinds)
    bars.set_ylim(0, 1)
    bars.legend(fontsize=7, frameon=False)
    tidy(bars)
    for i, (image, question, answer, given) in enumerate(shown):
        axes = figure.add_subplot(grid[1 + i // columns, i % columns])
        axes.axis("off")
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        told = f"{'yes' if given else 'no'} ({'right' if given == answer else 'wrong'})"
        colour = "#1a7f37" if given == answer else "#b42318"
        axes.set_title("\n".join([*textwrap.wrap(question, 30), told]), fontsize=7, color=colour)
    return figure
