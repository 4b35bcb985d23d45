"""What reports claim, as prompts of generators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.batch import CLAIMS, REPORT, Batch
from datamodules.loading.draws import Draws
from datamodules.loading.sample import Sample
from synthesis.concepts import ConceptCatalog
from synthesis.reports.reading.claims import claims_prompt
from synthesis.reports.reading.entities import EntityExtractor


@dataclass
class Claims:
    """Adds ``claims`` to a batch: what each of its reports claims to be present, see `claims_prompt`.

    Attributes:
        catalog: The concepts that are looked for.
    """

    catalog: ConceptCatalog

    def __post_init__(self) -> None:
        """Make the reader before there are workers."""
        EntityExtractor.load(self.catalog.path)

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        batch[CLAIMS] = [claims_prompt(text, self.catalog) for text in batch[REPORT]]
