"""The data modules as the command line builds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

import datamodules
from datamodules import (
    Augmentation,
    Columns,
    ImageReports,
    LabelColumns,
    LabelledImages,
    LoaderOptions,
    SyntheticPairs,
    TextView,
    TokenizerOptions,
    Views,
)
from synthesis.corruption import ClinicSynthesizer

ROOT = Path(__file__).resolve().parents[2]

SYNTHETIC = """
class_path: datamodules.SyntheticPairs
init_args:
  synthesizer:
    class_path: synthesis.ClinicSynthesizer
    init_args:
      sampler: synthesis.BalancedCaseSampler
      writer: synthesis.GrammarWriter
      image_maker:
        class_path: synthesis.Simulator
        init_args: {image_size: 64}
      mispaired: 0.2
      kinds: {blank: 1, rotated: 2.5}
  train_pairs: 100
  views:
    augmentation: {shift: 0.1}
    texts: [{whole: 1, findings: 0}]
  cache_dir: null
"""

REPORTS = """
class_path: datamodules.ImageReports
init_args:
  table: pairs.csv
  image_root: images
  image_size: 32
  columns: {image: file, findings: Findings, impression: Impression}
  labels: {columns: [Edema, Pneumonia], vocabulary: chexpert, uncertain: present}
  where: {View: [PA, AP]}
  splits: {train: 0.8, test: 0.2}
  on_bad: set_aside
  tokenizer: {vocab_size: 500}
"""

LABELLED = """
class_path: LabelledImages
init_args:
  table: labels.csv
  image_root: images
  image_size: 32
  columns: {image: file}
  labels: {columns: Finding Labels, vocabulary: nih}
"""


def build(text: str, extra: list[str] | None = None) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    config = "data:\n" + "".join(f"  {line}\n" for line in text.strip().splitlines())
    parser.add_argument("--config", action="config")
    return parser.instantiate_classes(parser.parse_args(["--config", config, *(extra or [])])).data


def test_made_pairs() -> None:
    data = build(SYNTHETIC, ["--data.loader.batch_size=7"])
    assert isinstance(data, SyntheticPairs) and isinstance(data.synthesizer, ClinicSynthesizer)
    assert data.synthesizer.kinds == {"rotated": 2.5 / 3.5, "blank": 1 / 3.5}
    assert data.views == Views(texts=[TextView(1, 0)], augmentation=Augmentation(shift=0.1))
    assert data.loader == LoaderOptions(batch_size=7)
    assert data.synthesizer.describe()["mispaired"] == 0.2


def test_real_pairs() -> None:
    data = build(REPORTS)
    assert isinstance(data, ImageReports)
    assert data.columns == Columns("file", findings="Findings", impression="Impression")
    assert data.labels == LabelColumns(["Edema", "Pneumonia"], "chexpert", uncertain="present")
    assert data.splits == {"train": 0.8, "val": 0.0, "test": 0.2}
    assert data.tokenizer_options == TokenizerOptions(vocab_size=500)
    assert (data.on_bad, data.where) == ("set_aside", {"View": ["PA", "AP"]})


def test_real_labels() -> None:
    data = build(LABELLED)
    assert isinstance(data, LabelledImages)
    assert data.splits == {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.mark.parametrize("text", [SYNTHETIC, REPORTS, LABELLED])
def test_a_misspelt_key_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="imagesize"):
        build(text + "  imagesize: 3\n")


def test_all_that_is_exported_is_there() -> None:
    assert all(hasattr(datamodules, name) for name in datamodules.__all__)


def test_importing_brings_no_heavy_package() -> None:
    """Beyond what Lightning brings itself."""
    code = (
        "import sys, lightning.pytorch; before = set(sys.modules); "
        "import datamodules; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {
        "transformers",
        "tokenizers",
        "monai",
        "pandas",
        "pydicom",
        "PIL",
        "pyarrow",
        "safetensors",
        "rich",
    }
    assert not heavy & {name.partition(".")[0] for name in done.stdout.split()}
