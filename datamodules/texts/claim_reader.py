"""What texts claim, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synthesis.concepts import ConceptCatalog
from synthesis.reports.reading.entities import EntityExtractor


class ClaimReader:
    """Reads which concepts short texts assert and deny, by the catalogue's extractor (0.2 ms a sentence).

    Doubted concepts ("possible", "cannot be excluded") are neither, and what is denied of one side ("clear
    left lung") may be on the other.

    Args:
        catalog: The concepts, in label order.
    """

    def __init__(self, catalog: ConceptCatalog) -> None:
        self.catalog = catalog
        self._extractor = EntityExtractor.load(catalog.path)

    def read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the asserted and the denied concepts, float32 0/1 of ``(text, concept)`` each."""
        claims = torch.zeros(2, len(texts), len(self.catalog))
        for row, text in enumerate(texts):
            for mention in self._extractor.extract(text):
                denied = mention.status == "absent"
                if mention.status == "present" or (denied and mention.laterality in (None, "bilateral")):
                    claims[int(denied), row, self.catalog.index(mention.concept)] = 1
        return claims[0], claims[1]
