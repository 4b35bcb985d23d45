"""Texts of reports, encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from datamodules.batch import Batch, EncodedTexts
from datamodules.loading.draws import Draws
from datamodules.loading.sample import Sample
from datamodules.texts.claim_reader import ClaimReader
from datamodules.texts.text_view import TextView, full_text
from datamodules.texts.tokenizer import encode
from synthesis.concepts import ConceptCatalog

if TYPE_CHECKING:
    from transformers import BertTokenizerFast


@dataclass
class Texts:
    """Adds ``input_ids``, ``attention_mask`` and ``report``, and ``other_texts`` for further views.

    Attributes:
        tokenizer: Encodes the texts.
        max_length: Longest text in tokens.
        catalog: The concepts of which texts claim something.
        views: Each chooses a text of a report; None reads all of it.
    """

    tokenizer: BertTokenizerFast
    max_length: int
    catalog: ConceptCatalog
    views: Sequence[TextView] | None = None

    def __post_init__(self) -> None:
        """Make the reader of claims before there are workers, so that none has to make its own."""
        if any(view.claims for view in self.views or ()):
            ClaimReader(self.catalog)

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        first, *others = self.chosen(samples, draws)
        batch["input_ids"], batch["attention_mask"] = self.encoded(first)
        batch["report"] = first
        if others:
            assert self.views is not None
            batch["other_texts"] = [
                self._with_claims(texts, view.claims)
                for texts, view in zip(others, self.views[1:], strict=True)
            ]

    def chosen(self, samples: Sequence[Sample], draws: Draws) -> list[list[str]]:
        """Return for each view the text of each sample.

        Raises:
            ValueError: If a sample has no report.
        """
        if any(sample.report is None for sample in samples):
            raise ValueError("a sample has no report, but texts are read: check the source that it is of.")
        reports = [sample.report for sample in samples if sample.report is not None]
        if self.views is None:
            return [[full_text(report) for report in reports]]
        rngs = [draws.rng(row, "text") for row in range(len(reports))]
        views = self.views  # a sample's views share its random numbers, in their order
        texts = [[view(report, rng) for view in views] for report, rng in zip(reports, rngs, strict=True)]
        return [list(column) for column in zip(*texts, strict=True)]

    def encoded(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return token ids and attention mask of some texts, int64 ``(texts, tokens)``."""
        return encode(self.tokenizer, texts, self.max_length)

    def _with_claims(self, texts: Sequence[str], claims: bool) -> EncodedTexts:
        ids, mask = self.encoded(texts)
        encoded = EncodedTexts(input_ids=ids, attention_mask=mask)
        if claims:
            encoded["asserted"], encoded["denied"] = self._reader.read(texts)
        return encoded

    @cached_property
    def _reader(self) -> ClaimReader:
        return ClaimReader(self.catalog)
