"""Report filter: the text says what the case holds, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthesis.concepts import ConceptCatalog
from synthesis.pairs import Pair
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.reports.reading.entity_reader import EntityReader


class EntityAgreement:
    """Refuses a report whose entities are not those of its case (SynCXR, Liu et al., arXiv:2410.13523).

    It also finds another case's report beside an image, as long as the case is known: so for made pairs, not
    for a user's own (see `ImageReportAgreement` for those).

    Args:
        catalog: The concept catalogue; None takes the one shipped.
        reader: Reads the entities: a trained `TokenClassifier`, say; None takes the rules of
            `EntityExtractor`.
    """

    def __init__(self, catalog: str | Path | None = None, reader: EntityReader | None = None) -> None:
        self._catalog = ConceptCatalog.load(catalog)
        self._reader: EntityReader = reader or EntityExtractor(catalog)
        self._check = EntityCheck(catalog, self._reader)

    def reject(self, pairs: Sequence[Pair]) -> list[str | None]:
        """Return for each pair the first disagreement of report and case, or None."""
        return [self._reason(pair) for pair in pairs]

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        return {"catalog_sha256": self._catalog.sha256, "reader": self._reader.describe()}

    def _reason(self, pair: Pair) -> str | None:
        for found in self._check.disagreements(pair.case, pair.report):
            return f"report disagrees with case: {found.reason} {found.concept}: {found.detail}"
        return None
