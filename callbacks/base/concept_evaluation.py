"""The base of evaluations that give every sample a score for every concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np

from callbacks.base.evaluation import Evaluation, require_non_negative
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.curve_pictures import roc_chart
from callbacks.statistics.concept_scores import ConceptTable, score_concepts
from callbacks.statistics.intervals import Array
from callbacks.statistics.strata import check_stratum, stratum_rows
from datamodules.batch import VIEWS, CountsLabels, data_facts

BOTH_VIEWS = "both_views"
FINDINGS = "findings"


class ConceptEvaluation(Evaluation):
    """Judges concept scores over all samples, within strata and over named subsets of concepts.

    A stratum takes a short cut away: findings can be told from the view alone where one view is taken of the
    sicker patients, so a figure over both views may measure the view.

    Three means are over other concepts than ``auroc_macro`` (of all concepts with enough samples):

    - ``auroc_macro_findings``: without devices and ``no_finding``, and concepts whose labels are the same in
      all samples (``pleural_other`` where thickening is its only form) count as one;
    - ``auroc_macro_both_views``, and the same after ``PA/`` and ``AP/``: of the concepts that have enough
      samples in each view, so that the three average the same classes;
    - ``<subset>/auroc_macro``: of a named list.

    The same for ``ap``.

    Args:
        name: The callback's name in metric names.
        min_count: A concept with fewer positives or fewer negatives is left out of all means, and named.
        strata: Views (PA, AP) or concepts: figures are given again within the samples of that view, or in
            which that concept is present, as ``<stratum>/auroc_macro`` and so on; ``+`` joins several
            (``pneumonia+PA``). Empty strata are skipped.
        subsets: Named lists of concepts with a mean of their own, ``<subset>/auroc_macro``.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If ``min_count`` is negative.
    """

    def __init__(
        self,
        name: str,
        min_count: int = 10,
        strata: Sequence[str] = VIEWS,
        subsets: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        require_non_negative(min_count=min_count)
        self.min_count, self.strata, self.subsets = min_count, tuple(strata), dict(subsets or {})

    def check(self, trainer: L.Trainer) -> None:
        """Refuse strata and subsets that the data do not have.

        Raises:
            ValueError: If there is one.
        """
        names = data_facts(trainer).concept_names
        for subset, concepts in self.subsets.items() if names else ():
            self._require_known(subset, concepts, names)
        for stratum in self.strata if names else ():
            check_stratum(stratum, names)

    def hindrance(self, trainer: L.Trainer, stage: str) -> str | None:
        """Return why no concept can be judged, as far as the labels are known before the samples are read."""
        facts = data_facts(trainer)
        if not facts.concept_names:
            return "the data have no labels"
        if not isinstance(facts, CountsLabels):
            return None
        positives, negatives = facts.most_labels(stage)
        least = max(1, self.min_count)
        if ((positives >= least) & (negatives >= least)).any():
            return None
        most = int(np.minimum(positives, negatives).max(initial=0))
        return f"no concept has {least} positives and {least} negatives (at most {most} of each)"

    def tables(
        self, scores: Array, features: Features, occasion: Occasion, logits: Array | None = None
    ) -> dict[str, ConceptTable]:
        """Score the concepts over all samples (under ``""``) and in each stratum (``"PA/"`` …).

        Args:
            scores: ``(n, concept)``, higher means more likely present.
            features: With labels, views and patients.
            occasion: With the concepts' names.
            logits: ``(n, concept)``, by which the class of a sample is chosen; None takes the scores.
        """
        labels, view = features.labels.double().numpy(), features.view.numpy()
        bootstrap, names = self.bootstrap(features.group.numpy(), occasion), occasion.concepts
        tables = {"": score_concepts(scores, labels, names, self.min_count, bootstrap, logits)}
        for stratum in self.strata:
            inside = stratum_rows(stratum, labels, view, names)
            if inside.any():
                masked = np.where(inside[:, None], labels, np.nan)
                tables[f"{stratum}/"] = score_concepts(
                    scores, masked, names, self.min_count, bootstrap, logits
                )
        return tables

    def result(self, tables: Mapping[str, ConceptTable], occasion: Occasion) -> Result:
        """Put tables into figures, details and draws.

        Raises:
            ValueError: If a subset names an unknown concept.
        """
        whole = tables[""]
        result = Result({}, {"min_count": self.min_count, **whole.counts()})
        for prefix, table in tables.items():
            result.metrics.update(table.metrics(prefix))
            result.draws.update(table.draws(prefix))
            for subset, concepts in self.subsets.items():
                self._require_known(subset, concepts, table.names)
                _add_mean(result, table, f"{prefix}{subset}/{{}}_macro", concepts)
            _add_mean(result, table, f"{prefix}{{}}_macro_{FINDINGS}", occasion.findings, once=True)
        views = [tables[f"{view}/"] for view in VIEWS if f"{view}/" in tables]
        if len(views) == len(VIEWS):
            both = [name for name in whole.judged if all(name in view.judged for view in views)]
            result.details[BOTH_VIEWS] = both
            for prefix in ("", *(f"{view}/" for view in VIEWS)):
                _add_mean(result, tables[prefix], f"{prefix}{{}}_macro_{BOTH_VIEWS}", both)
        result.details["strata"] = {
            prefix.rstrip("/"): table.counts() for prefix, table in tables.items() if prefix
        }
        result.details[FINDINGS] = whole.distinct(occasion.findings)
        return result

    def with_roc(self, result: Result, scores: Array, features: Features, occasion: Occasion) -> Result:
        """Add the chart of ROC curves to a final result, and return it."""
        if occasion.final:
            labels = features.labels.numpy()
            result.charts[f"{self.name}_roc"] = roc_chart(scores, labels, occasion.concepts, result.metrics)
        return result

    def _require_known(self, subset: str, concepts: Sequence[str], known: Sequence[str]) -> None:
        if unknown := sorted(set(concepts) - set(known)):
            raise ValueError(f"subset {subset!r} of {type(self).__name__} names {unknown}; known are {known}")


def _add_mean(
    result: Result, table: ConceptTable, name: str, concepts: Sequence[str] | None, once: bool = False
) -> None:
    """Add the mean of each measure over some concepts; ``{}`` in the name stands for the measure."""
    for measure in table.value:
        mean = table.macro(measure, concepts, once)
        if np.isnan(mean):
            continue
        result.metrics[name.format(measure)] = mean
        if table.resampled is not None:
            result.draws[name.format(measure)] = table.macro_resampled(measure, concepts, once)
