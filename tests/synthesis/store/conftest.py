"""A small corpus of which filters of both kinds refuse a part."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthesis.cache import PairCache
from synthesis.corpus import CorpusPlan, Made, make_corpus
from tests.small_corpus import small_plan


@pytest.fixture(scope="session")
def plan() -> CorpusPlan:
    """What is made."""
    return small_plan()


@pytest.fixture(scope="session")
def made(plan: CorpusPlan, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The corpus, made in one go."""
    corpus = make_corpus(tmp_path_factory.mktemp("corpus"), plan, progress=False)
    assert corpus is not None
    return corpus


@pytest.fixture(scope="session")
def corpus(made: Made) -> PairCache:
    """Its reader."""
    return PairCache(made.directory)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory for another one."""
    return tmp_path / "corpus"
