"""What is trained: encoders, objectives and the LightningModule that joins them."""

from lightning_modules.adaptation import Adaptation
from lightning_modules.bert_encoder import BertEncoder
from lightning_modules.checkpoint_embedder import CheckpointEmbedder
from lightning_modules.clip_image_encoder import CLIPImageEncoder
from lightning_modules.clip_text_encoder import CLIPTextEncoder
from lightning_modules.conv_next_encoder import ConvNeXtEncoder
from lightning_modules.downstream.detection import Detection
from lightning_modules.downstream.fine_tune import FineTune
from lightning_modules.downstream.report_generation import ReportGeneration
from lightning_modules.downstream.segmentation import Segmentation
from lightning_modules.downstream.temporal_comparison import TemporalComparison
from lightning_modules.downstream.visual_question_answering import VisualQuestionAnswering
from lightning_modules.dual_encoder import DualEncoder
from lightning_modules.encoders import (
    EncodedExchange,
    EncodedPrompts,
    EncodedTwins,
    EncoderOutput,
    ImageEncoder,
    TextEncoder,
)
from lightning_modules.evaluation_output import EvaluationOutput
from lightning_modules.generators import (
    ConditionalGAN,
    ConditionalVAE,
    LatentAutoencoder,
    LatentDiffusion,
    ReportAlignment,
    ReportEncoder,
)
from lightning_modules.objectives import (
    MFLAG,
    MGCA,
    ConceptAwareInfoNCE,
    ContradictionInfoNCE,
    CounterfactualTwins,
    DenseSupervision,
    GLoRIA,
    ImageAgreement,
    InfoNCE,
    LossTerm,
    MedCLIP,
    MultiViewInfoNCE,
    Objective,
    SideContrast,
    SigLIP,
    TwinDirection,
)
from lightning_modules.resnet_encoder import ResNetEncoder
from lightning_modules.trained_encoder import TrainedEncoder
from lightning_modules.vit_encoder import ViTEncoder

__all__ = [
    "MFLAG",
    "MGCA",
    "Adaptation",
    "BertEncoder",
    "CLIPImageEncoder",
    "CLIPTextEncoder",
    "CheckpointEmbedder",
    "ConceptAwareInfoNCE",
    "ConditionalGAN",
    "ConditionalVAE",
    "ContradictionInfoNCE",
    "ConvNeXtEncoder",
    "CounterfactualTwins",
    "DenseSupervision",
    "Detection",
    "DualEncoder",
    "EncodedExchange",
    "EncodedPrompts",
    "EncodedTwins",
    "EncoderOutput",
    "EvaluationOutput",
    "FineTune",
    "GLoRIA",
    "ImageAgreement",
    "ImageEncoder",
    "InfoNCE",
    "LatentAutoencoder",
    "LatentDiffusion",
    "LossTerm",
    "MedCLIP",
    "MultiViewInfoNCE",
    "Objective",
    "ReportAlignment",
    "ReportEncoder",
    "ReportGeneration",
    "ResNetEncoder",
    "Segmentation",
    "SideContrast",
    "SigLIP",
    "TemporalComparison",
    "TextEncoder",
    "TrainedEncoder",
    "TwinDirection",
    "ViTEncoder",
    "VisualQuestionAnswering",
]
