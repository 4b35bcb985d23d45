"""Mistakes of all kinds that the other tables lack, written after what those showed was mended."""

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
    OBJECTIVE,
    SAMPLER,
    SYNTHESIZER,
    TEXT,
    TRAINER,
    fit_with,
)  # fmt: skip
from scripts.torture.bad_inputs.predictions import filled
from scripts.torture.bad_inputs.table_data import table, with_table

FEATURES = "{class_path: callbacks.FeatureCollector}"
LIGHTNING = "lightning.pytorch.callbacks"
LAYER = "configs/data/synthetic.yaml"
SETTINGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "image mean without deviation": ({IMAGE + "mean": 0.5}, ("mean", "0.5", "std")),
    "adaptation of a word": ({TEXT + "adaptation": "lora"}, ("adaptation", "lora")),
    "ResNet with patches": (
        {MODEL + "image_encoder": "lightning_modules.ResNetEncoder", IMAGE + "patch_size": 16}, ("patch_size",)),
    "objective of nothing": ({MODEL + "objective": "null"}, ("objective", "null|None")),
    "hard negatives": ({MODEL + "objective": "lightning_modules.SigLIP", OBJECTIVE + "bias": "low"}, ("bias", "low")),
    "local loss without patches": (
        {MODEL + "objective": "lightning_modules.GLoRIA", OBJECTIVE + "temperatures": -1}, ("temperatures",)),
    "drop last of a word": ({LOADER + "drop_last": "often"}, ("drop_last",)),
    "severity of four": ({SAMPLER + "severity_weights": "[1, -1, 1, 1]"}, ("severity_weights", "-1")),
    "rates above one": ({SAMPLER + "uncertain_rate": 7}, ("uncertain_rate", "7")),
    "AP rate": ({SAMPLER + "ap_rate": -0.5}, ("ap_rate", "-0.5")),
    "concepts unknown": ({SAMPLER + "concepts": "[edemaa]"}, ("concepts", "edemaa")),
    "sampler catalogue": ({SAMPLER + "catalog": "no/such.yaml"}, ("catalog", "no/such.yaml")),
    "grammar": ({SYNTHESIZER + "writer.init_args.grammar": "no/such.yaml"}, ("grammar|no/such.yaml",)),
    "filters of a word": ({SYNTHESIZER + "filters": "strict"}, ("filters", "strict")),
    "filter unknown": ({SYNTHESIZER + "filters": "[synthesis.NoSuchFilter]"}, ("filters", "NoSuchFilter")),
    "visible contrast": ({SYNTHESIZER + "image_maker.init_args.visible_contrast": -2}, ("visible_contrast", "-2")),
    "brightness": ({DATA + "views.augmentation": "{brightness: -0.5}"}, ("brightness", "-0.5")),
    "two augmentations": ({DATA + "views.augmentation": "[{noise: 1}, {noise: 2}]"}, ("augmentation",)),
    "sentences of a text": ({DATA + "views.texts": "[{whole: 1, most_sentences: 0}]"}, ("most_sentences", "0")),
    "tokenizer of few words": ({DATA + "tokenizer.vocab_size": 10}, ("vocab_size", "10")),
    "tokenizer of a hub": ({DATA + "tokenizer.path": "emilyalsentzer/Bio_ClinicalBERT"}, ("path|tokenizer", "emilyalsentzer/Bio_ClinicalBERT")),
    "no validation for a stop": (
        {TRAINER + "limit_val_batches": 0, TRAINER + "callbacks": "[{class_path: callbacks.RunStopping, init_args: {monitor: val/loss}}]"},
        ("val/loss", "validation")),
    "patience": ({TRAINER + "callbacks": "[{class_path: callbacks.RunStopping, init_args: {monitor: val/loss, patience: 0}}]"}, ("patience", "0")),
    "classes unknown": (
        {TRAINER + "callbacks": f"[{FEATURES}, {{class_path: callbacks.ClassRetrieval, init_args: {{classes: [edema, oedema]}}}}]"},
        ("classes", "oedema")),
    "subset unknown": (
        {TRAINER + "callbacks": f"[{FEATURES}, {{class_path: callbacks.ZeroShot, init_args: {{subsets: {{five: [oedema]}}}}}}]"},
        ("subset", "oedema")),
    "stratum unknown": (
        {TRAINER + "callbacks": f"[{FEATURES}, {{class_path: callbacks.ZeroShot, init_args: {{strata: [lateral]}}}}]"},
        ("stratum", "lateral")),
    "minutes between checkpoints": ({TRAINER + "callbacks": "[{class_path: callbacks.RunCheckpoint, init_args: {minutes: -1}}]"}, ("minutes", "-1")),
    "top checkpoints": ({TRAINER + "callbacks": "[{class_path: callbacks.RunCheckpoint, init_args: {save_top_k: -3}}]"}, ("save_top_k", "-3")),
    "interval of learning rates": (
        {TRAINER + "callbacks": f"[{{class_path: {LIGHTNING}.LearningRateMonitor, init_args: {{logging_interval: hour}}}}]"},
        ("logging_interval", "hour")),
    "refresh rate": ({TRAINER + "callbacks": f"[{{class_path: {LIGHTNING}.TQDMProgressBar, init_args: {{refresh_rate: fast}}}}]"}, ("refresh_rate", "fast")),
    "logger without a place": ({TRAINER + "logger": "[{class_path: lightning.pytorch.loggers.CSVLogger, init_args: {}}]"}, ("save_dir",)),
    "W&B mode": ({TRAINER + "logger": "[{class_path: callbacks.WandbRunLogger, init_args: {save_dir: '.', offline: maybe}}]"}, ("offline", "maybe")),
    "anomalies": ({TRAINER + "detect_anomaly": "sometimes"}, ("detect_anomaly", "sometimes")),
    "precision twice": ({TRAINER + "precision": "[32]"}, ("precision", "[32]|32")),
    "time of a clock": ({TRAINER + "max_time": "12:30"}, ("max_time", "12:30")),
}  # fmt: skip
"""What → the values, and what a clear answer says."""
TABLES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "report of control characters": (table({2: "2.png,p2,PA,\x07\x08,Effusion"}), {}, ("row 3", "report")),
    "report of one letter": (table({2: "2.png,p2,PA,x,Effusion"}), {}, ("row 3", "report")),
    "image of spaces": (table({2: "   ,p2,PA,Normal heart.,Effusion"}), {}, ("row 3", "image")),
    "patients column missing": (table(), {"columns": "{image: image, patient: person, report: report}"}, ("person", "patient")),
    "columns of a list": (table(), {"columns": "[image, report]"}, ("columns",)),
    "splits by patients": (table(), {"splits": "{train: 0.0, val: 1.0}"}, ("train", "0.0|0")),
    "where of a text": (table(), {"where": "view == PA"}, ("where", "view == PA")),
    "percentiles": (table(), {"percentiles": "[99, 1]"}, ("percentiles",)),
}  # fmt: skip
PROGRAMS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "predict with two models": (["main", "predict", "{own}/images", "--model"], ("model",)),
    "predict a hub's model": (["main", "predict", "{own}/images", "--model=google/vit", "--to={own}/out"], ("google/vit", "model|weights")),
    "predict of a map without prompts": (["main", "predict", "{own}/images", "--maps=", "--to={own}/out"], ("maps",)),
    "export of no run at all": (["main", "export", "--run="], ("run",)),
    "sweep of no sweep": (["main", "sweep"], ("sweep",)),
    "compare arms of no comparison": (["main", "compare", "paper", "--arms", "fast", "--out={own}/o"], ("fast", "arms")),
    "corpus of two shares": (["main", "corpus", LAYER, "--shard=1/2/3", "--out={own}/c"], ("shard", "1/2/3")),
    "misspelt word": (["main", "exprot"], ("exprot",)),
    "options of a module": (["main", "options", "lightning_modules"], ("lightning_modules",)),
    "cards without a run": (["main", "cards", "--run={own}/images"], ("images",)),
}  # fmt: skip


MEANT = {
    "logger without a place": "every logger is given the directory of the run",
}


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for what, (changes, names) in SETTINGS.items():
        yield BadInput(f"more/{what}", fit_with(changes), names, MEANT.get(what, ""))
    for what, (text, settings, names) in TABLES.items():
        yield BadInput(f"more/{what}", with_table(text, settings), names)
    for what, (words, names) in PROGRAMS.items():
        yield BadInput(f"more/{what}", filled(words), names, MEANT.get(what, ""))
