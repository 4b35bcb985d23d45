"""Memory over many pairs: made on the fly, and streamed from tars and Parquet files."""

from __future__ import annotations

import io
import json
import os
import resource
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scripts.torture.campaign import Campaign, Case, Outcome
from scripts.torture.process import run

MADE = 20_000
STREAMED = 500_000  # of each form: a million
FILE_PAIRS = 10_000
SIDE = 16  # pixels of a tiny picture
LOOKS = 20  # at memory, over a run
MOST_GROWTH = 64 << 20  # bytes over a whole run, by the slope after its first fifth


class Memory(Campaign):
    """See the head of this file."""

    name = "memory"
    title = f"memory over {MADE:,} pairs on the fly and {2 * STREAMED:,} tiny pairs streamed does not grow"
    quick = False
    survives = frozenset({"flat"})

    def prepare(self, directory: Path, short: bool) -> None:
        """Write one tar and one Parquet file, under many names."""
        (directory / "tar").mkdir()
        (directory / "parquet").mkdir()
        write_tar(directory / "tar" / "00000.tar")
        write_parquet(directory / "parquet" / "00000.parquet")
        for suffix in ("tar", "parquet"):
            for number in range(1, STREAMED // FILE_PAIRS):
                os.link(directory / suffix / f"00000.{suffix}", directory / suffix / f"{number:05}.{suffix}")

    def cases(self, directory: Path, short: bool) -> Iterator[Case]:
        """Yield the measurements."""
        for suffix in ("tar", "parquet"):
            reading = partial(read_streamed, directory / suffix)
            yield Case(f"streamed/{suffix}", partial(measured, reading, STREAMED), seconds=1200)
        yield Case("on the fly/simulator", partial(measured, make_pairs, MADE), seconds=900)

    def sabotage(self) -> None:
        """Keep every batch."""
        from datamodules.loading.batch_data_module import BatchDataModule

        kept: list[Any] = []
        collate = BatchDataModule.on_before_batch_transfer

        def keep(self: Any, batch: Any, index: int) -> Any:
            kept.append(batch)
            return collate(self, batch, index)

        BatchDataModule.on_before_batch_transfer = keep  # type: ignore[assignment,method-assign]


def write_tar(path: Path) -> None:
    """Write a tar of tiny pairs."""
    from PIL import Image

    rng = np.random.default_rng(0)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(FILE_PAIRS):
            picture = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), np.uint8)).save(picture, "png")
            for suffix, content in (("png", picture.getvalue()), ("txt", _text(number).encode())):
                member = tarfile.TarInfo(f"{number:09}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def write_parquet(path: Path) -> None:
    """Write a Parquet file of tiny pairs."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(FILE_PAIRS):
        picture = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), np.uint8)).save(picture, "png")
        pictures.append(picture.getvalue())
    pq.write_table(pa.table({"image": pictures, "text": [_text(k) for k in range(FILE_PAIRS)]}), path)


def _text(number: int) -> str:
    return f"IMPRESSION: Small left pleural effusion, number {number}."


def read_streamed(place: Path, look: Callable[[int], None], directory: Path) -> None:
    """Read all pairs in the order of training."""
    from datamodules import CorpusPairs, LoaderOptions, TokenizerOptions, Views

    data = CorpusPairs(
        path=str(place),
        image_size=SIDE,
        splits={"train": 1.0},
        stream=True,
        artifacts_dir=directory / "artifacts",
        tokenizer=TokenizerOptions(vocab_size=200),
        tokenizer_reports=200,
        loader=LoaderOptions(batch_size=500, num_workers=0),
        views=Views(augmentation=None, max_length=32),
    )
    _through(data, look)


def make_pairs(look: Callable[[int], None], directory: Path) -> None:
    """Make pairs by the simulator as training shows them."""
    from datamodules import LoaderOptions, SyntheticPairs, TokenizerOptions
    from synthesis import BalancedCaseSampler, GrammarWriter, PairSynthesizer, Simulator

    data = SyntheticPairs(
        synthesizer=PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=64)),
        train_pairs=MADE,
        val_pairs=16,
        test_pairs=16,
        artifacts_dir=directory / "artifacts",
        tokenizer=TokenizerOptions(vocab_size=500),
        tokenizer_reports=200,
        loader=LoaderOptions(batch_size=64, num_workers=0, epoch_size=MADE),
    )
    _through(data, look)


def _through(data: Any, look: Callable[[int], None]) -> None:
    data.prepare_data()
    data.setup("fit")
    seen = 0
    for number, batch in enumerate(data.train_dataloader()):
        data.on_before_batch_transfer(batch, 0)
        seen += len(batch["image"])
        if number % 20 == 0:
            look(seen)
    look(seen)


def measured(reading: Callable[[Callable[[int], None], Path], None], total: int, directory: Path) -> Outcome:
    """Note memory along a reading of many pairs, and fit a line to it."""
    path = directory / "memory.json"

    def work() -> None:
        looks: list[tuple[int, int]] = []

        def look(seen: int) -> None:
            if seen >= total * (len(looks) + 1) / LOOKS or seen >= total:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                looks.append((seen, pages * resource.getpagesize()))
                path.write_text(json.dumps(looks))

        reading(look, directory)

    ended = run(work, directory / "log.txt", seconds=1150)
    if ended.code or not path.exists():
        return Outcome("failed", ended.last)
    looks = np.array(json.loads(path.read_text()), float)
    if looks[-1, 0] < 0.9 * total:
        return Outcome("failed", f"only {looks[-1, 0]:,.0f} of {total:,} pairs were read")
    later = looks[len(looks) // 5 :]
    growth = float(np.polyfit(later[:, 0], later[:, 1], 1)[0]) * total
    shown = (
        f"{growth / 2**20:+.0f} MiB over {total:,} pairs by the slope, from {looks[0, 1] / 2**20:.0f} to "
        f"{looks[-1, 1] / 2**20:.0f} MiB, {total / ended.seconds:,.0f} pairs/s"
    )
    return Outcome("flat" if growth < MOST_GROWTH else "grows", shown)
