"""The base of evaluations that give every sample a score for every concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from callbacks.base.evaluation import Evaluation, Occasion, Result, require_non_negative
from callbacks.base.features import Features
from callbacks.statistics.concept_scores import ConceptTable, score_concepts, stratum_rows
from callbacks.statistics.intervals import Array


class ConceptEvaluation(Evaluation):
    """Judges concept scores over all samples, within strata and over named subsets of concepts.

    A stratum takes a short cut away: findings can be told from the view alone where one view is taken of the
    sicker patients, so a figure over both views may measure the view.

    Args:
        name: The callback's part of the metric names.
        min_count: A concept with fewer positives or fewer negatives is left out of all means, and named.
        strata: Views (PA, AP) or concepts: figures are given again within the samples of that view, or in
            which that concept is present, as ``<stratum>/auroc_macro`` and so on. Empty strata are skipped.
        subsets: Named lists of concepts with a mean of their own, ``<subset>/auroc_macro``.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If ``min_count`` is negative.
    """

    def __init__(
        self,
        name: str,
        min_count: int = 10,
        strata: Sequence[str] = ("PA", "AP"),
        subsets: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        require_non_negative(min_count=min_count)
        self.min_count, self.strata, self.subsets = min_count, tuple(strata), dict(subsets or {})

    def tables(self, scores: Array, features: Features, occasion: Occasion) -> dict[str, ConceptTable]:
        """Scores the concepts over all samples (under ``""``) and in each stratum (``"PA/"`` …)."""
        labels, view = features.labels.double().numpy(), features.view.numpy()
        bootstrap, names = self.bootstrap(features.group.numpy(), occasion), occasion.concepts
        tables = {"": score_concepts(scores, labels, names, self.min_count, bootstrap)}
        for stratum in self.strata:
            inside = stratum_rows(stratum, labels, view, names)
            if inside.any():
                masked = np.where(inside[:, None], labels, np.nan)
                tables[f"{stratum}/"] = score_concepts(scores, masked, names, self.min_count, bootstrap)
        return tables

    def result(self, tables: Mapping[str, ConceptTable]) -> Result:
        """Puts tables into figures and details.

        Raises:
            ValueError: If a subset names an unknown concept.
        """
        metrics: dict[str, float] = {}
        intervals: dict[str, list[float]] = {}
        for prefix, table in tables.items():
            metrics |= table.metrics(prefix) | self._subset_metrics(prefix, table)
            intervals |= table.intervals(prefix) | self._subset_intervals(prefix, table)
        details: dict[str, Any] = {"intervals": intervals, "min_count": self.min_count, **tables[""].counts()}
        details["strata"] = {prefix.rstrip("/"): table.counts() for prefix, table in tables.items() if prefix}
        return Result(metrics, details)

    def _subset_metrics(self, prefix: str, table: ConceptTable) -> dict[str, float]:
        for subset, concepts in self.subsets.items():
            if unknown := sorted(set(concepts) - set(table.names)):
                raise ValueError(
                    f"subset {subset!r} of {type(self).__name__} names {unknown}; known: {table.names}"
                )
        figures = {
            f"{prefix}{subset}/{measure}_macro": table.macro(measure, concepts)
            for subset, concepts in self.subsets.items()
            for measure in table.value
        }
        return {name: value for name, value in figures.items() if not np.isnan(value)}

    def _subset_intervals(self, prefix: str, table: ConceptTable) -> dict[str, list[float]]:
        if table.bootstrap is None:
            return {}
        return {
            f"{prefix}{subset}/{measure}_macro": table.bootstrap.interval(
                table.macro_resampled(measure, concepts)
            )
            for subset, concepts in self.subsets.items()
            for measure in table.value
            if not np.isnan(table.macro(measure, concepts))
        }
