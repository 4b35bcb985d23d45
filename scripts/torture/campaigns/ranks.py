"""Several processes: the same figures as one, and an end where one of them dies."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scripts.torture.campaign import Campaign, Case, Outcome
from scripts.torture.process import kill_group, run, start
from scripts.torture.samples import small_fit

BATCH = 12  # of all ranks together: two and three divide it
SECONDS_TO_END = 60.0  # after a rank was killed
TOLERANCE = 1e-4  # of a weight, after a few steps whose sums are in another order
NAMES_IT = re.compile(r"rank|process|peer|worker", re.IGNORECASE)
TRAINING: dict[str, Any] = {
    "trainer.max_epochs": 2,
    "data.init_args.train_pairs": 96,
    "data.init_args.loader.epoch_size": 96,
    "data.init_args.loader.echo": 1,
    "data.init_args.loader.num_workers": 0,
    "model.init_args.image_encoder.init_args.patch_drop": 0.0,
}


def fit(directory: Path, ranks: int, **values: Any) -> list[str]:
    """Return the command of one of several ranks."""
    own = {"trainer.devices": ranks, "trainer.strategy": "ddp" if ranks > 1 else "auto"}
    own["data.init_args.loader.batch_size"] = BATCH // ranks
    return small_fit(directory, **{**TRAINING, **own, **values})


class Ranks(Campaign):
    """See the head of this file."""

    name = "ranks"
    title = "two and three gloo ranks: the figures of one process; a killed rank: the others end, and say why"
    quick = False
    survives = frozenset({"equal", "ended"})

    def prepare(self, directory: Path, short: bool) -> None:
        """Train in one process."""
        ended = run(fit(directory, 1), directory / "fit.txt")
        if ended.code:
            raise RuntimeError(ended.output[-2000:])

    def cases(self, directory: Path, short: bool) -> Iterator[Case]:
        """Yield the attempts."""
        for ranks in (2, 3):
            yield Case(f"figures/{ranks} ranks", partial(equal, directory, ranks), processes=2)
            for victim in (0, ranks - 1):
                for number in range(3):
                    name = f"killed rank/{victim} of {ranks}, {number}"
                    yield Case(name, partial(killed, ranks, victim, random.Random(name)), processes=2)

    def sabotage(self) -> None:
        """Gather nothing from the other ranks, and tell them nothing of an end."""
        from lightning_modules.objectives import gather

        gather.Gather.__call__ = lambda self, values, *args, **kwargs: values  # type: ignore[method-assign]


def begin(words: list[str], ranks: int, directory: Path) -> list[int]:
    """Begin all ranks and return their processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(ranks),
        "NODE_RANK": "0",
    }
    return [
        start(words, directory / f"rank-{rank}.txt", environment={**shared, "LOCAL_RANK": str(rank)})
        for rank in range(ranks)
    ]


def waited(children: list[int], seconds: float) -> dict[int, int]:
    """Wait for processes, kill what is left after a time, and return the exit codes of those that ended."""
    codes: dict[int, int] = {}
    begun = time.monotonic()
    while len(codes) < len(children) and time.monotonic() - begun < seconds:
        for child in children:
            if child not in codes:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    codes[child] = os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    for child in children:
        kill_group(child)
    return codes


def equal(straight: Path, ranks: int, directory: Path) -> Outcome:
    """Train on several ranks, and compare weights and figures with those of one process."""
    children = begin(fit(directory, ranks), ranks, directory)
    codes = waited(children, 150)
    if sorted(codes.values()) != [0] * ranks:
        said = " / ".join((directory / f"rank-{rank}.txt").read_text()[-300:] for rank in range(ranks))
        return Outcome("failed", f"exit codes {codes}: {said}")
    one, other = (
        torch.load(place / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for place in (straight, directory)
    )
    most = max(float((one[key].float() - other[key].float()).abs().max()) for key in one)
    figures = [
        {
            k: v
            for k, v in json.loads((p / "run" / "summary.json").read_text()).items()
            if k.startswith("val/")
        }
        for p in (straight, directory)
    ]
    apart = {
        key: abs(value - figures[1].get(key, float("nan")))
        for key, value in figures[0].items()
        if isinstance(value, float)
        and key != "val/loss"  # it counts the pairs that a rank's batch compares
        and not abs(value - figures[1].get(key, float("nan"))) <= 0.02
    }
    if most > TOLERANCE or apart:
        return Outcome("different", f"weights by {most:.1e}; figures {apart}")
    return Outcome("equal", f"weights by {most:.1e}, {len(figures[0])} figures")


def killed(ranks: int, victim: int, rng: random.Random, directory: Path) -> Outcome:
    """Kill a rank at some moment of training; the others have to end."""
    children = begin(fit(directory, ranks, **{"trainer.max_epochs": 500}), ranks, directory)
    metrics = directory / "run" / "metrics.csv"
    begun = time.monotonic()
    while not metrics.exists() and time.monotonic() - begun < 100:
        time.sleep(0.1)
    if not metrics.exists():
        waited(children, 0)
        return Outcome("did not begin", (directory / "rank-0.txt").read_text()[-300:])
    time.sleep(rng.uniform(0, 3))
    os.kill(children[victim], signal.SIGKILL)
    died = time.monotonic()
    codes = waited(children, SECONDS_TO_END)
    took = time.monotonic() - died
    left = [rank for rank, child in enumerate(children) if child not in codes]
    if left:
        return Outcome(
            "hung", f"ranks {left} still ran {SECONDS_TO_END:.0f} s after rank {victim} was killed"
        )
    others = [rank for rank in range(ranks) if rank != victim]
    if any(codes[children[rank]] == 0 for rank in others):
        return Outcome("no error", f"exit codes {codes}")
    for rank in others:
        lines = [line for line in (directory / f"rank-{rank}.txt").read_text().splitlines() if line.strip()]
        if not NAMES_IT.search("\n".join(lines[-8:])):
            return Outcome("unclear", f"rank {rank}: {' / '.join(lines[-3:])[-300:]}")
    return Outcome("ended", f"after {took:.1f} s")
