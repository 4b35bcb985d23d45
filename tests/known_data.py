"""A base for the small data modules of tests: the facts that models and callbacks ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L


class KnownData(L.LightningDataModule):
    """States every fact of `datamodules.batch.DataFacts`; a subclass states others."""

    concept_names: tuple[str, ...] = ()
    catalog: Any = None
    tokenizer: Any = None
    made = False
    augmented = False
    questions_sha256: str | None = None
    phrases: Sequence[tuple[str, str]] = ()

    def claims(self, texts: Sequence[str]) -> Any:
        raise NotImplementedError

    def split_sha256(self, split: str, source: str | None = None) -> str:
        return f"hash of {split}" + (f" of {source}" if source else "")

    def evaluation_sources(self, split: str) -> tuple[str, ...]:
        return ("",)
