"""Class-level retrieval: are the reports retrieved for an image of its disease?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from callbacks.base.evaluation import Evaluation
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.pictures import COLOURS, GREY, INK, blank_figure, tidy
from callbacks.statistics.intervals import Array
from datamodules.batch import data_facts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHEXPERT_5 = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural_effusion")


class ClassRetrieval(Evaluation):
    """Precision@k of the class, image to report (``i2t``) and report to image (``t2i``).

    The protocol of CheXpert 5x200 (GLoRIA, Huang et al. 2021, doi:10.1109/ICCV48922.2021.00391): samples that
    have exactly one of five classes, equally many of each; the share of the k candidates most similar to a
    query that are of its class. A query's own partner is among them, as there. The first samples by index of
    each class are taken, as many as the rarest class has, at most `per_class`. There the other eight labels
    of CheXpert have to be absent as well: name them as ``others``.

    Figures: ``{i2t,t2i}_p@k``, means over queries; chance is one over the number of classes.

    Args:
        classes: Concepts that exclude each other here, at least two.
        others: Concepts of which a sample may have none either; unknown counts as none, as there. Not those
            that a class implies.
        per_class: Most samples of a class.
        at: The values of k; one over the number of samples of a class, where precision cannot be 1, is left
            out and named.
        name: The callback's name in metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If there are fewer than two classes, or ``per_class`` or a k is under 1.
    """

    def __init__(
        self,
        classes: Sequence[str] = CHEXPERT_5,
        others: Sequence[str] = (),
        per_class: int = 200,
        at: Sequence[int] = (5, 10, 100),
        name: str = "class_retrieval",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        if len(set(classes)) < 2 or per_class < 1 or min(at, default=0) < 1:
            raise ValueError(
                f"classes={list(classes)} must be two or more, per_class={per_class} and every k of "
                f"at={list(at)} at least 1"
            )
        self.classes, self.others = tuple(classes), tuple(others)
        self.per_class, self.at = per_class, tuple(at)

    def check(self, trainer: L.Trainer) -> None:
        """Refuse classes that the data do not have.

        Raises:
            ValueError: If there is one.
        """
        facts = data_facts(trainer)
        if facts.tokenizer is not None:
            self._require_known(facts.concept_names)

    def _require_known(self, known: Sequence[str]) -> None:
        if missing := sorted({*self.classes, *self.others} - set(known)):
            raise ValueError(f"ClassRetrieval: classes {missing} are not in the data: give some of {known}")

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Rank the chosen samples in both directions."""
        if features.text is None:
            return Result({}, {"note": "image-only data: no reports to retrieve"})
        self._require_known(occasion.concepts)
        rows, label = self._chosen(features, occasion.concepts)
        if not len(rows):
            return Result({}, {"note": f"some of {self.classes} has no sample without the others"})
        images, texts = features.image[rows].double(), features.text[rows].double()
        each = len(rows) // len(self.classes)
        at = [k for k in self.at if k <= each]
        precision: dict[str, Array] = {}
        for direction, queries, answers in (("i2t", images, texts), ("t2i", texts, images)):
            same = class_hits(queries, answers, label)
            precision |= {f"{direction}_p@{k}": same[:, :k].mean(1) for k in at}
        details = {
            "samples": len(rows),
            "per_class": each,
            "classes": list(self.classes),
            "chance": 1 / len(self.classes),
            "left_out": {f"p@{k}": f"only {each} samples of each class" for k in self.at if k > each},
        }
        metrics = {name: float(value.mean()) for name, value in precision.items()}
        return Result(metrics, details, self.mean_draws(precision, features.group.numpy()[rows], occasion))

    def _chosen(self, features: Features, concepts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows taken and the class of each."""
        labels = features.labels[:, [list(concepts).index(name) for name in self.classes]]
        alone = ((labels == 1).sum(1) == 1) & ((labels == 0).sum(1) == len(self.classes) - 1)
        others = features.labels[:, [list(concepts).index(name) for name in self.others]]
        alone &= ~(others == 1).any(1)
        kind = np.where(alone.numpy(), (labels == 1).int().argmax(1).numpy(), -1)
        each = [np.flatnonzero(kind == c) for c in range(len(self.classes))]
        size = min(self.per_class, *(len(rows) for rows in each))
        rows = np.sort(np.concatenate([rows[:size] for rows in each]))
        return rows, kind[rows]

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw precision over k by class in both directions."""
        assert features.text is not None
        rows, label = self._chosen(features, occasion.concepts)
        images, texts = features.image[rows].double(), features.text[rows].double()
        return {
            "class_retrieval": precision_curves(
                {
                    "image → report": class_hits(images, texts, label),
                    "report → image": class_hits(texts, images, label),
                },
                label,
                self.classes,
            )
        }


def class_hits(queries: Tensor, answers: Tensor, label: np.ndarray) -> np.ndarray:
    """Return whether the answers, most similar first, are of the query's class: ``(n, n)`` float.

    Ties go to the lower row, as a stable sort has it.

    Args:
        queries: ``(n, dim)``, L2-normalised.
        answers: ``(n, dim)``, L2-normalised.
        label: Class of each row of both, ``(n,)``.
    """
    order = torch.argsort(queries @ answers.T, dim=1, descending=True, stable=True).numpy()
    return (label[order] == label[:, None]).astype(float)


def precision_curves(hits: Mapping[str, np.ndarray], label: np.ndarray, classes: Sequence[str]) -> Figure:
    """Precision over k, a panel a direction, a curve a class, with chance.

    Args:
        hits: Direction → whether the k-th answer of a query is of its class, ``(n, n)``.
        label: Class of each query, ``(n,)``.
        classes: Their names.
    """
    figure = blank_figure(11, 3.8, "class-level retrieval")
    panels = figure.subplots(1, len(hits), squeeze=False, sharey=True)
    for axes, (direction, same) in zip(panels.flat, hits.items(), strict=True):
        k = np.arange(1, same.shape[1] + 1)
        precision = same.cumsum(1) / k
        for c, name in enumerate(classes):
            axes.plot(k, precision[label == c].mean(0), color=COLOURS[c % len(COLOURS)], label=name)
        axes.plot(k, precision.mean(0), color=INK, linewidth=2, label="all")
        axes.axhline(1 / len(classes), color=GREY, linestyle="--", linewidth=1)
        axes.set(xscale="log", ylim=(0, 1), title=direction, xlabel="k", ylabel="precision@k")
        tidy(axes)
    panels[0, 0].legend(fontsize=7, frameon=False)
    return figure
