"""What a batch takes that is larger than memory holds activations of: two passes, in parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.rows import Row, Spread, installed

_CHILD = """
import json, sys, time
import torch
from benchmarks.peak_memory import peak_megabytes
from benchmarks.step_speed import recipe
from lightning_modules.objectives import Gather
pairs, part, made = map(int, sys.argv[1:])
model, batch = recipe(min(pairs, made))
def tiled(value):
    if isinstance(value, torch.Tensor):
        return torch.cat([value] * (pairs // len(value)))
    if isinstance(value, dict):
        return {key: tiled(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [tiled(inner) for inner in value]
    return value * (pairs // len(value)) if isinstance(value, list) else value
batch = tiled(dict(batch))
model.encoded_at_once = part or None
model.train()
before, wall, cpu = peak_megabytes(), time.perf_counter(), time.process_time()
model.losses(batch, Gather())["loss"].backward()
spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
print(json.dumps({"megabytes": peak_megabytes() - before, **spent}))
"""
_RETURNED = "MALLOC_MMAP_THRESHOLD_=1048576"
PART = 64
"""Pairs whose activations memory holds at once."""


def rows(quick: bool) -> Iterator[Row]:
    """Yield memory of a large batch in parts beside a smaller one, and time beside a batch as a whole."""
    large, small, part, turns = (32, 16, 8, 1) if quick else (4096, 512, PART, 2)
    big = [step(large, part) for _ in range(turns)]
    bounded = [step(large, part, returned=True) for _ in range(turns)]
    little = [step(small, part, returned=True) for _ in range(turns)]
    whole = [step(part, 0) for _ in range(turns)]
    model = (
        "Forward, loss and backward of the base recipe, two texts a pair, float32, peak of a fresh process."
    )
    yield _row(
        f"a batch of {large:,}, {part} encoded at once: memory",
        f"a batch of {small}, likewise",
        "MB",
        [turn["megabytes"] for turn in bounded],
        [turn["megabytes"] for turn in little],
        "flat: ratio ≥ .8",
        f"{model} Freed blocks over 1 MiB go back to the system ({_RETURNED}); as it is, glibc keeps "
        f"them for later, and the large batch takes {max(turn['megabytes'] for turn in big):,.0f} MB.",
    )
    yield _row(
        f"a batch of {large:,}, {part} encoded at once: time of a pair",
        f"a batch of {part}, whole",
        "ms",
        [1000 * turn["cpu"] / large for turn in big],
        [1000 * turn["cpu"] / part for turn in whole],
        "one more forward pass: ratio ≥ .7",
        model,
    )


def step(pairs: int, part: int, made: int = PART, returned: bool = False) -> Mapping[str, float]:
    """Return megabytes and seconds of one step in a fresh process.

    Args:
        pairs: Of the batch.
        part: Encoded at once; 0 encodes all.
        made: Different ones among them; they are repeated.
        returned: Whether freed memory goes back to the system at once, as `_RETURNED` asks of glibc.
    """
    command = [sys.executable, "-c", _CHILD, str(pairs), str(part), str(made)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    if returned:
        environment |= dict([_RETURNED.split("=")])
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _row(
    what: str, peer: str, unit: str, ours: Sequence[float], theirs: Sequence[float], goal: str, note: str
) -> Row:
    ratios = [their / max(our, 1e-9) for our, their in zip(ours, theirs, strict=True)]
    return Row(
        what=what,
        peer=peer,
        version=installed("synvlp") or "–",
        unit=unit,
        ours=Spread.of(list(ours)),
        theirs=Spread.of(list(theirs)),
        ratio=Spread.of(ratios),
        goal=goal,
        clock="CPU" if unit == "ms" else "–",
        note=note,
    )
