"""Turning pairs, made or real, into batches."""

from datamodules.loading.augmentation import Augmentation
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.views import Views
from datamodules.made.corpus_columns import CorpusColumns
from datamodules.made.corpus_pairs import CorpusPairs
from datamodules.made.mixed_pairs import MixedPairs
from datamodules.made.synthetic import SyntheticPairs
from datamodules.tables.columns import Columns
from datamodules.tables.image_questions import ImageQuestions
from datamodules.tables.image_reports import ImageReports
from datamodules.tables.labelled import LabelledImages
from datamodules.tables.labels import LabelColumns
from datamodules.tables.origin import Origin
from datamodules.tables.questions import QuestionColumns
from datamodules.tables.unlabelled import UnlabelledImages
from datamodules.texts.question_writer import QuestionWriter
from datamodules.texts.report_bank import ReportBank
from datamodules.texts.text_view import TextView
from datamodules.texts.tokenizer_options import TokenizerOptions

__all__ = [
    "Augmentation",
    "Columns",
    "CorpusColumns",
    "CorpusPairs",
    "ImageQuestions",
    "ImageReports",
    "LabelColumns",
    "LabelledImages",
    "LoaderOptions",
    "MixedPairs",
    "Origin",
    "QuestionColumns",
    "QuestionWriter",
    "ReportBank",
    "SyntheticPairs",
    "TextView",
    "TokenizerOptions",
    "UnlabelledImages",
    "Views",
]
