"""Losses over the outputs of the two encoders, one file each."""

from lightning_modules.objectives.concept_aware_info_nce import ConceptAwareInfoNCE
from lightning_modules.objectives.contradiction_info_nce import ContradictionInfoNCE
from lightning_modules.objectives.counterfactual_twins import CounterfactualTwins
from lightning_modules.objectives.dense_supervision import DenseSupervision
from lightning_modules.objectives.gather import Gather
from lightning_modules.objectives.gloria import GLoRIA
from lightning_modules.objectives.image_agreement import ImageAgreement
from lightning_modules.objectives.info_nce import InfoNCE
from lightning_modules.objectives.loss_term import LossTerm
from lightning_modules.objectives.m_flag import MFLAG
from lightning_modules.objectives.med_clip import MedCLIP
from lightning_modules.objectives.mgca import MGCA
from lightning_modules.objectives.multi_view import MultiViewInfoNCE
from lightning_modules.objectives.objective import Objective
from lightning_modules.objectives.side_contrast import SideContrast
from lightning_modules.objectives.siglip import SigLIP
from lightning_modules.objectives.twin_direction import TwinDirection

__all__ = [
    "MFLAG",
    "MGCA",
    "ConceptAwareInfoNCE",
    "ContradictionInfoNCE",
    "CounterfactualTwins",
    "DenseSupervision",
    "GLoRIA",
    "Gather",
    "ImageAgreement",
    "InfoNCE",
    "LossTerm",
    "MedCLIP",
    "MultiViewInfoNCE",
    "Objective",
    "SideContrast",
    "SigLIP",
    "TwinDirection",
]
