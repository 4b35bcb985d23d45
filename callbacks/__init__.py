"""What is measured and shown while training and at test."""

from callbacks.base.batch_evaluation import BatchEvaluation
from callbacks.base.evaluation import Evaluation
from callbacks.base.features import FeatureCollector, Features
from callbacks.base.result import Occasion, Result
from callbacks.evaluations.change_accuracy import ChangeAccuracy
from callbacks.evaluations.class_retrieval import ClassRetrieval
from callbacks.evaluations.classification import Classification
from callbacks.evaluations.dense_head_maps import DenseHeadMaps
from callbacks.evaluations.detection_precision import DetectionPrecision
from callbacks.evaluations.geometry import EmbeddingGeometry
from callbacks.evaluations.linear_probe import LinearProbe
from callbacks.evaluations.local_head_maps import LocalHeadMaps
from callbacks.evaluations.patch_maps import PatchMaps
from callbacks.evaluations.phrase_grounding import PhraseGrounding
from callbacks.evaluations.probe_floors import ProbeFloors
from callbacks.evaluations.question_answering import QuestionAnswering
from callbacks.evaluations.report_scores import ReportScores
from callbacks.evaluations.retrieval import Retrieval
from callbacks.evaluations.segmentation_dice import SegmentationDice
from callbacks.evaluations.twin_ranking import TwinRanking
from callbacks.evaluations.zero_shot import ZeroShot
from callbacks.prediction.prediction_writer import PredictionWriter
from callbacks.run.atomic_checkpoint_io import AtomicCheckpointIO
from callbacks.run.gallery import PairGallery
from callbacks.run.generator_export import GeneratorExport
from callbacks.run.gradient_norm import GradientNorm
from callbacks.run.interruption import Interruption
from callbacks.run.matmul_precision import MatmulPrecision
from callbacks.run.non_finite_guard import NonFiniteGuard
from callbacks.run.run_checkpoint import RunCheckpoint
from callbacks.run.run_stopping import RunStopping
from callbacks.run.step_replay import StepReplay
from callbacks.run.summary import RunSummary
from callbacks.run.wandb_run_logger import WandbRunLogger
from callbacks.run.weight_average import WeightAverage

__all__ = [
    "AtomicCheckpointIO",
    "BatchEvaluation",
    "ChangeAccuracy",
    "ClassRetrieval",
    "Classification",
    "DenseHeadMaps",
    "DetectionPrecision",
    "EmbeddingGeometry",
    "Evaluation",
    "FeatureCollector",
    "Features",
    "GeneratorExport",
    "GradientNorm",
    "Interruption",
    "LinearProbe",
    "LocalHeadMaps",
    "MatmulPrecision",
    "NonFiniteGuard",
    "Occasion",
    "PairGallery",
    "PatchMaps",
    "PhraseGrounding",
    "PredictionWriter",
    "ProbeFloors",
    "QuestionAnswering",
    "ReportScores",
    "Result",
    "Retrieval",
    "RunCheckpoint",
    "RunStopping",
    "RunSummary",
    "SegmentationDice",
    "StepReplay",
    "TwinRanking",
    "WandbRunLogger",
    "WeightAverage",
    "ZeroShot",
]
