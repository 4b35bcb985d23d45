"""Linear probe: what a linear classifier can read from frozen image features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from callbacks.base.concept_evaluation import ConceptEvaluation
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.drawing.pictures import COLOURS, GREY, blank_figure, tidy
from callbacks.statistics.concept_scores import ConceptTable, score_concepts
from callbacks.statistics.logistic import OutOfFold, folds_of, out_of_fold
from datamodules.batch import subset_of_patients

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LinearProbe(ConceptEvaluation):
    """Multi-label logistic regression on the pooled features, cross-validated over patients.

    Every sample is scored by a model fitted on other patients; AUROC and average precision are those of the
    pooled out-of-fold scores. Nothing is trained beforehand and nothing is kept: the fit is convex, so the
    figure is a function of features and labels alone. Extra feature sets of the `FeatureCollector` (see
    `ProbeFloors`) are probed in the same way, and the difference in mean AUROC gets an interval from the same
    resampled patients.

    Figures: ``auroc_macro``, ``ap_macro``, ``auroc/<concept>``, ``ap/<concept>``; ``<extra>/auroc_macro``,
    ``minus_<extra>`` (difference of mean AUROC; of a set that was drawn several times both are of the mean
    over draws, whose spread stands in the details); ``accuracy`` where each sample has exactly one of the
    labels; all again under ``<stratum>/``. Scores come from one probe of all samples, also within strata.

    With `fractions`, a final evaluation is repeated with fewer labels: each model is fitted on that share of
    the patients it could be fitted on, another draw a seed. ``<share>%/auroc_macro`` is the mean over the
    seeds, and so on; its interval is over patients, averaged over seeds, and the figures of the single seeds
    are in the details. A concept that a fit has seen no example of counts as guessed (0.5).

    Args:
        folds: Of the cross-validation, at least 2; a patient's fold is a hash of the patient.
        penalty: L2 strength, one over scikit-learn's ``C``. 30 was near the best for a random
            encoder and for pixels alike on 430 radiographs; AUROC changed by less than 0.01 from 10 to 100.
        components: Feature sets by name that are reduced to so many principal components (learnt on the
            fitting folds); by default the 2,304 pixels of `ProbeFloors` to 64.
        fractions: Shares of the labels, in (0, 1), to probe with besides all of them.
        fraction_seeds: Draws of each share, at least 1.
        name: The callback's name in metric names.
        **kwargs: Those of `ConceptEvaluation`.

    Raises:
        ValueError: If ``folds`` is under 2, ``penalty`` is not positive, a fraction is not in (0, 1), or
            there are no seeds.
    """

    def __init__(
        self,
        folds: int = 5,
        penalty: float = 30.0,
        components: Mapping[str, int] | None = None,
        fractions: Sequence[float] = (),
        fraction_seeds: int = 3,
        name: str = "probe",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        if folds < 2 or penalty <= 0:
            raise ValueError(f"folds={folds} must be at least 2 and penalty={penalty} above 0")
        if fraction_seeds < 1 or not all(0 < fraction < 1 for fraction in fractions):
            raise ValueError(
                f"fractions={list(fractions)} must be shares in (0, 1) and fraction_seeds={fraction_seeds} "
                "at least 1; all labels are always probed"
            )
        self.folds, self.penalty = folds, penalty
        self.fractions, self.fraction_seeds = tuple(fractions), fraction_seeds
        self.components = dict({"pixels": 64} if components is None else components)

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Probe the pooled features and every extra feature set."""
        if not occasion.concepts:
            return Result({}, {"note": "no labels: nothing to probe"})
        fold = folds_of(features.group.numpy(), self.folds)
        if len(set(fold)) < 2:
            return Result(
                {}, {"note": f"all {len(features)} samples are of patients in one fold: too few to probe"}
            )

        def probe(x: Tensor, components: int | None = None) -> tuple[dict[str, ConceptTable], OutOfFold]:
            scored = out_of_fold(x, features.labels, fold, self.penalty, components)
            return self.tables(scored.scores, features, occasion, scored.logits), scored

        tables, scored = probe(features.pooled)
        result = self.with_roc(self.result(tables, occasion), scored.scores, features, occasion)
        result.details.update(
            folds=self.folds, penalty=self.penalty, dim=features.pooled.shape[1], gradient=scored.gradient
        )
        for name, x in features.extra.items():
            draws = x.unbind(1) if x.ndim == 3 else (x,)
            floors = [probe(drawn, self.components.get(name))[0] for drawn in draws]
            for prefix, table in tables.items():
                _add_floor(result, name, prefix, table, [floor[prefix] for floor in floors])
        for fraction in self.fractions if occasion.final else ():
            self._add_fraction(result, fraction, fold, features, occasion)
        return result

    def pictures(self, features: Features, occasion: Occasion, result: Result) -> dict[str, Figure]:
        """Draw AUROC by share of the labels, if fewer were probed; `RunSummary` draws it by concept."""
        return {f"{self.name}_labels": label_curve(result)} if "fractions" in result.details else {}

    def _add_fraction(
        self, result: Result, fraction: float, fold: np.ndarray, features: Features, occasion: Occasion
    ) -> None:
        labels, group = features.labels.double().numpy(), features.group.numpy()
        bootstrap, tables = self.bootstrap(group, occasion), []
        for seed in range(self.fraction_seeds):
            choose = partial(chosen_rows, group, fraction, seed)
            scored = out_of_fold(features.pooled, features.labels, fold, self.penalty, choose=choose)
            tables.append(
                score_concepts(
                    scored.scores, labels, occasion.concepts, self.min_count, bootstrap, scored.logits
                )
            )
        patients = [
            len(np.unique(group[chosen_rows(group, fraction, 0, fold != k)])) for k in np.unique(fold)
        ]
        single = [table.metrics() for table in tables]
        share = f"{100 * fraction:g}%"
        result.metrics.update({f"{share}/{name}": mean_of(single, name) for name in single[0]})
        result.details.setdefault("fractions", {})[share] = {
            "auroc_macro": [figures.get("auroc_macro") for figures in single],
            "patients_labelled": patients,  # by fold
        }
        if bootstrap is not None:
            for measure in tables[0].value:
                drawn = np.mean([table.macro_resampled(measure) for table in tables], axis=0)
                result.draws[f"{share}/{measure}_macro"] = drawn
            if right := [table.right for table in tables if table.right is not None]:
                accuracy = bootstrap.macro_mean(np.mean(right, axis=0, keepdims=True))
                result.draws[f"{share}/accuracy"] = accuracy


