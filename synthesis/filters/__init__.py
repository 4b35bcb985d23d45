"""Filters of images, reports, pairs and corpora; YAML names each by `synthesis.filters.<class>`."""

from synthesis.filters.agreement import ImageReportAgreement
from synthesis.filters.appearance import ChestLikeness, Inversion, Mirroring, Rotation
from synthesis.filters.duplicates import CorpusFilter, NearDuplicateImages, NearDuplicateReports
from synthesis.filters.judge import VisionLanguageJudge
from synthesis.filters.measured import Contrast, MeasuredFilter, Noise, Saturation, Sharpness, Truncation
from synthesis.filters.reports import EntityAgreement, ReportLength, TemplateLeakage
from synthesis.filters.similarity import (
    BadExamples,
    ImageEmbedder,
    MemorisedImages,
    PairEmbedder,
    PretrainedEncoder,
    Thumbnails,
)
from synthesis.filters.standard import StandardFilters

__all__ = [
    "BadExamples",
    "ChestLikeness",
    "Contrast",
    "CorpusFilter",
    "EntityAgreement",
    "ImageEmbedder",
    "ImageReportAgreement",
    "Inversion",
    "MeasuredFilter",
    "MemorisedImages",
    "Mirroring",
    "NearDuplicateImages",
    "NearDuplicateReports",
    "Noise",
    "PairEmbedder",
    "PretrainedEncoder",
    "ReportLength",
    "Rotation",
    "Saturation",
    "Sharpness",
    "StandardFilters",
    "TemplateLeakage",
    "Thumbnails",
    "Truncation",
    "VisionLanguageJudge",
]
