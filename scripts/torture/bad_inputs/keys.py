"""Values of keys of every layer: null, empty, huge, not a number, lists, of another type."""

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
    named,
)

VALUES: dict[str, tuple[Any, ...]] = {
    IMAGE + "image_size": ("null", 1_000_000, ".inf"),
    IMAGE + "patch_size": ("null", "[16]", 64.5),
    IMAGE + "width": ("null", 4.5),
    IMAGE + "layers": ("null", "true"),
    IMAGE + "heads": ("null", 5),
    IMAGE + "mean": ("nan", 0.5),
    IMAGE + "projection_hidden": (-3, "abc"),
    IMAGE + "pretrained": ("", "google/vit-base-patch16-224"),
    TEXT + "max_length": ("null",),
    TEXT + "pooling": ("max", "null"),
    TEXT + "vocab_size": (10**12, "null"),
    TEXT + "pretrained": ("bert-base-uncased",),
    OBJECTIVE + "temperature": ("null", "[0.07]"),
    MODEL + "learning_rate": ("null", "", "[0.1]"),
    MODEL + "betas": ("[0.9]", "[0.9, 1.5]", 0.9),
    MODEL + "warmup": (100_000, "abc"),
    MODEL + "weight_decay": ("inf", "null"),
    MODEL + "seed": ("null", 1.5, 2**70),
    MODEL + "weights": ("no/such/weights", "configs", ""),
    MODEL + "frozen": ("[image_encoder.nothing]", "image_encoder"),
    MODEL + "layer_decay": (0, 1.5, "nan"),
    MODEL + "encoded_at_once": (0, "abc"),
    DATA + "train_pairs": ("null", 10**15, "[64]"),
    DATA + "val_pairs": (0, "null"),
    DATA + "tokenizer_reports": ("null", "abc"),
    DATA + "tokenizer": ("[]", "abc"),
    DATA + "tokenizer.path": ("configs/pretrain.yaml", ""),
    DATA + "views.augmentation": ("{noise: .nan}", "{rotation: 1000000}", "[]"),
    DATA + "views.max_length": ("null", 10**9),
    LOADER + "batch_size": ("null", 10**9),
    LOADER + "num_workers": ("null", 1.5),
    LOADER + "echo": ("null", "abc"),
    SAMPLER + "normal_rate": ("null", "abc"),
    SAMPLER + "severity_weights": ("[.nan, 1, 1]", "abc"),
    SYNTHESIZER + "attempts": ("null", 10**12),
    SYNTHESIZER + "catalog": ("no/such.yaml", "configs"),
    SYNTHESIZER + "image_maker.init_args.atlas": ("configs/pretrain.yaml", "no/such.npz"),
    SYNTHESIZER + "image_maker.init_args.clutter_rate": (-1, "nan"),
    SYNTHESIZER + "image_maker.init_args.device": ("cuda", "toaster"),
    TRAINER + "devices": ("[0, 5]", "null", 2000),
    TRAINER + "accelerator": ("gpu", "tpu", 3),
    TRAINER + "strategy": ("fsdp", "deepspeed"),
    TRAINER + "num_nodes": (0, "abc"),
    TRAINER + "max_epochs": ("[1]", "nan"),
    TRAINER + "max_time": ("-1:00:00:00", 5),
    TRAINER + "limit_val_batches": (2.5, "nan"),
    TRAINER + "gradient_clip_algorithm": ("magic",),
    TRAINER + "profiler": ("magic",),
    TRAINER + "overfit_batches": (-1, "abc"),
    TRAINER + "fast_dev_run": (-1, "perhaps"),
    TRAINER + "reload_dataloaders_every_n_epochs": (-1,),
    TRAINER + "plugins": ("magic",),
    TRAINER + "logger": ("[{class_path: lightning.pytorch.loggers.NeptuneLogger}]", "magic", 3),
    "seed_everything": ("null", 1.5, "[1]"),
    "run_dir": ("", "null", "configs/pretrain.yaml", "runs/" + "a" * 300),
    "ckpt_path": ("", "http://127.0.0.1/a.ckpt", ".", "configs"),
    "resume": ("perhaps",),
}
"""Key → values that it must not take."""
MEANT: dict[tuple[str, Any], str] = {
    (TRAINER + "devices", "null"): "null is the trainer's own choice",
}


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for key, values in VALUES.items():
        for value in values:
            name = f"key/{key.replace('init_args.', '')}={str(value)[:60]}"
            yield BadInput(name, fit_with({key: value}), named(key, value), MEANT.get((key, value), ""))
