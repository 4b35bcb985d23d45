"""Data modules over a few simulated pairs, and over a small table of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from datamodules import (
    Augmentation,
    ImageReports,
    LabelledImages,
    LoaderOptions,
    SyntheticPairs,
    TextView,
    TokenizerOptions,
    Views,
)
from synthesis.pairs import PairSynthesizer
from tests.nih_table import ALL_TEST, COLUMNS, HEADER, NIH, Row, nih_rows, write_image, write_table

SIZES: dict[str, Any] = {
    "train_pairs": 24,
    "epoch_size": 12,
    "val_pairs": 9,
    "test_pairs": 5,
    "batch_size": 4,
}
VARIED: dict[str, Any] = {
    "augmentation": Augmentation(),
    "texts": [TextView(), TextView(0, 0, 1, 1, claims=True)],
}


def options(**flat: Any) -> dict[str, Any]:
    """Put what a test names flatly into the options that it belongs to; the rest stays as it is."""
    groups: dict[str, Any] = {"loader": LoaderOptions, "views": Views}
    for name, kind in groups.items():
        own = {field.name: flat.pop(field.name) for field in fields(kind) if field.name in flat}
        flat[name] = kind(**own)
    tokenizer = flat.pop("tokenizer", None)
    flat["tokenizer"] = tokenizer if isinstance(tokenizer, TokenizerOptions) else TokenizerOptions(tokenizer)
    return flat


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def sizes() -> dict[str, Any]:
    """The arguments of `SyntheticPairs` that make it small."""
    return SIZES


@pytest.fixture(scope="module")
def ready(synthesizer: PairSynthesizer, artifacts: Path) -> Any:
    def build(needs: dict[str, set[str]] | None = None, **kwargs: Any) -> SyntheticPairs:
        arguments = {
            **SIZES,
            **VARIED,
            "artifacts_dir": artifacts,
            "tokenizer_reports": 300,
            "max_length": 128,
        }
        made_by = kwargs.pop("synthesizer", synthesizer)
        data = SyntheticPairs(made_by, **options(**{**arguments, **kwargs}))
        data.asked = {split: frozenset(keys) for split, keys in (needs or {}).items()}
        data.prepare_data()
        data.setup("fit")
        return data

    return build


@pytest.fixture
def nih(tmp_path: Path) -> Callable[..., Any]:
    """Write a small NIH tree (six images of three patients) and return what opens it."""
    rows = nih_rows(6)
    for i, row in enumerate(rows):
        write_image(tmp_path / "images" / row[0], i)

    def build(
        rows: Sequence[Row] = rows, header: Sequence[str] = HEADER, prepare: bool = True, **kwargs: Any
    ) -> Any:
        arguments = {
            "table": write_table(tmp_path / "table.csv", rows, header),
            "image_root": tmp_path,
            "image_folders": ["images"],
            "columns": COLUMNS,
            "labels": NIH,
            "image_size": 16,
            "splits": ALL_TEST,
            "batch_size": 4,
            "artifacts_dir": tmp_path / "artifacts",
        }
        cls = kwargs.pop("cls", LabelledImages)
        given = options(**{**arguments, **kwargs})
        tokenizer = given.pop("tokenizer")
        data = cls(**given, **({"tokenizer": tokenizer} if cls is ImageReports else {}))
        if prepare:
            data.prepare_data()
            data.setup("test")
        return data

    build.rows = rows  # type: ignore[attr-defined]
    return build


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*suggested max number of worker.*")
        yield