def _add_floor(
    result: Result, name: str, prefix: str, table: ConceptTable, floors: Sequence[ConceptTable]
) -> None:
    """Add the figures of a floor, averaged over its draws, and the gain over it."""
    single, key = [floor.metrics(f"{prefix}{name}/") for floor in floors], f"{prefix}minus_{name}"
    if not single[0]:
        return
    result.metrics.update({figure: mean_of(single, figure) for figure in single[0]})
    result.metrics[key] = table.macro("auroc") - float(np.mean([floor.macro("auroc") for floor in floors]))
    drawn = [floor.draws(f"{prefix}{name}/") for floor in floors]
    result.draws.update({figure: np.mean([one[figure] for one in drawn], axis=0) for figure in drawn[0]})
    if table.bootstrap is not None:
        mean = np.mean([floor.macro_resampled("auroc") for floor in floors], axis=0)
        result.draws[key] = table.macro_resampled("auroc") - mean
    if len(floors) > 1 and not prefix:
        values = [floor.macro("auroc") for floor in floors]
        spread = {"auroc_macro": values, "standard_deviation": float(np.std(values, ddof=1))}
        result.details.setdefault("floors", {})[name] = spread


def chosen_rows(group: np.ndarray, fraction: float, seed: int, rows: np.ndarray) -> np.ndarray:
    """Find those of some samples that belong to a share of their patients, ``(n,)`` bool.

    See `datamodules.batch.subset_of_patients`.
    """
    chosen = np.zeros(len(group), bool)
    chosen[rows] = subset_of_patients(group[rows], fraction, seed)
    return chosen


def mean_of(figures: Sequence[Mapping[str, float]], name: str) -> float:
    """Return the mean of one figure over several sets of figures."""
    return float(np.mean([one[name] for one in figures]))


def label_curve(result: Result) -> Figure:
    """Mean AUROC by share of the labels, with intervals, beside the floors that all labels give.

    Args:
        result: Of `LinearProbe`.
    """
    figure = blank_figure(6.5, 4.4, "linear probe on frozen features")
    axes = figure.subplots()
    means = {float(share.rstrip("%")): f"{share}/auroc_macro" for share in result.details["fractions"]}
    means[100.0] = "auroc_macro"
    drawn = sorted((share, key) for share, key in means.items() if key in result.metrics)
    shares = [share for share, _ in drawn]
    axes.plot(shares, [result.metrics[key] for _, key in drawn], "o-", color=COLOURS[1], label="features")
    for share, key in drawn:
        if key in result.details["intervals"]:
            axes.vlines(share, *result.details["intervals"][key], color=COLOURS[1], linewidth=1)
    floors = [key.removeprefix("minus_") for key in result.metrics if key.startswith("minus_")]
    for floor, colour in zip(floors, COLOURS[2:], strict=False):
        height = result.metrics[f"{floor}/auroc_macro"]
        axes.axhline(height, color=colour, linewidth=1, linestyle=":", label=f"{floor}, all labels")
    axes.axhline(0.5, color=GREY, linewidth=1, linestyle="--", label="chance")
    axes.set(xscale="log", xlabel="% of the patients with labels", ylabel="mean AUROC")
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False)
    tidy(axes)
    return figure
