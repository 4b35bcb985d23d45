"""What an epoch on pairs made on the fly costs beside one from a cache, as a row of `make bench`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.epoch_speed import fly_against_cache
from benchmarks.rows import Row, Spread
from synthesis.configuration import shipped


def rows(quick: bool) -> Iterator[Row]:
    """Yield the time of an epoch on the fly over that of a cached one, at echo 1 and 2."""
    batch, batches = (8, 3) if quick else (64, 6)
    workers = 1
    tiny = ["-c", str(shipped("configs/recipes/smoke.yaml"))] if quick else []
    for echo in (1, 2):
        sizes = {
            "train_pairs": 4 * batch * batches,
            "loader.epoch_size": batch * batches,
            "val_pairs": 1,
            "test_pairs": 1,
            "loader.batch_size": batch,
            "loader.num_workers": workers,
            "loader.echo": echo,
        }
        with tempfile.TemporaryDirectory() as folder:
            args = [*tiny, *(f"--data.init_args.{name}={value}" for name, value in sizes.items())]
            args.append(f"--data.init_args.artifacts_dir={folder}/artifacts")
            found = fly_against_cache(args, Path(folder, "cache"), 1 if quick else 2, 1)
        yield Row(
            what=f"an epoch on the fly, echo {echo}",
            peer="the same from a cache",
            version="ours",
            unit="pairs/s",
            ours=Spread.of([found["on_the_fly_pairs_per_second"]]),
            theirs=Spread.of([found["cached_pairs_per_second"]]),
            ratio=Spread.of([1 / found["on_the_fly_over_cached"]]),
            goal="time ≤ 1.15 × (ratio ≥ .87) at echo 1, two workers and a core to spare",
            clock="wall",
            note=f"{workers} worker beside the training process; best epoch of all turns.",
        )
