"""Reports written by a language model, local or served, each read back and compared with its case."""

from synthesis.reports.language_model.language_model_writer import LanguageModelWriter
from synthesis.reports.language_model.local_model import LocalModel
from synthesis.reports.language_model.outcome import Outcome
from synthesis.reports.language_model.served_model import ServedModel

__all__ = ["LanguageModelWriter", "LocalModel", "Outcome", "ServedModel"]
