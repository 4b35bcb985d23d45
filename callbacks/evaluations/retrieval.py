"""Retrieval: does an image find its own report among many, and a report its image?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from callbacks.base.evaluation import Evaluation
from callbacks.base.features import Features
from callbacks.base.result import Occasion, Result
from callbacks.statistics.intervals import Array
from datamodules.batch import data_facts


class Retrieval(Evaluation):
    """Hit@k and median rank, image to report (``i2t``) and report to image (``t2i``).

    The candidates are the first samples by index, a fixed number, because these figures fall as the pool
    grows. Hit@k is CLIP's R@k: the share of queries whose own partner is among the k most similar. Ties count
    against the model, and so does every *other* sample with the very same report text: the two are one point
    to a text encoder, and letting rounding decide between them would make the figure depend on the batch.
    ``…_same_text`` gives the other reading, where samples with the query's own text are no wrong answers and
    are passed over.

    Figures: ``{i2t,t2i}_hit@k``, ``{i2t,t2i}_median_rank`` (from 1), ``{i2t,t2i}_lift@k`` (hit@k over chance,
    which is k / candidates), and hit@k and median rank with ``_same_text``.

    Args:
        candidates: Size of the pool; all samples if there are fewer.
        at: The values of k.
        name: The callback's name in metric names.
        **kwargs: Those of `Evaluation`.

    Raises:
        ValueError: If ``candidates`` or a k is under 1.
    """

    def __init__(
        self,
        candidates: int = 1000,
        at: Sequence[int] = (1, 5, 10),
        name: str = "retrieval",
        **kwargs: Any,
    ) -> None:
        super().__init__(name, **kwargs)
        if candidates < 1 or min(at, default=0) < 1:
            raise ValueError(f"candidates={candidates} and every k of at={list(at)} must be at least 1")
        self.candidates, self.at = candidates, tuple(at)

    def hindrance(self, trainer: L.Trainer, stage: str) -> str | None:
        """Return why there is nothing to retrieve."""
        return None if data_facts(trainer).tokenizer is not None else "the data have no reports"

    def evaluate(self, features: Features, occasion: Occasion) -> Result:
        """Rank the pool in both directions."""
        if features.text is None:
            return Result({}, {"note": "image-only data: no reports to retrieve"})
        pool = slice(0, self.candidates)
        images, texts = features.image[pool].double(), features.text[pool].double()
        same_text = _text_numbers(
            features.reports[pool] if features.reports is not None else None, len(images)
        )
        n = len(images)
        metrics: dict[str, float] = {}
        hits: dict[str, Array] = {}
        draws: dict[str, Array] = {}
        bootstrap = self.bootstrap(features.group[pool].numpy(), occasion)
        for direction, queries, answers in (("i2t", images, texts), ("t2i", texts, images)):
            ranks = own_ranks(queries, answers, same_text)
            for suffix, rank in (("", ranks.strict), ("_same_text", ranks.lenient)):
                median = f"{direction}_median_rank{suffix}"
                metrics[median] = float(np.median(rank))
                if bootstrap is not None:
                    draws[median] = bootstrap.median(rank)
                hits |= {f"{direction}_hit@{k}{suffix}": (rank <= k).astype(float) for k in self.at}
            metrics |= {name: float(hit.mean()) for name, hit in hits.items()}
            metrics |= {
                f"{direction}_lift@{k}": metrics[f"{direction}_hit@{k}"] * n / min(k, n) for k in self.at
            }
        details = {
            "candidates": n,
            "distinct_texts": int(same_text.max()) + 1 if features.reports is not None else None,
            "chance": {f"hit@{k}": min(k, n) / n for k in self.at} | {"median_rank": (n + 1) / 2},
        }
        draws |= self.mean_draws(hits, features.group[pool].numpy(), occasion)
        return Result(metrics, details, draws)


@dataclass(frozen=True)
class OwnRanks:
    """Rank of each query's own partner, from 1, ``(n,)``; see `Retrieval` for the two readings."""

    strict: np.ndarray
    lenient: np.ndarray


def own_ranks(queries: Tensor, answers: Tensor, same_text: Tensor, chunk: int = 512) -> OwnRanks:
    """Rank answer i for query i among all answers, a chunk of queries at a time.

    Args:
        queries: ``(n, dim)``, L2-normalised.
        answers: ``(n, dim)``, L2-normalised, row i belonging to query i.
        same_text: A number for each sample's report text, equal for equal texts, ``(n,)``.
        chunk: Queries ranked at a time: memory is ``chunk * n``.
    """
    strict, lenient = [], []
    for rows in torch.arange(len(queries)).split(chunk):
        similarity = queries[rows] @ answers.T
        own = similarity[torch.arange(len(rows)), rows]
        twin = same_text[rows, None] == same_text[None]  # the own partner among them
        ahead = (similarity >= own[:, None]) & ~twin
        lenient.append(1 + ahead.sum(1))
        strict.append(
            ahead.sum(1) + twin.sum(1)
        )  # the twins stand ahead of the own partner, which is one of them
    return OwnRanks(torch.cat(strict).numpy(), torch.cat(lenient).numpy())


def _text_numbers(reports: Sequence[str] | None, n: int) -> Tensor:
    """Number reports by text in order of appearance; without texts all count as different."""
    if reports is None:
        return torch.arange(n)
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(text, len(numbers)) for text in reports])
