"""What is trained: encoders, objectives and the LightningModule that joins them."""

from lightning_modules.adaptation import Adaptation
from lightning_modules.bert_encoder import BertEncoder
from lightning_modules.dual_encoder import DualEncoder
from lightning_modules.encoders import EncoderOutput, ImageEncoder, TextEncoder
from lightning_modules.objectives import ConceptAwareInfoNCE, ContradictionInfoNCE, InfoNCE, Objective
from lightning_modules.vit_encoder import ViTEncoder

__all__ = [
    "Adaptation",
    "BertEncoder",
    "ConceptAwareInfoNCE",
    "ContradictionInfoNCE",
    "DualEncoder",
    "EncoderOutput",
    "ImageEncoder",
    "InfoNCE",
    "Objective",
    "TextEncoder",
    "ViTEncoder",
]
