"""How far generated reports agree with true ones: entities, conditions, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from callbacks.statistics.intervals import Array, PatientBootstrap
from lightning_modules.chexbert_labeler import CONDITIONS, FIVE

_CONDITION_SETS = {
    "chexbert_f1_14": list(range(len(CONDITIONS))),
    "chexbert_f1_5": [CONDITIONS.index(name) for name in FIVE],
}


def nearest_patient(pooled: np.ndarray, group: np.ndarray, chunk: int = 512) -> np.ndarray | None:
    """Return for each sample which sample of another patient is most like it by cosine, the first of equals.

    Args:
        pooled: ``(n, dim)``.
        group: Patient of each sample, ``(n,)``.
        chunk: Samples compared at a time: memory is ``chunk * n``.

    Returns:
        ``(n,)`` int64; None where there is one patient alone.
    """
    if len(np.unique(group)) < 2:
        return None
    length = np.linalg.norm(pooled, axis=1, keepdims=True)
    unit = pooled / np.maximum(length, 1e-12)
    found = []
    for start in range(0, len(unit), chunk):
        alike = unit[start : start + chunk] @ unit.T
        alike[group[start : start + chunk, None] == group[None]] = -np.inf
        found.append(alike.argmax(1))
    return np.concatenate(found)


def entity_scores(said: np.ndarray, held: np.ndarray, judged: Mapping[int, str]) -> dict[str, float]:
    """Return the entities' F1 (pooled, mean over concepts, by concept), precision and recall.

    Args:
        said: ``(report, concept)`` bool, asserted by the generated report.
        held: … by the true one.
        judged: Column → name of the concepts that have a figure of their own, which the mean is over.
    """
    both, by_concept = said & held, f1(said & held, said, held, axis=0)
    scored = {name: float(by_concept[column]) for column, name in judged.items()}
    return {
        "entity_f1": float(f1(both, said, held)),
        "entity_precision": float(both.sum() / max(1, said.sum())),
        "entity_recall": float(both.sum() / max(1, held.sum())),
        **({"entity_f1_macro": float(np.mean(list(scored.values())))} if scored else {}),
        **{f"entity_f1/{name}": value for name, value in scored.items()},
    }


def entity_draws(
    said: np.ndarray, held: np.ndarray, judged: Sequence[int], bootstrap: PatientBootstrap
) -> dict[str, Array]:
    """Draw the entities' F1 (pooled, and mean over concepts), precision and recall, ``(resamples,)`` each.

    Args:
        said: ``(report, concept)`` bool, asserted by the generated report.
        held: … by the true one.
        judged: Columns of the concepts that the mean is over.
        bootstrap: Over the patients of the reports.
    """
    # Counts a report; in a resample they are weighted sums.
    table = np.stack([said & held, said, held]).astype(float)
    blocks = [np.einsum("trc,rk->tkc", table, weights) for weights in bootstrap.weights()]
    both, told, true = np.concatenate(blocks, axis=1)
    sums = [part.sum(1) for part in (both, told, true)]
    resampled = {
        "entity_f1": 2 * sums[0] / np.maximum(1, sums[1] + sums[2]),
        "entity_precision": sums[0] / np.maximum(1, sums[1]),
        "entity_recall": sums[0] / np.maximum(1, sums[2]),
    }
    if len(judged):
        total = (told + true)[:, list(judged)]
        by_concept = np.where(total > 0, 2 * both[:, list(judged)] / np.maximum(1, total), np.nan)
        resampled["entity_f1_macro"] = np.nanmean(by_concept, 1)
    return resampled


def chexbert_f1(said: np.ndarray, held: np.ndarray) -> dict[str, float]:
    """Return F1 over CheXbert's fourteen conditions and over five of them, pooled and as a mean.

    Args:
        said: ``(report, 14)`` bool, asserted by the generated report.
        held: … by the true one. Means are over the conditions that some true report asserts.
    """
    figures = {}
    for name, columns in _CONDITION_SETS.items():
        told, true = said[:, columns], held[:, columns]
        figures[name] = float(f1(told & true, told, true))
        if true.any():
            scores = f1(told & true, told, true, axis=0)[true.any(0)]
            figures[f"{name}_macro"] = float(scores.mean())
    return figures


def chexbert_draws(said: np.ndarray, held: np.ndarray, bootstrap: PatientBootstrap) -> dict[str, Array]:
    """Draw the figures of `chexbert_f1`, ``(resamples,)`` each."""
    draws = {}
    for name, columns in _CONDITION_SETS.items():
        told, true = said[:, columns], held[:, columns]
        drawn = entity_draws(told, true, np.flatnonzero(true.any(0)).tolist(), bootstrap)
        draws[name] = drawn["entity_f1"]
        if "entity_f1_macro" in drawn:
            draws[f"{name}_macro"] = drawn["entity_f1_macro"]
    return draws


def f1(both: np.ndarray, said: np.ndarray, held: np.ndarray, axis: int | None = None) -> Array:
    """F1 of entities: twice those in both texts over those in either, counted twice where in both.

    Args:
        both: ``(report, concept)`` bool, asserted by both.
        said: … by the generated report.
        held: … by the true one.
        axis: Pool over this axis; None over all.
    """
    total = said.sum(axis) + held.sum(axis)
    return np.asarray(2 * both.sum(axis) / np.maximum(1, total), float)


def corpus_bleu(written: Sequence[str], true: Sequence[str]) -> float:
    """BLEU-4 of the corpus."""
    from torchmetrics.functional.text import bleu_score

    return float(bleu_score(list(written), [[text] for text in true]))


def rouge_l(written: Sequence[str], true: Sequence[str]) -> Array:
    """ROUGE-L (F) of each report, ``(n,)``."""
    from torchmetrics.functional.text import rouge_score

    scores = [rouge_score(*pair, rouge_keys="rougeL") for pair in zip(written, true, strict=True)]
    return np.array([float(score["rougeL_fmeasure"]) for score in scores])
