"""Making pairs of a chest radiograph and its report. Knows nothing of training; imports nothing local.

YAML may name what is listed here shortly, e.g. `synthesis.GrammarWriter`. A class is imported when it is
first asked for, so that `import synthesis` costs nothing. Filters are `synthesis.filters.Contrast` and so on.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthesis.cases import (
        BalancedCaseSampler,
        CoFindingCaseSampler,
        FreeCaseSampler,
        LongTailedCaseSampler,
        UniformCaseSampler,
    )
    from synthesis.corruption import ClinicSynthesizer
    from synthesis.images.adversarial import AdversarialImageMaker
    from synthesis.images.diffusion import DiffusionImageMaker
    from synthesis.images.simulator import Simulator
    from synthesis.images.simulator.findings import AirspaceHaze, PleuralFluid, VolumeLoss
    from synthesis.images.variational import VariationalImageMaker
    from synthesis.pairs import PairSynthesizer
    from synthesis.reports.grammar import GrammarWriter
    from synthesis.reports.language_model import LanguageModelWriter, LocalModel, ServedModel

__all__ = [
    "AdversarialImageMaker",
    "AirspaceHaze",
    "BalancedCaseSampler",
    "ClinicSynthesizer",
    "CoFindingCaseSampler",
    "DiffusionImageMaker",
    "FreeCaseSampler",
    "GrammarWriter",
    "LanguageModelWriter",
    "LocalModel",
    "LongTailedCaseSampler",
    "PairSynthesizer",
    "PleuralFluid",
    "ServedModel",
    "Simulator",
    "UniformCaseSampler",
    "VariationalImageMaker",
    "VolumeLoss",
]

_MODULES = {
    "synthesis.cases": (
        "BalancedCaseSampler",
        "CoFindingCaseSampler",
        "FreeCaseSampler",
        "LongTailedCaseSampler",
        "UniformCaseSampler",
    ),
    "synthesis.corruption": ("ClinicSynthesizer",),
    "synthesis.images.adversarial": ("AdversarialImageMaker",),
    "synthesis.images.diffusion": ("DiffusionImageMaker",),
    "synthesis.images.simulator": ("Simulator",),
    "synthesis.images.simulator.findings": ("AirspaceHaze", "PleuralFluid", "VolumeLoss"),
    "synthesis.images.variational": ("VariationalImageMaker",),
    "synthesis.pairs": ("PairSynthesizer",),
    "synthesis.reports.grammar": ("GrammarWriter",),
    "synthesis.reports.language_model": ("LanguageModelWriter", "LocalModel", "ServedModel"),
}


def __getattr__(name: str) -> Any:
    """Import what is listed above when it is first asked for."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
