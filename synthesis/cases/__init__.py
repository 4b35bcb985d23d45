"""Cases: what an image shows, drawn so that every one is plausible (but for `FreeCaseSampler`)."""

from synthesis.cases.case import Case, Finding, View
from synthesis.cases.co_findings import CoFindingCaseSampler
from synthesis.cases.free_sampler import FreeCaseSampler
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
    "FreeCaseSampler",
    "LongTailedCaseSampler",
    "UniformCaseSampler",
    "View",
]
