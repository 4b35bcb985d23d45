"""What an epoch on pairs made on the fly costs over one on the same pairs from a cache."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.timing import Measured
from benchmarks.training_speed import configured
from datamodules import SyntheticPairs
from datamodules.batch import IMAGE
from lightning_modules import DualEncoder


class BatchClock(Callback):
    """Notes how long a pair takes in each epoch, from its first batch to its last.

    The first batch, and the wait for it, are left out: they weigh far more in these short epochs than in
    those of a real run.

    Attributes:
        seconds_per_pair: One number an epoch.
    """

    def __init__(self) -> None:
        self.seconds_per_pair: list[float] = []
        self._ends: list[float] = []
        self._pairs = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the epoch before."""
        self._ends, self._pairs = [], 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time, and the pairs since the first."""
        self._pairs += len(batch[IMAGE]) if self._ends else 0
        self._ends.append(time.perf_counter())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Divide.

        Raises:
            ValueError: If the epoch had one batch.
        """
        if not self._pairs:
            raise ValueError(f"an epoch had {len(self._ends)} batch; give it 2 batches of pairs or more")
        self.seconds_per_pair.append((self._ends[-1] - self._ends[0]) / self._pairs)


def seconds_per_pair(model: DualEncoder, data: SyntheticPairs, epochs: int) -> float:
    """Train through Lightning and return the seconds a pair of the best epoch after the first."""
    clock = BatchClock()
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1 + epochs,
        gradient_clip_val=1.0,
        limit_val_batches=0,
        use_distributed_sampler=False,
        callbacks=[clock],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, datamodule=data)
    return min(clock.seconds_per_pair[1:])


def fly_against_cache(args: Sequence[str], cache: Path, rounds: int, epochs: int) -> Measured:
    """Train on pairs made on the fly and on the same pairs read from a cache, by turns.

    Args:
        args: For `configured`.
        cache: Directory of the cache; filled before anything is timed.
        rounds: Turns of each.
        epochs: Timed epochs of a turn.

    Returns:
        Pairs a second of both, and how many times longer an epoch on the fly takes.
    """
    places = {"on_the_fly": "null", "cached": str(cache)}
    least = dict.fromkeys(places, math.inf)
    for _ in range(rounds):
        for name, place in places.items():
            built = configured(*args, f"--data.init_args.cache_dir={place}")
            least[name] = min(least[name], seconds_per_pair(built.model, built.data, epochs))
    speeds = {f"{name}_pairs_per_second": 1 / seconds for name, seconds in least.items()}
    return speeds | {"on_the_fly_over_cached": least["on_the_fly"] / least["cached"]}
