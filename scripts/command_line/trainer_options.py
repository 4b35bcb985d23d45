"""Options of the trainer that Lightning takes though they cannot be meant."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from scripts.command_line.sharding import check_strategy

# The option, the least that can be meant, and what else may stand there.
_TRAINER = {
    "gradient_clip_val": (0, ()),
    "log_every_n_steps": (0, ()),
    "accumulate_grad_batches": (1, ()),
    "check_val_every_n_epoch": (1, ()),
    "num_sanity_val_steps": (0, (-1,)),
    "num_nodes": (1, ()),
}


def check_trainer(options: Mapping[str, Any]) -> None:
    """Refuse options of the trainer that Lightning takes though they cannot be meant.

    Args:
        options: The trainer's, as parsed.

    Raises:
        ValueError: Naming option, value and range.
    """
    for name, (low, also) in _TRAINER.items():
        value = options.get(name)
        if value is not None and value < low and value not in also:
            raise ValueError(f"trainer.{name}={value}: give {low} or more")
    check_strategy(options.get("strategy"))
    devices, cores = options.get("devices"), os.cpu_count() or 1
    processes = devices if isinstance(devices, int) else int(str(devices)) if str(devices).isdigit() else 0
    if options.get("accelerator") in ("cpu", "auto") and processes > max(8, 4 * cores):
        raise ValueError(
            f"trainer.devices={devices}: as many processes would be started on {cores} cores; give fewer"
        )
    interval = options.get("val_check_interval")
    if isinstance(interval, int | float) and interval <= 0:
        raise ValueError(
            f"trainer.val_check_interval={interval}: give a share of an epoch, or steps, above 0"
        )
