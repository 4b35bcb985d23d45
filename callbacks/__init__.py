"""What is measured and shown while training and at test."""

from callbacks.batch_evaluation import BatchEvaluation
from callbacks.class_retrieval import ClassRetrieval
from callbacks.classification import Classification
from callbacks.detection_precision import DetectionPrecision
from callbacks.evaluation import Evaluation, Occasion, Result
from callbacks.features import FeatureCollector, Features
from callbacks.floors import ProbeFloors
from callbacks.gallery import PairGallery
from callbacks.generator_export import GeneratorExport
from callbacks.geometry import EmbeddingGeometry
from callbacks.linear_probe import LinearProbe
from callbacks.phrase_grounding import PhraseGrounding
from callbacks.question_answering import QuestionAnswering
from callbacks.report_scores import ReportScores
from callbacks.retrieval import Retrieval
from callbacks.segmentation_dice import SegmentationDice
from callbacks.summary import RunSummary
from callbacks.twin_ranking import TwinRanking
from callbacks.weight_average import WeightAverage
from callbacks.zero_shot import ZeroShot

__all__ = [
    "BatchEvaluation",
    "ClassRetrieval",
    "Classification",
    "DetectionPrecision",
    "EmbeddingGeometry",
    "Evaluation",
    "FeatureCollector",
    "Features",
    "GeneratorExport",
    "LinearProbe",
    "Occasion",
    "PairGallery",
    "PhraseGrounding",
    "ProbeFloors",
    "QuestionAnswering",
    "ReportScores",
    "Result",
    "Retrieval",
    "RunSummary",
    "SegmentationDice",
    "TwinRanking",
    "WeightAverage",
    "ZeroShot",
]
