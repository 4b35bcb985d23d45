"""Turning pairs, made or real, into batches."""

from datamodules.augmentation import Augmentation
from datamodules.image_reports import ImageReports
from datamodules.labelled import LabelledImages
from datamodules.labels import LabelColumns
from datamodules.origin import Origin
from datamodules.question_writer import QuestionWriter
from datamodules.synthetic import SyntheticPairs
from datamodules.table import Columns
from datamodules.text_view import TextView

__all__ = [
    "Augmentation",
    "Columns",
    "ImageReports",
    "LabelColumns",
    "LabelledImages",
    "Origin",
    "QuestionWriter",
    "SyntheticPairs",
    "TextView",
]
