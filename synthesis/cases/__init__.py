"""Cases: what an image shows, drawn so that every one is plausible."""

from synthesis.cases.case import Case, Finding, View
from synthesis.cases.samplers import (
    BalancedCaseSampler,
    CaseSampler,
    LongTailedCaseSampler,
    UniformCaseSampler,
)

__all__ = [
    "BalancedCaseSampler",
    "Case",
    "CaseSampler",
    "Finding",
    "LongTailedCaseSampler",
    "UniformCaseSampler",
    "View",
]
