"""Cases: what an image shows, drawn so that every one is plausible."""

from synthesis.cases.case import Case, Finding, View
from synthesis.cases.co_findings import CoFindingCaseSampler
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
    "CoFindingCaseSampler",
    "Finding",
    "LongTailedCaseSampler",
    "UniformCaseSampler",
    "View",
]
