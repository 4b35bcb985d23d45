"""What is measured and shown while training and at test."""

from callbacks.evaluation import Evaluation, Occasion, Result
from callbacks.features import FeatureCollector, Features
from callbacks.floors import ProbeFloors
from callbacks.gallery import PairGallery
from callbacks.generator_export import GeneratorExport
from callbacks.geometry import EmbeddingGeometry
from callbacks.linear_probe import LinearProbe
from callbacks.retrieval import Retrieval
from callbacks.summary import RunSummary
from callbacks.weight_average import WeightAverage
from callbacks.zero_shot import ZeroShot

__all__ = [
    "EmbeddingGeometry",
    "Evaluation",
    "FeatureCollector",
    "Features",
    "GeneratorExport",
    "LinearProbe",
    "Occasion",
    "PairGallery",
    "ProbeFloors",
    "Result",
    "Retrieval",
    "RunSummary",
    "WeightAverage",
    "ZeroShot",
]
