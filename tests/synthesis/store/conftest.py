"""A small corpus of which filters of both kinds refuse a part."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthesis.store import PairStore, StorePlan, fill
from tests.small_corpus import small_plan


@pytest.fixture(scope="session")
def plan() -> StorePlan:
    """What is made."""
    return small_plan()


@pytest.fixture(scope="session")
def corpus(plan: StorePlan, tmp_path_factory: pytest.TempPathFactory) -> PairStore:
    """The corpus, made in one go."""
    store = fill(tmp_path_factory.mktemp("corpus") / plan.split, plan, progress=False)
    assert store is not None
    return store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory for another one."""
    return tmp_path / "corpus"
