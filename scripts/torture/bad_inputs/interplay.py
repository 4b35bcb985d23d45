"""Options that are good alone and bad together, and what is trained before it is found out."""

# ruff: noqa: E501  a line an input

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.bad_inputs.cli import (
    DATA,
    IMAGE,
    LOADER,
    MODEL,
    SYNTHESIZER,
    TEXT,
    TRAINER,
    fit_with,
    small_command,
)  # fmt: skip
from scripts.torture.samples import LAYERS, command

FEATURES = "{class_path: callbacks.FeatureCollector}"
OBJECTIVE = MODEL + "objective"
TOGETHER: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "patches do not fill the image": ({IMAGE + "patch_size": 24}, ("patch_size", "24", "64")),
    "heads do not divide width": ({TEXT + "heads": 5}, ("heads", "5", "32")),
    "images of another size": (
        {SYNTHESIZER + "image_maker.init_args.image_size": 48}, ("image_size", "48", "64")),
    "projections differ": ({TEXT + "projection_dim": 8}, ("projection_dim", "8", "16")),
    "text longer than the tower": ({DATA + "views.max_length": 500}, ("max_length", "500")),
    "vocabulary larger than the tower": ({DATA + "tokenizer.vocab_size": 5000}, ("vocab_size", "512")),
    "stem of another stride": ({IMAGE + "stem_channels": "[8, 16]"}, ("stem_channels", "patch_size|16")),
    "batch larger than the data": (
        {LOADER + "batch_size": 4096, LOADER + "epoch_size": "null"}, ("batch_size", "4096")),
    "epoch smaller than a batch": ({LOADER + "epoch_size": 3}, ("epoch_size", "3")),
    "validation after more batches than there are": (
        {TRAINER + "val_check_interval": 100_000}, ("val_check_interval", "100000")),
    "no training batches": ({TRAINER + "limit_train_batches": 0}, ("limit_train_batches", "0")),
    "no steps": ({TRAINER + "max_steps": 0}, ("max_steps", "0")),
    "no epochs": ({TRAINER + "max_epochs": 0}, ("max_epochs", "0")),
    "two devices of one": (
        {TRAINER + "devices": 2, TRAINER + "accelerator": "gpu"}, ("devices|accelerator", "gpu")),
    "checkpoints switched off": (
        {TRAINER + "enable_checkpointing": "false", TRAINER + "callbacks": "[callbacks.RunCheckpoint]"},
        ("enable_checkpointing",)),
    "an objective that needs twins of real texts": (
        {OBJECTIVE: "lightning_modules.CounterfactualTwins"}, ("objective", "CounterfactualTwins")),
    "early stopping by nothing": (
        {TRAINER + "callbacks": "[{class_path: lightning.pytorch.callbacks.EarlyStopping, "
         "init_args: {monitor: val/nothing}}]"}, ("val/nothing", "monitor")),
    "learning rate to no logger": (
        {TRAINER + "callbacks": "[lightning.pytorch.callbacks.LearningRateMonitor]",
         TRAINER + "logger": "false"}, ("LearningRateMonitor", "logger")),
    "two evaluations of one name": (
        {TRAINER + "callbacks": f"[{FEATURES}, {{class_path: callbacks.ZeroShot}}, "
         "{class_path: callbacks.ZeroShot}]"}, ("zero_shot", "name")),
    "two checkpoints of one name": (
        {TRAINER + "callbacks": "[{class_path: callbacks.RunCheckpoint}, {class_path: callbacks.RunCheckpoint}]"},
        ("RunCheckpoint", "filename")),
    "features collected last": (
        {TRAINER + "callbacks": f"[{{class_path: callbacks.Retrieval}}, {FEATURES}]"},
        ("FeatureCollector", "Retrieval|first")),
    "no such objective argument": (
        {OBJECTIVE: "lightning_modules.SigLIP", OBJECTIVE + ".init_args.margin": 1}, ("margin",)),
    "a checkpoint of another architecture": (
        {IMAGE + "width": 48, IMAGE + "heads": 3, "ckpt_path": "{shared}/run/checkpoints/last.ckpt"},
        ("last.ckpt", "width|image_encoder")),
    "weights of another architecture": (
        {IMAGE + "width": 48, IMAGE + "heads": 3, MODEL + "weights": "{shared}/run/checkpoints/last.ckpt"},
        ("weights|last.ckpt", "width|image_encoder")),
    "resume of nothing": ({"resume": "true"}, ("resume", "checkpoints")),
    "resume and a checkpoint": (
        {"resume": "true", "ckpt_path": "{shared}/run/checkpoints/last.ckpt"}, ("resume", "ckpt_path")),
    "a pipe of loggers": (
        {TRAINER + "logger": "[{class_path: lightning.pytorch.loggers.CSVLogger}]"}, ("save_dir",)),
    "averaging of nothing": (
        {TRAINER + "callbacks": "[{class_path: lightning.pytorch.callbacks.StochasticWeightAveraging, "
         "init_args: {swa_lrs: -1}}]"}, ("swa_lrs", "-1")),
    "precision of a GPU": ({TRAINER + "precision": "16-mixed", TRAINER + "accelerator": "cuda"}, ("accelerator", "cuda")),
    "catalogue of another domain": (
        {SYNTHESIZER + "catalog": "configs/concepts/covid_19.yaml"}, ("covid_19.yaml|catalog",)),
}  # fmt: skip
"""What → the values, and what a clear answer says."""
OTHERS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "resume of a test": ("test", {"resume": "true"}, ("resume", "test")),
    "test of another model": (
        "test",
        {"ckpt_path": "{shared}/run/checkpoints/last.ckpt", "model": "lightning_modules.FineTune"},
        ("last.ckpt|FineTune|data.init_args.views.max_length",),
    ),
    "test of a directory": ("test", {"ckpt_path": "{shared}/run"}, ("ckpt_path", "run")),
    "test of a table": ("test", {"ckpt_path": "{shared}/run/metrics.csv"}, ("ckpt_path", "metrics.csv")),
    "test of a missing one": (
        "test", {"ckpt_path": "{shared}/run/checkpoints/first.ckpt"}, ("ckpt_path", "first.ckpt"),
    ),
    "an option of fit": ("test", {"ckpt_path": "untrained", "fast": 1}, ("fast",)),
}  # fmt: skip
MEANT = {
    "a pipe of loggers": "every logger is given the directory of the run",
    "features collected last": "features are gathered while batches pass, and read when all have, in any order",
}


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for what, (changes, names) in TOGETHER.items():
        yield BadInput(f"interplay/{what}", fit_with(changes), names, MEANT.get(what, ""))
    for what, (subcommand, changes, names) in OTHERS.items():
        yield BadInput(f"interplay/{what}", fit_with(changes, subcommand), names)
    yield BadInput(
        "interplay/a task without its data",
        lambda own, shared: command("fit", (*LAYERS, "configs/tasks/temporal_comparison.yaml"), {
            **{word[2:].partition("=")[0]: word.partition("=")[2]
               for word in small_command(own, {}) if word.startswith("--")},
            "data.class_path": "datamodules.CorpusPairs", "data.init_args.path": str(own),
        }),
        ("path|data",),
    )  # fmt: skip
