"""Prompts of the findings that counterfactual twins lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datamodules.batch import Batch, EncodedTexts
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.sample import Sample
from synthesis.concepts import ConceptCatalog


@dataclass
class TwinPrompts:
    """Adds ``twin_prompts`` to a batch that has ``twins``: drawn from the catalogue's, anew in each epoch.

    Attributes:
        texts: Encodes the prompts.
        catalog: The concepts, in label order.
    """

    texts: Texts
    catalog: ConceptCatalog

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        concepts = list(self.catalog)
        present: list[str] = []
        absent: list[str] = []
        for row, left_out in enumerate(batch["twins"]["left_out"].tolist()):
            concept, rng = concepts[max(left_out, 0)], draws.rng(row, "prompt")
            for chosen, prompts in ((present, concept.prompts_present), (absent, concept.prompts_absent)):
                chosen.append(prompts[int(rng.integers(len(prompts)))])
        batch["twin_prompts"] = {"present": self._encoded(present), "absent": self._encoded(absent)}

    def _encoded(self, texts: Sequence[str]) -> EncodedTexts:
        ids, mask = self.texts.encoded(texts)
        return EncodedTexts(input_ids=ids, attention_mask=mask)
