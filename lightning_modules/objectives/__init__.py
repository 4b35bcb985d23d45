"""Losses over the outputs of the two encoders, one file each."""

from lightning_modules.objectives.concept_aware_info_nce import ConceptAwareInfoNCE
from lightning_modules.objectives.contradiction_info_nce import ContradictionInfoNCE
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.info_nce import InfoNCE
from lightning_modules.objectives.objective import Objective

__all__ = ["ConceptAwareInfoNCE", "ContradictionInfoNCE", "Gather", "InfoNCE", "Objective"]
