"""Earlier radiographs of the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datamodules.batch import CHANGE, PRIOR, Batch
from datamodules.loading.draws import Draws
from datamodules.loading.enrichers.images import Images
from datamodules.loading.sample import Sample
from synthesis.cases import Case
from synthesis.concepts import ConceptCatalog

PRIOR_KEYS = frozenset({PRIOR, CHANGE})


@dataclass
class Priors:
    """Adds ``prior``, varied by itself, and ``change``, how each graded finding compares with it.

    Attributes:
        images: Changes the images.
        catalog: The concepts, in label order.
    """

    images: Images
    catalog: ConceptCatalog

    def enrich(self, batch: Batch, samples: Sequence[Sample], draws: Draws) -> None:
        """See `Enricher.enrich`."""
        priors = [sample.companions[PRIOR] for sample in samples]
        batch["prior"] = self.images.stacked(priors, draws, view=1)
        batch["change"] = torch.stack([self._change(s, p) for s, p in zip(samples, priors, strict=True)])

    def _change(self, sample: Sample, prior: Sample) -> Tensor:
        assert sample.case is not None and prior.case is not None
        change = torch.full((len(self.catalog),), np.nan)
        before = self._levels(prior.case)
        for concept, level in self._levels(sample.case).items():
            change[self.catalog.index(concept)] = 1 + np.sign(level - before.get(concept, 0))
        return change

    def _levels(self, case: Case) -> dict[str, int]:
        """Return the grade of each graded finding, from 1."""
        levels = {}
        for finding in case.findings:
            grades = list(self.catalog[finding.concept].severities)
            if finding.severity in grades and len(grades) > 1:
                levels[finding.concept] = 1 + grades.index(finding.severity)
        return levels
