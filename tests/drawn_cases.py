"""Cases as the samplers draw them, kept between tests."""

from functools import cache

import yaml
from hypothesis import strategies as st

from synthesis.cases import BalancedCaseSampler, LongTailedCaseSampler, UniformCaseSampler
from synthesis.concepts import DEFAULT_CATALOG, NO_FINDING, ConceptCatalog

RAW = yaml.safe_load(DEFAULT_CATALOG.read_text())["concepts"]
CATALOG = ConceptCatalog()
SAMPLED = [c.name for c in CATALOG if c.sampled and c.name != NO_FINDING]
SAMPLERS = [BalancedCaseSampler, UniformCaseSampler, LongTailedCaseSampler]

indices = st.integers(0, 10**7)
seeds = st.integers(0, 2**32)


@cache
def make(sampler, *items):
    return sampler(**dict(items))


@cache
def draw(sampler, number, *items):
    return [make(sampler, *items).sample(0, "train", i) for i in range(number)]


def is_device(name):
    return RAW[name]["entity_type"] == "device"


@st.composite
def cases(draw):
    """Cases under settings that crowd them: many findings, devices and denials."""
    crowded = (
        ("findings_per_case", draw(st.sampled_from([(1.0,), (0.0, 0.0, 0.0, 1.0), (0.0,) * 7 + (1.0,)]))),
        ("device_rate", draw(st.sampled_from([0.0, 0.5, 1.0]))),
        ("absent_mentions", draw(st.sampled_from([0.0, 3.0, 12.0]))),
        ("uncertain_rate", draw(st.sampled_from([0.0, 0.5, 1.0]))),
    )
    return make(draw(st.sampled_from(SAMPLERS)), *crowded).sample(draw(seeds), "train", draw(indices))
