"""What a batch holds, one file a feature: each adds its keys."""

from datamodules.loading.enrichers.claims import Claims
from datamodules.loading.enrichers.enricher import Enricher
from datamodules.loading.enrichers.exchanged_sides import ExchangedSides
from datamodules.loading.enrichers.images import Images
from datamodules.loading.enrichers.masks import Masks
from datamodules.loading.enrichers.organs import Organs
from datamodules.loading.enrichers.priors import PRIOR_KEYS, Priors
from datamodules.loading.enrichers.questions import Questions
from datamodules.loading.enrichers.table_questions import TableQuestions
from datamodules.loading.enrichers.texts import Texts
from datamodules.loading.enrichers.twin_prompts import TwinPrompts
from datamodules.loading.enrichers.twins import TWIN_KEYS, TwinPairs
from datamodules.loading.enrichers.unpaired_texts import UnpairedTexts

__all__ = [
    "PRIOR_KEYS",
    "TWIN_KEYS",
    "Claims",
    "Enricher",
    "ExchangedSides",
    "Images",
    "Masks",
    "Organs",
    "Priors",
    "Questions",
    "TableQuestions",
    "Texts",
    "TwinPairs",
    "TwinPrompts",
    "UnpairedTexts",
]
