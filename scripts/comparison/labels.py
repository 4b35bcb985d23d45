"""What the runs of a comparison are called at Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.comparison.engine import Plan
    from scripts.comparison.run import Run


@contextmanager
def labelled(plan: Plan, run: Run) -> Iterator[None]:
    """Let loggers of W&B name what is trained and tested meanwhile by comparison, arm and seed.

    By W&B's own variables, which `callbacks.WandbRunLogger` reads: the group is the directory of the
    comparison's results unless ``WANDB_RUN_GROUP`` is set; tags are comparison, scale, arm (of a sweep each
    value) and seed, after those of ``WANDB_TAGS``.

    Args:
        plan: The comparison at its scale.
        run: One of its runs.
    """
    own = {
        "WANDB_RUN_GROUP": os.environ.get("WANDB_RUN_GROUP") or plan.out.name,
        "WANDB_NAME": run.name,
        "WANDB_TAGS": ",".join(
            filter(
                None, [os.environ.get("WANDB_TAGS"), plan.comparison.name, plan.scale, *run.name.split(", ")]
            )
        ),
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
