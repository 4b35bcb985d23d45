"""Bad values of keys on the command line: a key, and values that it must not take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.samples import LAYERS, command, options, small_values

IMAGE = "model.init_args.image_encoder.init_args."
TEXT = "model.init_args.text_encoder.init_args."
OBJECTIVE = "model.init_args.objective.init_args."
MODEL = "model.init_args."
DATA = "data.init_args."
LOADER = "data.init_args.loader."
SAMPLER = "data.init_args.synthesizer.init_args.sampler.init_args."
SYNTHESIZER = "data.init_args.synthesizer.init_args."
TRAINER = "trainer."

NOT_A_NUMBER = ("abc", "", "1,5", "[1]")
VALUES: dict[str, tuple[Any, ...]] = {
    IMAGE + "image_size": (0, -64, 63, *NOT_A_NUMBER),
    IMAGE + "patch_size": (0, -16, 7, 128, "abc"),
    IMAGE + "width": (0, -32, 33, "abc"),
    IMAGE + "layers": (-1, 0, "abc"),
    IMAGE + "heads": (0, -2, 3),
    IMAGE + "projection_dim": (0, -16, 17, "abc"),
    IMAGE + "patch_drop": (-0.1, 1.0, 2, "nan"),
    IMAGE + "dropout": (-0.5, 1.5, "nan", "abc"),
    IMAGE + "pooling": ("middle", 3),
    IMAGE + "stem_channels": ("[0]", "[a]", "[-8, 16]"),
    TEXT + "vocab_size": (0, -5, 3, "abc"),
    TEXT + "max_length": (0, -1, 1, "abc"),
    TEXT + "width": (0, -32, 33),
    TEXT + "layers": (-1, 0),
    TEXT + "heads": (0, 3),
    TEXT + "projection_dim": (0, 8),
    TEXT + "dropout": (-0.5, 2),
    OBJECTIVE + "temperature": (0, -0.07, "nan", "inf", "abc"),
    OBJECTIVE + "learnable": ("maybe", 2),
    MODEL + "learning_rate": (-0.001, "nan", "inf", "abc", 0),
    MODEL + "weight_decay": (-0.05, "nan", "abc"),
    MODEL + "warmup": (-0.1, 1.5, "nan"),
    MODEL + "text_agreement": (-1, "nan", "abc"),
    MODEL + "seed": (-1, "abc"),
    DATA + "train_pairs": (0, -5, 1.5, "abc"),
    DATA + "val_pairs": (-1, "abc"),
    DATA + "test_pairs": (-1, "abc"),
    DATA + "tokenizer_reports": (0, -1),
    DATA + "tokenizer.vocab_size": (0, 3, -1),
    DATA + "tokenizer.path": ("no/such/tokenizer",),
    DATA + "views.max_length": (0, -1, 2),
    DATA + "views.texts": (
        "[{whole: -1}]",
        "[{whole: 0, findings: 0, impression: 0, sentences: 0}]",
        "[]",
        "[{hole: 1}]",
        "abc",
        "[{whole: nan}]",
    ),
    DATA + "views.augmentation": ("{rotation: -1}", "{nonsense: 1}", "abc"),
    DATA + "cache_dir": ("/proc/nothing", "/etc/hostname"),
    DATA + "artifacts_dir": ("/proc/nothing", "/etc/hostname"),
    LOADER + "batch_size": (0, -4, 1.5, "abc"),
    LOADER + "eval_batch_size": (0, -4),
    LOADER + "epoch_size": (0, -4, "abc"),
    LOADER + "echo": (0, -1, 1.5),
    LOADER + "num_workers": (-1, "abc"),
    LOADER + "seed": (-1, "abc"),
    LOADER + "label_fraction": (0, -1, 2, "nan"),
    SAMPLER + "findings_per_case": ("[0.5]", "[2, -1]", "[]", "abc", "[nan, 1]"),
    SAMPLER + "normal_rate": (-0.1, 2, "nan"),
    SAMPLER + "severity_weights": ("[0, 0, 0]", "[1, 1]", "[-1, 1, 1]"),
    SYNTHESIZER + "attempts": (0, -1, "abc"),
    SYNTHESIZER + "image_maker.init_args.image_size": (0, -1, 100_000, "abc"),
    TRAINER + "max_epochs": (-2, "abc", 1.5),
    TRAINER + "max_steps": (-5, "abc"),
    TRAINER + "max_time": ("abc", "1:2"),
    TRAINER + "gradient_clip_val": (-1, "abc", "nan"),
    TRAINER + "precision": (33, "abc", "8-true"),
    TRAINER + "accelerator": ("abacus",),
    TRAINER + "devices": (0, -3, "abc"),
    TRAINER + "strategy": ("magic",),
    TRAINER + "limit_train_batches": (-1, "abc", 1.5),
    TRAINER + "limit_val_batches": (-1, "abc"),
    TRAINER + "val_check_interval": (0, -1, "abc"),
    TRAINER + "check_val_every_n_epoch": (0, -1),
    TRAINER + "accumulate_grad_batches": (0, -1, 1.5),
    TRAINER + "log_every_n_steps": (-1, "abc"),
    TRAINER + "num_sanity_val_steps": (-2, "abc"),
    TRAINER + "deterministic": ("perhaps",),
    TRAINER + "callbacks": (
        "NoSuchCallback", "[{class_path: callbacks.Nothing}]", "[{clas_path: callbacks.Retrieval}]",
    ),
    TRAINER + "logger": ("NoSuchLogger",),
    "seed_everything": (-1, "abc", 2**40),
    "run_dir": ("/proc/nothing", "/etc/hostname/run"),
    "ckpt_path": ("no/such.ckpt", "no/such", "configs/pretrain.yaml", "/tmp", "best"),
}  # fmt: skip
"""Key → values that it must not take."""

UNKNOWN_KEYS = (
    "traner.max_epochs", "trainer.max_epoch", "trainer.epochs", "model.init_args.learning_rat",
    "model.lr", "model.init_args.image_encoder.init_args.widht", "model.init_args.image_encoder.width_",
    "modle.init_args.seed", "data.init_args.batch_size", "data.init_args.loader.batchsize",
    "data.init_args.loader.workers", "dat.init_args.x",
    "data.init_args.synthesizer.init_args.sampler.init_args.normal", "data.init_args.views.textz", "seed",
    "rundir", "resum", "ckpt", "model.init_args.objective.init_args.temprature",
    "trainer.callbacks.init_args.foo",
)  # fmt: skip
CLASSES = (
    "model", "model.init_args.image_encoder", "model.init_args.text_encoder", "model.init_args.objective",
    "data", "data.init_args.synthesizer", "data.init_args.synthesizer.init_args.sampler",
    "data.init_args.synthesizer.init_args.writer", "data.init_args.synthesizer.init_args.image_maker",
)  # fmt: skip
CALLBACKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "resamples": ("{class_path: callbacks.ZeroShot, init_args: {resamples: -1}}", ("resamples", "-1")),
    "prompts": ("{class_path: callbacks.ZeroShot, init_args: {prompts: no/such.yaml}}", ("no/such.yaml",)),
    "min_count": ("{class_path: callbacks.LinearProbe, init_args: {min_count: -1}}", ("min_count", "-1")),
    "fractions": ("{class_path: callbacks.LinearProbe, init_args: {fractions: [2.0]}}", ("fractions", "2.0")),
    "ks": ("{class_path: callbacks.Retrieval, init_args: {ks: [0]}}", ("ks", "0")),
    "unknown argument": ("{class_path: callbacks.Retrieval, init_args: {kk: [5]}}", ("kk",)),
    "monitor": (
        "{class_path: callbacks.RunCheckpoint, init_args: {monitor: val/nothing, mode: max}}",
        ("val/nothing",),
    ),
    "mode": (
        "{class_path: callbacks.RunCheckpoint, init_args: {monitor: val/loss, mode: most}}",
        ("mode", "most"),
    ),
    "weight average": ("{class_path: callbacks.WeightAverage, init_args: {decay: 2}}", ("decay", "2")),
    "gallery": ("{class_path: callbacks.PairGallery, init_args: {pairs: -1}}", ("pairs", "-1")),
    "not first": ("{class_path: callbacks.Retrieval}", ("FeatureCollector",)),
}
WORDS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "no word": ([], ("fit",)),
    "misspelt word": (["fitt"], ("fitt",)),
    "no layers": (["fit"], ("model|config",)),
    "missing layer": (["fit", "-c", "configs/nothing.yaml"], ("configs/nothing.yaml",)),
    "layer is a directory": (["fit", "-c", "configs"], ("configs",)),
    "layer twice misspelt": (["fit", "-c", "configs/pretrain.yml"], ("configs/pretrain.yml",)),
    "flag without value": (["fit", "-c", "configs/pretrain.yaml", "--seed_everything"], ("seed_everything",)),
    "stray word": (["fit", "-c", "configs/pretrain.yaml", "now"], ("now",)),
    "single dash": (["fit", "-c", "configs/pretrain.yaml", "-seed_everything=1"], ("seed_everything",)),
    "unknown flag": (["fit", "-c", "configs/pretrain.yaml", "--fast"], ("--fast",)),
    "test without a checkpoint": (["test", *(w for path in LAYERS for w in ("-c", path))], ("ckpt_path",)),
    "validate without a checkpoint": (
        ["validate", *(w for path in LAYERS for w in ("-c", path))],
        ("ckpt_path",),
    ),
    "predict without a checkpoint": (
        ["predict", *(w for path in LAYERS for w in ("-c", path))],
        ("ckpt_path",),
    ),
}

MEANT: dict[tuple[str, Any], str] = {
    (IMAGE + "layers", 0): "no blocks: patches are embedded and pooled, the smallest baseline",
    (SAMPLER + "severity_weights", "[1, 1]"): "weights are interpolated to the grades of a concept",
    (MODEL + "learning_rate", 0): "weights stay: the control of a comparison",
}
"""(key, value) → why it is accepted without a word."""


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for key, values in VALUES.items():
        for value in values:
            name = f"cli/{key.replace('init_args.', '')}={value}"
            yield BadInput(name, fit_with({key: value}), named(key, value), MEANT.get((key, value), ""))
    for key in UNKNOWN_KEYS:
        yield BadInput(f"cli unknown key/{key}", fit_with({key: 1}), (key.rpartition(".")[2],))
    for key in CLASSES:
        for value in ("NoSuchClass", "callbacks.Retrieval", "os.system"):
            yield BadInput(
                f"cli class/{key.replace('init_args.', '')}={value}", fit_with({key: value}), (value,)
            )
    for what, (entry, names) in CALLBACKS.items():
        before = "" if what == "not first" else "{class_path: callbacks.FeatureCollector}, "
        yield BadInput(f"cli callback/{what}", fit_with({"trainer.callbacks": f"[{before}{entry}]"}), names)
    for what, (words, names) in WORDS.items():
        yield BadInput(f"cli words/{what}", lambda own, shared, words=words: ["main", *words], names)  # type: ignore[misc]


def small_command(own: Path, changes: dict[str, Any], subcommand: str = "fit") -> list[str]:
    """Return a training of one step with some values over everything."""
    values = small_values(own) | {
        "trainer.callbacks": [],
        "trainer.max_steps": 1,
        "trainer.limit_val_batches": 1,
    }
    return [*command(subcommand, LAYERS, values), *options(changes)]


def fit_with(changes: dict[str, Any], subcommand: str = "fit") -> Callable[[Path, Path], list[str]]:
    """Return the words of a bad input that has these values; ``{shared}`` stands for what is prepared."""

    def words(own: Path, shared: Path) -> list[str]:
        filled = {
            key: value.replace("{shared}", str(shared)) if isinstance(value, str) else value
            for key, value in changes.items()
        }
        return small_command(own, filled, subcommand)

    return words


_EMPTY = "''|\"\"|empty|nothing"


def named(key: str, value: Any) -> tuple[str, ...]:
    """Return what an answer to a bad value says: the key, or one inside the value, and what stands there."""
    last, shown = key.rpartition(".")[2], str(value)
    if key == DATA + "views.texts":
        last = "texts|TextView"
    if shown == "":
        return (last, _EMPTY)
    if shown in ("null", "true"):
        return (last, {"null": "null|None|NoneType", "true": "true"}[shown])
    if shown[0] not in "[{":
        return (last, shown)
    words = re.findall(r"[\w./+-]+", shown)
    if shown[0] == "[" or not words:
        return (last, "|".join(words) or f"{_EMPTY}|{shown}")
    keys = re.findall(r"(\w+):", shown)
    return ("|".join([last, *keys]), "|".join(word for word in words if word not in keys))
