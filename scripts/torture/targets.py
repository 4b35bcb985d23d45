"""What takes a while and can be begun again: its commands, and what has to be the same in the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from scripts.sweeps.journal import open_journal
from scripts.torture.paths import small_store
from scripts.torture.samples import (
    LAYERS,
    QUIET,
    SIZE,
    TIMES,
    command,
    csv_logger,
    options,
    small_fit,
    small_values,
    training_state,
    tree_sha256,
    write_layer,
)

Words = Callable[[Path], "list[str] | Callable[[], object]"]


@dataclass(frozen=True)
class Target:
    """Something that takes a while and can be begun again.

    Attributes:
        name: How the table names it.
        begin: Directory → its command.
        go_on: Directory → the command that a user gives after it was interrupted.
        result: Directory → what has to be the same in the end.
        attempts: How often it is interrupted, by way of interrupting it.
    """

    name: str
    begin: Words
    go_on: Words
    result: Callable[[Path], Any]
    attempts: dict[str, int]


# ------------------------------------------------------------------------------------------------ training
TRAINING = {
    "trainer.max_epochs": 3,
    "data.init_args.train_pairs": 96,
    "data.init_args.loader.epoch_size": 96,
    "data.init_args.loader.echo": 1,
    "model.init_args.image_encoder.init_args.dropout": 0.1,
}


def fit(directory: Path) -> list[str]:
    """Return a training of a few epochs with validation."""
    return small_fit(directory, **TRAINING)


def go_on_with_fit(directory: Path) -> list[str]:
    """Return the same with `--resume`; afresh where it was killed before its first checkpoint."""
    if any((directory / "run" / "checkpoints").glob("*.ckpt")):
        return [*fit(directory), "--resume"]
    shutil.rmtree(directory / "run", ignore_errors=True)
    return fit(directory)


def trained(directory: Path) -> dict[str, Any]:
    """Return weights, optimiser and figures of a finished training."""
    run = _last_run(directory)
    checkpoints = run / "checkpoints"
    summary = json.loads((run / "summary.json").read_text())
    figures = {key: value for key, value in summary.items() if key.startswith(("val/", "test/"))}
    return {
        "last": training_state(checkpoints / "last.ckpt"),
        "best": training_state(checkpoints / "best.ckpt"),
        "curve": (run / "metrics.csv").read_text(),
        "figures": figures,
    }


# ------------------------------------------------------------------------------------------- pairs on disk
def cache(directory: Path) -> list[str]:
    """Return a training of one step that makes its pairs first."""
    pairs = {"train_pairs": 256, "val_pairs": 64, "cache_dir": str(directory / "cache"), "test_pairs": 16}
    values = {f"data.init_args.{name}": value for name, value in pairs.items()}
    limits = {"trainer.max_epochs": 1, "trainer.limit_train_batches": 1, "trainer.limit_val_batches": 1}
    values["trainer.callbacks"] = []
    values["trainer.logger"] = False
    values["trainer.enable_checkpointing"] = False
    return small_fit(directory, **{**values, **limits})


def store(directory: Path) -> Callable[[], object]:
    """Return the filling of a store of a few files."""
    return partial(small_store, directory / "store", 48)


def corpus(directory: Path) -> list[str]:
    """Return the making of a corpus with filters, card, gallery and exports."""
    content = yaml.safe_load(Path("configs/corpus/default.yaml").read_text())
    content |= {"shard_pairs": 16, "export_pairs": 20, "examples": 1}
    path = directory / "corpus.yaml"
    path.write_text(yaml.safe_dump(content))
    size = {"model.init_args.image_encoder.init_args.image_size": SIZE}
    own = [f"--out={directory / 'corpus'}", f"--corpus={path}", "--pairs=96", "--workers=0"]
    return ["scripts.corpora.make_corpus", "configs/filters/standard.yaml", *own, *options(size)]


# ------------------------------------------------------------------------------------------------ generators
def generator(directory: Path) -> list[str]:
    """Return the training of a small variational autoencoder."""
    values = {
        **QUIET,
        "run_dir": str(directory / "run"),
        "trainer.max_epochs": 3,
        "trainer.logger": False,
        "trainer.callbacks": [
            {"class_path": "callbacks.WeightAverage", "init_args": {"decay": 0.9}},
            {"class_path": "callbacks.GeneratorExport"},
            {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {"save_last": True}},
        ],
        "model.init_args.width": 8,
        "model.init_args.latent_dim": 8,
        "model.init_args.report_encoder.init_args.width": 16,
        "model.init_args.report_encoder.init_args.layers": 1,
        "data.init_args.train_pairs": 64,
        "data.init_args.val_pairs": 16,
        "data.init_args.loader.batch_size": 8,
        "data.init_args.loader.num_workers": 0,
        "data.init_args.tokenizer_reports": 100,
        "data.init_args.cache_dir": str(directory / "cache"),
        "data.init_args.artifacts_dir": str(directory / "artifacts"),
    }
    return command("fit", ("configs/generator/base.yaml", "configs/generator/variational.yaml"), values)


def go_on_with_generator(directory: Path) -> list[str]:
    """Return the same with the last checkpoint that it has left."""
    return _from_last(directory, generator(directory))


def _from_last(directory: Path, words: list[str]) -> list[str]:
    """Go on with the last run if it has left a checkpoint; else begin another one."""
    runs = sorted(directory.glob("run*"), key=lambda path: path.stat().st_mtime)
    begun = [run for run in runs if any((run / "checkpoints").glob("*.ckpt"))]
    run = begun[-1] if begun else directory / f"run-{len(runs) + 1}"
    kept = [word for word in words if not word.startswith(("--run_dir", "--trainer.logger=["))]
    logger = options({"trainer.logger": csv_logger(run)}) if len(kept) < len(words) - 1 else []
    return [*kept, f"--run_dir={run}", *logger, *(["--resume"] if begun else [])]


def _last_run(directory: Path) -> Path:
    return max(directory.glob("run*"), key=lambda path: path.stat().st_mtime)


def generated(directory: Path) -> dict[str, Any]:
    """Return the weights of a generator and its export."""
    return {
        "last": training_state(_last_run(directory) / "checkpoints" / "last.ckpt"),
        "export": tree_sha256(_last_run(directory) / "export"),
    }


# --------------------------------------------------------------------------------- comparisons and sweeps
def comparison(directory: Path) -> list[str]:
    """Return a comparison of two arms."""
    values = small_values(directory, **TRAINING) | {"trainer.logger": False, "trainer.max_epochs": 2}
    values["data.init_args.cache_dir"] = str(directory / "cache")
    del values["run_dir"]
    content = {
        "title": "Killed",
        "question": "Does it go on?",
        "base": [*LAYERS, str(write_layer(directory / "layer.yaml", values))],
        "arms": {"a": {}, "b": {"overrides": {"model.init_args.learning_rate": 0.01}}},
        "reference": "b",
        "scales": {"full": {}},
        "test": {"overrides": {"trainer.enable_progress_bar": False}},
        "metrics": {"R@10": "test/retrieval/i2t_hit@10", "AUROC": "test/zero_shot/auroc_macro"},
        "note": "{seeds}, {steps} steps.",
    }
    path = directory / "killed.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    own = [f"--out={directory / 'out'}", f"--cache={directory / 'cache'}", "--minutes=0"]
    return ["scripts.comparison.__main__", str(path), *own]


def compared(directory: Path) -> dict[str, Any]:
    """Return the tables, and the record without times."""
    lines = (directory / "out" / "runs.csv").read_text().splitlines()
    names = lines[0].split(",")
    kept = [k for k, name in enumerate(names) if name not in TIMES]
    record = [",".join(line.split(",")[k] for k in kept) for line in lines]
    return {"record": record, "table": (directory / "out" / "table.csv").read_text()}


def swept(directory: Path) -> dict[str, Any]:
    """Return the runs of the study without times, and the table."""
    import optuna

    storage = open_journal(directory / "out" / "study.journal")
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials()
    runs = [[t.number, t.state.name, t.params, t.value, t.intermediate_values] for t in trials]
    return {"runs": runs, "table": (directory / "out" / "table.csv").read_text()}


def sweep(directory: Path) -> list[str]:
    """Return a sweep of two rows."""
    values = {k: v for k, v in small_values(directory, **TRAINING).items() if k != "run_dir"}
    values |= {"trainer.logger": False, "trainer.max_epochs": 2}
    layers = [word for path in LAYERS for word in ("-c", path)]
    program = ["${env}", "${interpreter}", "${program}", "fit", *layers, *options(values), "${args}"]
    content = {
        "program": "main.py",
        "command": program,
        "method": "grid",
        "metric": {"name": "val/zero_shot/auroc_macro", "goal": "maximize"},
        "parameters": {"model.init_args.learning_rate": {"values": [0.001, 0.01]}},
    }
    path = directory / "killed.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    own = [f"--out={directory / 'out'}", "--minutes=0"]
    return ["scripts.sweeps.__main__", str(path), *own]


TARGETS = (
    Target(
        "fit",
        fit,
        go_on_with_fit,
        trained,
        {"kill": 14, "other file system": 6, "full disk": 5, "terminate": 3},
    ),
    Target("store", store, store, lambda d: tree_sha256(d / "store"), {"kill": 4}),
    Target("cache", cache, cache, lambda d: tree_sha256(d / "cache"), {"kill": 8, "full disk": 3}),
    Target("corpus", corpus, corpus, lambda d: tree_sha256(d / "corpus"), {"kill": 8, "full disk": 3}),
    Target("generator", generator, go_on_with_generator, generated, {"kill": 6, "other file system": 2}),
    Target("comparison", comparison, comparison, compared, {"kill": 4, "full disk": 2}),
    Target("sweep", sweep, sweep, swept, {"kill": 3}),
)
