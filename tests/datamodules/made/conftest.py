"""A small corpus in its three forms, a small table of real-looking pairs, and short runs on them."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from main import main
from synthesis.pairs import PairSynthesizer
from synthesis.store import StorePlan, export_parquet, export_webdataset, fill

ROOT = Path(__file__).resolve().parents[3]
PAIRS = 60
SMALL = [
    *("-c", "configs/pretrain.yaml", "-c", "configs/recipes/smoke.yaml"),
    "--model.init_args.image_encoder.init_args.image_size=64",
    "--trainer.logger=[{class_path: CSVLogger, init_args: {save_dir: ., name: '', version: ''}}]",
]
MEASURED = (
    "--trainer.callbacks=["
    "{class_path: callbacks.FeatureCollector},"
    "{class_path: callbacks.LinearProbe, init_args: {min_count: 3, resamples: 20}},"
    "{class_path: callbacks.ZeroShot, init_args: {min_count: 3, resamples: 20}},"
    "{class_path: callbacks.Retrieval, init_args: {resamples: 20}},"
    "{class_path: ModelCheckpoint, init_args: {save_last: true, every_n_train_steps: 1, save_top_k: -1}},"
    "{class_path: callbacks.RunSummary}]"
)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, synthesizer: PairSynthesizer) -> Path:
    """A finished corpus with its exports: ``train/``, ``webdataset/``, ``parquet/``."""
    root = tmp_path_factory.mktemp("corpus")
    store = fill(root / "train", StorePlan(synthesizer, PAIRS, 5), progress=False)
    assert store is not None
    export_webdataset(store, root / "webdataset", synthesizer.catalog, pairs=16)
    export_parquet(store, root / "parquet", synthesizer.catalog, pairs=16)
    return root


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory, synthesizer: PairSynthesizer) -> Path:
    """A folder with a table of images, patients, reports and labels of two concepts, as a user has them."""
    root = tmp_path_factory.mktemp("table")
    with (root / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "patient", "findings", "impression", "Edema", "Cardiomegaly"])
        for pair in synthesizer.make(range(40), 9, "hospital"):
            Image.fromarray(pair.image[0].numpy()).save(root / f"{pair.index}.png")
            present = pair.case.concepts(synthesizer.catalog)
            labels = [int(name in present) for name in ("edema", "cardiomegaly")]
            writer.writerow(
                [f"{pair.index}.png", pair.index // 2, pair.report.findings, pair.report.impression, *labels]
            )
    return root


@pytest.fixture
def fit(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Trains through the command line and returns it with the run's figures."""
    os.chdir(ROOT)
    artifacts = tmp_path_factory.getbasetemp() / "artifacts"

    def run(name: str, *args: str) -> tuple[Any, dict[str, Any]]:
        own = (f"--run_dir={tmp_path / name}", f"--data.init_args.artifacts_dir={artifacts}")
        line = main(["fit", *SMALL, MEASURED, *args, *own])
        summary = tmp_path / name / "summary.json"
        return line, json.loads(summary.read_text()) if summary.exists() else {}

    return run
