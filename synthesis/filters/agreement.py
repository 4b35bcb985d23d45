"""Pair filter: image and report belong together, as far as a trained dual encoder can tell."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthesis.cases import UniformCaseSampler
from synthesis.filters.similarity import PairEmbedder
from synthesis.identity import identity
from synthesis.pairs import Pair, Rejection
from synthesis.reports.grammar import GrammarWriter
from synthesis.seeding import pair_seed


class ImageReportAgreement:
    """Rejects a pair whose report fits its image no better than other reports do.

    The measure is how many standard deviations the similarity of report and image lies above that of
    reference reports and the image; a bare cosine would depend on the image and on the training. The filter
    is meant for real pairs, whose truth is not known. Where the case is known, `EntityAgreement` sees more.

    Args:
        embedder: Embeds both; `lightning_modules.CheckpointEmbedder` loads a trained model.
        threshold: Lowest measure allowed.
        references: Text file with one common report a line; None writes 256 by the grammar.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(
        self, embedder: PairEmbedder, threshold: float = 0.0, references: str | Path | None = None
    ) -> None:
        self.embedder = embedder
        self.threshold = threshold
        self._references = _written() if references is None else _listed(Path(references))

    def measured(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the measure of each pair, in standard deviations of the references."""
        images = self.embedder.embed_images(torch.stack([pair.image[:1] for pair in pairs]).float() / 255)
        own = (images * self.embedder.embed_texts([_text(pair) for pair in pairs])).sum(1)
        others = images @ self._vectors.T
        return ((own - others.mean(1)) / others.std(1).clamp_min(1e-6)).tolist()

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair how badly its report fits, or None."""
        return [
            Rejection("report does not fit image", f"{value:.2f} is below {self.threshold:.2f}")
            if value < self.threshold
            else None
            for value in self.measured(pairs)
        ]

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        references = hashlib.sha256("\n".join(self._references).encode()).hexdigest()
        return {
            "embedder": identity(self.embedder),
            "threshold": self.threshold,
            "references_sha256": references,
        }

    @cached_property
    def _vectors(self) -> Tensor:
        return self.embedder.embed_texts(self._references)


def _text(pair: Pair) -> str:
    """Return the report under the headings of the sections that it has, as training reads it."""
    sections = {"FINDINGS": pair.report.findings, "IMPRESSION": pair.report.impression}
    return " ".join(f"{name}: {text}" for name, text in sections.items() if text.strip())


def _written(count: int = 256) -> list[str]:
    sampler, indices = UniformCaseSampler(), range(count)
    cases = [sampler.sample(0, "references", i) for i in indices]
    reports = GrammarWriter().write(cases, [pair_seed(0, "references", i) for i in indices])
    return [report.text for report in reports]


def _listed(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"references={str(path)!r} is no file; give a text file with a report a line.")
    lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    if len(lines) < 8:
        raise ValueError(f"{path} holds {len(lines)} reports; a spread needs 8 or more, better hundreds.")
    return lines
