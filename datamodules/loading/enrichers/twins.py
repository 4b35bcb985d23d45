"""Counterfactual twins of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from datamodules.batch import MIRRORED_TWINS, SWAPPED_TWINS, TWINS, Batch, TwinKey, Twins
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers.images import Images
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.sample import Sample
from synthesis.concepts import ConceptCatalog

TWIN_KEYS: tuple[TwinKey, ...] = (TWINS, SWAPPED_TWINS, MIRRORED_TWINS)


@dataclass
class TwinPairs:
    """Adds twins: image and first text of each sample's twin vary as the sample's own do.

    A sample without a twin (of real pairs, or with nothing to change) stands there unchanged.

    Attributes:
        images: Changes the images.
        texts: Chooses and encodes the texts.
        catalog: The concepts, in label order.
        key: ``twins``, ``swapped_twins`` or ``mirrored_twins``.
    """

    images: Images
    texts: Texts
    catalog: ConceptCatalog
    key: TwinKey = TWINS

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        twins = [sample.companions.get(self.key, sample) for sample in samples]
        texts = self.texts.chosen(twins, draws)[0]
        ids, mask = self.texts.encoded(texts)
        batch[self.key] = Twins(
            image=self.images.stacked(twins, draws),
            input_ids=ids,
            attention_mask=mask,
            labels=torch.stack([twin.labels for twin in twins]),
            report=texts,
            left_out=torch.tensor(
                [self._left_out(sample, twin) for sample, twin in zip(samples, twins, strict=True)]
            ),
        )

    def _left_out(self, sample: Sample, twin: Sample) -> int:
        if sample.case is not None and twin.case is not None:
            for finding in sample.case.findings:
                if finding not in twin.case.findings:
                    return self.catalog.index(finding.concept)
        return -1
