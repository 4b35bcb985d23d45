"""What a contrastive loss over many pairs takes: memory and time, beside the one matrix of all pairs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.rows import Row, Spread, installed

_CHILD = """
import json, sys, time
import torch
from benchmarks.peak_memory import peak_megabytes
from torch.nn import functional as F
kind, pairs, dim = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(0)
image, text = (F.normalize(torch.randn(pairs, dim), dim=-1).requires_grad_() for _ in range(2))
if kind == "ours":
    from lightning_modules import EncoderOutput, InfoNCE
    from lightning_modules.objectives import Gather
    objective, seen = InfoNCE(), torch.ones(pairs, 1).bool()
    outputs = [EncoderOutput(x, x[:, None], x, seen) for x in (image, text)]
    def loss():
        return objective(*outputs, {}, Gather())["loss"]
elif kind == "open_clip":
    from open_clip.loss import ClipLoss
    whole = ClipLoss()
    def loss():
        return whole(image, text, torch.tensor(1 / 0.07))
else:
    def loss():
        logits = image @ text.T / 0.07
        target = torch.arange(pairs)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
before = peak_megabytes()
wall, cpu = time.perf_counter(), time.process_time()
loss().backward()
spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
print(json.dumps({"megabytes": peak_megabytes() - before, **spent}))
"""


def rows(quick: bool) -> Iterator[Row]:
    """Yield memory and time of one loss and its gradient, each turn in a fresh process."""
    pairs, dim, turns = (512, 16, 1) if quick else (16_384, 256, 2)
    for peer, package in (("one matrix (torch)", "torch"), ("open_clip ClipLoss", "open_clip_torch")):
        kind = "open_clip" if package.startswith("open") else "plain"
        kinds = ("ours", kind) if installed(package) else ("ours",)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
        for turn in range(turns):
            for name in kinds if turn % 2 else kinds[::-1]:
                found[name].append(one_loss(name, pairs, dim))
        note = f"InfoNCE over {pairs:,} pairs of {dim} numbers, both passes, peak of a fresh process."
        for key, unit, goal in (
            ("megabytes", "MB", "≤ 300 MB"),
            ("cpu", "s", "≤ 1.0 × the time"),
        ):
            ours = [turn[key] for turn in found["ours"]]
            theirs = [turn[key] for turn in found.get(kind, [])]
            ratios = [b / max(a, 1e-9) for a, b in zip(ours, theirs, strict=False)]
            yield Row(
                what=f"a large loss, {'memory' if key == 'megabytes' else 'time'}",
                peer=peer,
                version=installed(package) or "not installed",
                unit=unit,
                ours=Spread.of(ours),
                theirs=Spread.of(theirs) if theirs else None,
                ratio=Spread.of(ratios) if ratios else None,
                goal=goal,
                clock="CPU" if key == "cpu" else "–",
                note=note,
            )


def one_loss(kind: str, pairs: int, dim: int) -> dict[str, float]:
    """Return megabytes, CPU and wall seconds of a loss and its gradient, in a fresh process.

    Args:
        kind: "ours", "plain" (one matrix) or "open_clip".
        pairs: In the batch.
        dim: Numbers of each projection.
    """
    command = [sys.executable, "-c", _CHILD, kind, str(pairs), str(dim)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))
