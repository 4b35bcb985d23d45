"""Scores against labels, concept by concept: the figures that every classifier-like evaluation reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from callbacks.statistics.intervals import Array, PatientBootstrap, Ranking

Measure = Literal["auroc", "ap"]


@dataclass(frozen=True)
class ConceptTable:
    """AUROC and average precision of each concept over one set of samples.

    Attributes:
        names: Concepts, in label order.
        labelled: Samples of which any concept is known.
        positives: Samples in which each is present, ``(concept,)``.
        negatives: Samples in which it is absent, ``(concept,)``.
        value: Measure → ``(concept,)``; NaN for the concepts left out.
        resampled: Measure → ``(resamples, concept)``; None without a bootstrap.
        bootstrap: What drew them.
        right: Where each sample has exactly one of the labels: whether its highest score is that one's,
            ``(n,)`` of 1, 0 and NaN (not labelled, or not in the stratum). None for other data.
        frequent: Where ``right`` is there: whether the sample is of the most frequent class, so what always
            guessing that one would give, ``(n,)`` of 1, 0 and NaN.
        same: A number for each concept, equal for concepts whose labels are the same in every sample,
            ``(concept,)``; None where all count by themselves.
    """

    names: tuple[str, ...]
    labelled: int
    positives: np.ndarray
    negatives: np.ndarray
    value: Mapping[Measure, Array]
    resampled: Mapping[Measure, Array] | None = None
    bootstrap: PatientBootstrap | None = None
    right: Array | None = None
    frequent: Array | None = None
    same: np.ndarray | None = None

    @property
    def left_out(self) -> dict[str, str]:
        """Concepts with too few positives or negatives to be judged, and their counts."""
        return {
            name: f"{self.positives[i]} positive, {self.negatives[i]} negative"
            for i, name in enumerate(self.names)
            if np.isnan(self.value["auroc"][i])
        }

    @property
    def judged(self) -> tuple[str, ...]:
        """The concepts that have figures, and that means are taken over."""
        return tuple(self.names[i] for i in self._columns(None))

    def macro(self, measure: Measure, concepts: Sequence[str] | None = None, once: bool = False) -> float:
        """Return the mean over the concepts that are judged (of ``concepts``, or all); NaN if none is.

        Args:
            measure: Of what.
            concepts: Names; None for all.
            once: Whether concepts whose labels are the same count as one.
        """
        return float(self._macro(self.value[measure], concepts, once))

    def macro_resampled(
        self, measure: Measure, concepts: Sequence[str] | None = None, once: bool = False
    ) -> Array:
        """Return the same in each resample, ``(resamples,)``.

        Raises:
            ValueError: If the table was made without a bootstrap.
        """
        if self.resampled is None:
            raise ValueError("this table was made without a bootstrap: score it with one to get resamples")
        return np.asarray(self._macro(self.resampled[measure], concepts, once))

    def _macro(self, values: Array, concepts: Sequence[str] | None, once: bool) -> Any:
        columns = self._columns(concepts)
        if not once or self.same is None:
            return _mean(values, columns)
        groups = [columns[self.same[columns] == number] for number in np.unique(self.same[columns])]
        means = [_mean(values, group) for group in groups]
        stacked = np.stack(means, -1) if means else np.empty((*values.shape[:-1], 0))
        return _mean(stacked, np.arange(stacked.shape[-1]))

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """``{prefix}{auroc,ap}_macro`` and ``{prefix}{auroc,ap}/<concept>``, without those left out.

        And ``{prefix}accuracy`` and ``{prefix}majority``, that of always guessing the most frequent class,
        where each sample has exactly one of the labels.
        """
        figures = {f"{prefix}{name}": float(np.nanmean(shares)) for name, shares in self._shares().items()}
        for measure in self.value:
            figures[f"{prefix}{measure}_macro"] = self.macro(measure)
            for name, value in zip(self.names, self.value[measure], strict=True):
                figures[f"{prefix}{measure}/{name}"] = float(value)
        return {name: value for name, value in figures.items() if not np.isnan(value)}

    def draws(self, prefix: str = "") -> dict[str, Array]:
        """Return the figures of each resample, ``(resamples,)``, under the names of `metrics`.

        Empty without a bootstrap.
        """
        if self.resampled is None or self.bootstrap is None:
            return {}
        figures: dict[str, Array] = {}
        for name, shares in self._shares().items():
            figures[f"{prefix}{name}"] = self.bootstrap.macro_mean(shares[None])
        for measure, samples in self.resampled.items():
            figures[f"{prefix}{measure}_macro"] = self.macro_resampled(measure)
            for name, column in zip(self.names, samples.T, strict=True):
                figures[f"{prefix}{measure}/{name}"] = column
        return {name: drawn for name, drawn in figures.items() if not np.isnan(drawn).all()}

    def _shares(self) -> dict[str, Array]:
        found = {"accuracy": self.right, "majority": self.frequent}
        return {name: shares for name, shares in found.items() if shares is not None}

    def distinct(self, concepts: Sequence[str] | None = None) -> list[list[str]]:
        """List the judged concepts (of ``concepts``, or all), together where their labels are the same."""
        columns = self._columns(concepts)
        same = np.arange(len(self.names)) if self.same is None else self.same
        groups: dict[int, list[str]] = {}
        for column in columns:
            groups.setdefault(int(same[column]), []).append(self.names[column])
        return list(groups.values())

    def counts(self) -> dict[str, Any]:
        """Labelled samples, positives and negatives by concept, and concepts left out: ready for JSON."""
        return {
            "labelled": self.labelled,
            "positives": {name: int(n) for name, n in zip(self.names, self.positives, strict=True)},
            "negatives": {name: int(n) for name, n in zip(self.names, self.negatives, strict=True)},
            "absent_classes": self.left_out,
        }

    def _columns(self, concepts: Sequence[str] | None) -> np.ndarray:
        judged = ~np.isnan(self.value["auroc"])
        return np.flatnonzero(judged & np.isin(self.names, self.names if concepts is None else concepts))


def _mean(values: Array, columns: np.ndarray) -> Any:
    """Mean of some last-axis columns, less NaN (a class may vanish from a resample); NaN if none is left."""
    chosen = values[..., columns]
    known = ~np.isnan(chosen)
    with np.errstate(invalid="ignore"):
        return np.where(known, chosen, 0).sum(-1) / known.sum(-1)


def score_concepts(
    scores: Array,
    labels: Array,
    names: Sequence[str],
    min_count: int = 10,
    bootstrap: PatientBootstrap | None = None,
    logits: Array | None = None,
) -> ConceptTable:
    """Judge scores by labels.

    Args:
        scores: ``(n, concept)``, higher means more likely present.
        labels: ``(n, concept)`` of 1, 0 and NaN (unknown, or not in the stratum at hand).
        names: Concepts, in column order.
        min_count: A concept with fewer positives or fewer negatives is left out and named: its figure would
            be noise, and counting it as 0 (as some libraries do) drags every mean down.
        bootstrap: Draws the resamples for intervals; None for none.
        logits: ``(n, concept)``, by which the class of a sample is chosen; None takes the scores.
    """
    positives, negatives = (labels == 1).sum(0), (labels == 0).sum(0)
    judged = np.flatnonzero((positives >= max(1, min_count)) & (negatives >= max(1, min_count)))
    rankings = {int(i): Ranking(scores[:, i], labels[:, i]) for i in judged}
    resampled = None
    if bootstrap is not None:
        blocks = [_measure(rankings, weights, len(names)) for weights in bootstrap.weights()]
        resampled = {measure: np.concatenate([block[measure] for block in blocks]) for measure in blocks[0]}
    once = _measure(rankings, np.ones((len(scores), 1)), len(names))
    value = {measure: rows[0] for measure, rows in once.items()}
    labelled = int((~np.isnan(labels)).any(1).sum())
    right = right_class(scores if logits is None else logits, labels)
    frequent = None if right is None else right_class(np.broadcast_to(positives, labels.shape), labels)
    return ConceptTable(
        tuple(names), labelled, positives, negatives, value, resampled, bootstrap, right, frequent,
        same_labels(labels),
    )  # fmt: skip


def same_labels(labels: Array) -> np.ndarray:
    """Number the concepts so that those whose labels are the same in every sample have one number.

    Where one concept of the data set is the only form of another that occurs, both columns are one question.

    Args:
        labels: ``(n, concept)`` of 1, 0 and NaN.

    Returns:
        ``(concept,)`` int.
    """
    _, number = np.unique(np.nan_to_num(labels, nan=-1).T, axis=0, return_inverse=True)
    return np.asarray(number).reshape(-1)


def right_class(scores: Array, labels: Array) -> Array | None:
    """Return whether each sample's highest score is that of its class, or None if the labels are not classes.

    Args:
        scores: ``(n, concept)``; compared among the concepts of which any sample's label is known.
        labels: ``(n, concept)`` of 1, 0 and NaN. They are classes if every sample with a label has all of
            them, and exactly one of two or more is 1.

    Returns:
        ``(n,)`` of 1, 0 and NaN (no label).
    """
    known = ~np.isnan(labels)
    rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    classes = labels[np.ix_(rows, columns)]
    if len(columns) < 2 or not (np.isfinite(classes).all() and (classes.sum(1) == 1).all()):
        return None
    right = np.full(len(labels), np.nan)
    best = scores[np.ix_(rows, columns)].argmax(1)
    right[rows] = best == classes.argmax(1)
    return right


def _measure(rankings: Mapping[int, Ranking], weights: Array, concepts: int) -> dict[Measure, Array]:
    """Both measures under each column of ``weights``, ``(resamples, concept)``; NaN without a ranking."""
    out: dict[Measure, Array] = {
        name: np.full((weights.shape[1], concepts), np.nan) for name in ("auroc", "ap")
    }
    for i, ranking in rankings.items():
        out["auroc"][:, i] = ranking.auroc(weights)
        out["ap"][:, i] = ranking.average_precision(weights)
    return out
