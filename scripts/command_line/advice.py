"""What to do about refusals of Lightning, which say what is wrong and not what to give."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scripts.command_line.layers import givens

_SHARE = "give a share from 0 to 1, or a number of batches"
OPTIONS = {
    "accelerator": "give cpu, gpu, auto or another one that this machine has",
    "devices": "give a number of devices from 1, their numbers such as [0, 1], or auto",
    "strategy": "give auto, ddp, or another one of Lightning's that keeps the weights whole on each device",
    "precision": "give 32-true, bf16-mixed, 16-mixed, bf16-true, 16-true or 64-true",
    "max_time": "give a time such as 00:01:30:00, as days, hours, minutes and seconds",
    "limit_train_batches": _SHARE,
    "limit_val_batches": _SHARE,
    "limit_test_batches": _SHARE,
    "limit_predict_batches": _SHARE,
    "overfit_batches": _SHARE,
    "val_check_interval": "give a share of an epoch from 0 to 1, or a number of batches that an epoch has",
    "check_val_every_n_epoch": "give 1 or more",
    "num_sanity_val_steps": "give 0 or more, or -1 for all",
    "max_epochs": "give 0 or more, or -1 for no limit",
    "max_steps": "give 0 or more, or -1 for no limit",
    "fast_dev_run": "give true, false or a number of batches",
    "gradient_clip_algorithm": "give norm or value",
    "profiler": "give simple, advanced, pytorch or null",
    "plugins": "give the classes of plugins, or leave it out",
    "enable_checkpointing": "set it to true, or leave the checkpoint out of trainer.callbacks",
    "reload_dataloaders_every_n_epochs": "give 0 or more",
}
"""Option of the trainer → what can stand there."""
_SAID: tuple[tuple[str, str, str], ...] = (
    # what is said, the option that it is about, what to do where the option does not say it
    (r"`?Timer\(duration", "max_time", ""),
    (r"[Nn]o supported gpu|CUDAAccelerator|`?cuda`? accelerator|GPU.* not available", "accelerator", ""),
    (r"can not run on your system|accelerator", "accelerator", ""),
    (r"\w+Strategy\b", "strategy", ""),
    (r"`?devices`?|requested gpu", "devices", ""),
    (r"torch_xla", "accelerator", ""),
    (r"more than one stateful callback", "callbacks", "leave one out, or give each its own filename or name"),
    (r"enable_checkpointing=False", "enable_checkpointing", ""),
    (r"no logger", "logger", "give trainer.logger one, or leave the callback out of trainer.callbacks"),
    (r"arly stopping conditioned on metric", "callbacks", "monitor one of these in trainer.callbacks"),
)  # fmt: skip


def advised(message: str, words: Sequence[str]) -> str:
    """Return a refusal of Lightning with the option that it is about, its value, and what can stand there.

    Args:
        message: As Lightning wrote it.
        words: The command line.
    """
    name, remedy = _about(message)
    if name is None:
        return message
    value = next((one.value for one in givens(words) if one.key == f"trainer.{name}"), None)
    option = f"trainer.{name}" if value is None or len(value) > 60 else f"trainer.{name}={value}"
    first = message.strip().rstrip(".")
    return f"{option}: {first}; {remedy}"


def _about(message: str) -> tuple[str | None, str]:
    given = re.search(r"Trainer\((\w+)=", message)
    if given and given[1] in OPTIONS:
        return given[1], OPTIONS[given[1]]
    for name, remedy in OPTIONS.items():
        if "_" in name and re.search(rf"\b{name}\b", message):
            return name, remedy
    for pattern, name, remedy in _SAID:
        if re.search(pattern, message):
            return name, remedy or OPTIONS[name]
    for name, remedy in OPTIONS.items():
        if re.search(rf"\b{name}\b", message, re.IGNORECASE):
            return name, remedy
    return None, ""
