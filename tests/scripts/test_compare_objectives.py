"""`make compare-objectives` at smoke scale, and every objective through the command line."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import scripts.compare_objectives as comparison
from main import main
from scripts.compare_objectives import compare
from scripts.comparison import check_equal
from scripts.run_record import read_runs, write_runs

ROOT = Path(__file__).resolve().parents[2]
OBJECTIVES = sorted(path.stem for path in (ROOT / "configs" / "objectives").glob("*.yaml"))


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> None:
    """Paths in YAML are those of a checkout."""
    os.chdir(ROOT)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """One tokenizer and one cache for all."""
    directory = tmp_path_factory.mktemp("shared")
    return (
        f"--data.init_args.artifacts_dir={directory / 'artifacts'}",
        f"--data.init_args.cache_dir={directory / 'cache'}",
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_trains_from_its_yaml(name: str, shared: tuple[str, str], tmp_path: Path) -> None:
    """With its own texts, which the comparison replaces."""
    line = main(
        [
            "fit",
            *("-c", "configs/pretrain.yaml"),
            *("-c", "configs/recipes/smoke.yaml"),
            *("-c", f"configs/objectives/{name}.yaml"),
            *shared,
            *("--trainer.callbacks=null", "--trainer.logger=false", "--trainer.enable_progress_bar=false"),
            *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"),
            *("--trainer.gradient_clip_val=null", "--trainer.enable_checkpointing=false"),
            f"--run_dir={tmp_path}",
        ]
    )
    metrics = line.trainer.callback_metrics
    assert line.trainer.global_step == 2
    assert torch.isfinite(metrics["train/loss"]) and torch.isfinite(metrics["val/loss"])


@pytest.fixture
def two_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arm with the most parts and one with layers of its own stand for all; the others train above."""
    shutil.copytree("configs/objectives", tmp_path / "arms")
    for name in set(OBJECTIVES) - {"twins", "gloria"}:
        (tmp_path / "arms" / f"{name}.yaml").unlink()
    monkeypatch.setattr(comparison, "ARMS", tmp_path / "arms")


@pytest.mark.timeout(400)  # two arms, fitted, tested and tested again
@pytest.mark.usefixtures("two_arms")
def test_the_comparison_is_complete_resumable_and_shares_its_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    compare("smoke", [0], out, cache)
    with (out / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == ["gloria", "twins"]
    assert all("[" in row[column] for row in rows for column in comparison.METRICS), "with intervals"
    assert {path.name for path in out.glob("*.*")} == {
        "runs.csv",
        "table.md",
        "table.csv",
        "table.tex",
        "plot.png",
    }
    manifests = [json.loads(path.read_text()) for path in cache.glob("*/*/manifest.json")]
    filled = sorted(("twins_of" in m["recipe"]["synthesizer"], m["split"], m["pairs"]) for m in manifests)
    sizes = {"test": 300, "train": 32, "val": 16}
    pairs = [(twins, split, sizes[split]) for twins in (False, True) for split in sizes]
    assert filled == pairs, "both arms read the same pairs, and all are tested on the same twins"

    finished, unfinished = sorted(path.parent for path in (out / "runs").glob("*/result.json"))
    stamp = (finished / "fitted.json").stat().st_mtime_ns
    figures = json.loads((unfinished / "result.json").read_text())["metrics"]
    for name in ("result.json", "fitted.json"):  # as if it had been interrupted: run again from its start
        (unfinished / name).unlink()
    more = yaml.safe_load(comparison.TASKS.read_text())
    more["trainer"]["callbacks"].insert(1, {"class_path": "callbacks.EmbeddingGeometry"})
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(more))
    monkeypatch.setattr(comparison, "TASKS", tmp_path / "more.yaml")
    monkeypatch.setattr(comparison, "METRICS", comparison.METRICS | {"alignment": "test/geometry/alignment"})
    elsewhere = [replace(run, seed=1, precision="bf16-mixed") for run in read_runs(out / "runs.csv")]
    write_runs(out / "runs.csv", [*read_runs(out / "runs.csv"), *elsewhere])
    with pytest.raises(ValueError, match=r"runs\.csv: gloria, seed 1 lacks \['test/geometry/alignment'\]"):
        compare("smoke", [0], out, cache)
    recorded = read_runs(out / "runs.csv")
    assert [run.seed for run in recorded] == [0, 1, 0, 1], "what another machine did is kept"
    alignment = {run.arm: run.figures for run in recorded if run.seed == 0}
    write_runs(out / "runs.csv", [replace(run, figures=alignment[run.arm]) for run in recorded])
    table = compare("smoke", [0], out, cache, only=["twins"])
    assert "alignment" in table
    assert table.count("±") == 2 * len(comparison.METRICS) + 1, "two seeds an arm, and the note"
    assert "; seed 1 in bf16-mixed, SHA-256" in table
    again = json.loads((unfinished / "result.json").read_text())["metrics"]
    assert again["test/zero_shot/auroc_macro"] == figures["test/zero_shot/auroc_macro"]
    assert json.loads((finished / "result.json").read_text())["metrics"]["test/geometry/alignment"] > 0
    assert (finished / "fitted.json").stat().st_mtime_ns == stamp, "tested again, not trained again"
    shutil.rmtree(out / "runs")
    assert compare("smoke", [0], out, cache, only=comparison.parse(["--arms"]).arms) == table
    assert not (out / "runs").exists(), "drawn from the record alone"


def test_a_budget_of_pairs_is_that_of_every_arm(tmp_path: Path) -> None:
    arms = comparison.experiments("full", [0], tmp_path, tmp_path, pairs=640)
    configs = {name: runs[0].config() for name, runs in arms.items()}
    check_equal(configs, comparison.EQUAL)
    for config in configs.values():
        data, trainer = config["data"]["init_args"], config["trainer"]
        assert (data["train_pairs"], data["loader"]["epoch_size"], trainer["max_epochs"]) == (640, 640, 1)
        assert trainer["check_val_every_n_epoch"] == 1, "or nothing would be saved"


def test_unknown_scales_and_arms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such scale \(there are \['full', 'smoke'\]\)"):
        compare("tiny", [0], tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"no such arms: \['clib'\]"):
        compare("smoke", [0], tmp_path, tmp_path, only=["clib"])
