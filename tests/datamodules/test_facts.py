"""What data modules state of their data, and what is said where they do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest

from datamodules.batch import DataFacts, data_facts


def attached(datamodule: Any) -> Any:
    return SimpleNamespace(datamodule=datamodule)


def test_a_data_module_that_leaves_a_fact_open_is_refused_by_its_name() -> None:
    class Silent(L.LightningDataModule):
        concept_names = ("edema",)
        made = augmented = True

        def claims(self, texts: Any) -> Any: ...

    missing = "catalog, evaluation_sources, phrases, questions_sha256, split_sha256, tokenizer"
    with pytest.raises(TypeError, match=f"Silent does not say {missing}: "):
        data_facts(attached(Silent()))


def test_loaders_without_a_data_module_say_nothing() -> None:
    facts = data_facts(attached(None))
    assert isinstance(facts, DataFacts)
    assert (facts.concept_names, facts.tokenizer, facts.made) == ((), None, False)
    assert facts.evaluation_sources("val") == ("",) and not facts.split_sha256("val")
    with pytest.raises(TypeError, match="give the trainer a datamodule"):
        facts.claims(["no edema"])
