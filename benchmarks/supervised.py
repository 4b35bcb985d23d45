"""The same ViT trained on the labels in place of reports: AUROC a concept, at a stated number of looks.

A comparison for the figures of a dual encoder, and no upper bound: a longer pre-training can pass it. Makes
pictures once, trains several passes over them and evaluates on held-out ones of another seed at several
numbers of pictures seen.

    python -m benchmarks.supervised --image-size 128 --pictures 60000 --passes 3

Writes `results/supervised/<size>px.json` ({concept: AUROC} after all samples, which
`RunSummary(supervised=…)` reads), `<size>px_run.json` (the AUROCs at every mark) and a table, and plots all
sizes found.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics.functional.classification import multilabel_auroc

from callbacks.run.summary_file import architecture
from datamodules.batch import IMAGE
from lightning_modules import ViTEncoder
from scripts.command_line.errors import exit_code
from synthesis.cases import BalancedCaseSampler
from synthesis.configuration import shipped
from synthesis.images.simulator import Simulator
from synthesis.progress import track
from synthesis.seeding import pair_seed

RESULTS = shipped("results/supervised")


class LabelledPictures(Dataset[tuple[Tensor, Tensor]]):
    """Pictures with labels of what they show; no reports."""

    def __init__(self, image_size: int, count: int, split: str, seed: int) -> None:
        self.simulator, self.sampler = (
            Simulator(image_size),
            BalancedCaseSampler(
                findings_per_case=(0.15, 0.25, 0.3, 0.2, 0.1),
                normal_rate=0.1,
                severity_weights=(0.6, 1.1, 1.3),
            ),
        )
        self.count, self.split, self.seed = count, split, seed

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Render a whole batch in one call."""
        cases = [self.sampler.sample(self.seed, self.split, i) for i in indices]
        made = self.simulator.make(cases, None, [pair_seed(self.seed, self.split, i) for i in indices])
        labels = np.stack([case.labels(self.sampler.catalog) for case in made.cases])
        return list(zip((made.images * 255).round().byte(), torch.from_numpy(labels), strict=True))


def make_all(data: LabelledPictures, workers: int, title: str) -> tuple[Tensor, Tensor]:
    """Return all pictures, uint8 (picture, 1, height, width), and their labels (picture, concept)."""
    loader = DataLoader(data, 100, num_workers=workers)
    # Into one block: thousands of small tensors held at once would exhaust the workers' file descriptors.
    images = torch.empty(len(data), 1, *2 * (data.simulator.image_size,), dtype=torch.uint8)
    labels = torch.empty(len(data), len(data.sampler.catalog))
    done = 0
    for some_images, some_labels in track(loader, title, total=len(loader)):
        images[done : done + len(some_images)], labels[done : done + len(some_images)] = (
            some_images,
            some_labels,
        )
        done += len(some_images)
    return images, labels


def auroc(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the AUROC of each concept, NaN where held-out pictures are all alike."""
    model.eval()
    with torch.inference_mode():
        scores = torch.cat([model(some.float() / 255) for some in images.split(100)])
    labels = labels.int()
    values = multilabel_auroc(scores, labels, num_labels=labels.shape[1], average=None)
    return values.masked_fill((labels.sum(0) == 0) | (labels.sum(0) == len(labels)), torch.nan)


class Classifier(nn.Module):
    """The laptop recipe's image tower with one logit a concept."""

    def __init__(self, image_size: int, concepts: int) -> None:
        super().__init__()
        self.tower = ViTEncoder(
            image_size=image_size,
            width=128,
            layers=3,
            heads=2,
            stem_channels=[16, 32, 64, 96],
            pooling="spatial",
            quiet_start=True,
        )
        self.head = nn.Linear(self.tower.width, concepts)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (batch, concept)."""
        return self.head(self.tower({IMAGE: images}).pooled)


def train(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Train `--passes` times through `--pictures` pictures; return {samples seen: {concept: AUROC}}."""
    torch.manual_seed(args.seed)
    data = LabelledPictures(args.image_size, args.pictures, "train", args.seed)
    names = list(data.sampler.catalog.names)
    images, labels = make_all(data, args.workers, f"making {args.image_size} px")
    held_out_data = LabelledPictures(args.image_size, args.held_out, "test", args.seed + 1)
    held_out = make_all(held_out_data, args.workers, "making held-out")
    model = Classifier(args.image_size, len(names))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.05)
    order = torch.cat([torch.randperm(len(images)) for _ in range(args.passes)])
    batches = [part for part in order.split(args.batch_size) if len(part) == args.batch_size]
    steps = len(batches)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min((s + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1.0, s / steps)))),
    )
    marks = {round(steps * share) for share in (0.125, 0.25, 0.5, 1.0)}
    curve: dict[str, dict[str, float]] = {}
    for step, batch in enumerate(track(batches, f"training {args.image_size} px"), 1):
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits = model(images[batch].float() / 255)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step in marks:
            seen, values = step * args.batch_size, auroc(model, *held_out)
            curve[str(seen)] = {n: float(v) for n, v in zip(names, values, strict=True) if not math.isnan(v)}
            print(
                f"{seen} samples: loss {loss.item():.3f}, macro AUROC {float(values.nanmean()):.3f}",
                flush=True,
            )
    return curve


def show(results: Path) -> None:
    """Print and write the table of all sizes found and plot macro AUROC against samples seen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    runs = sorted(results.glob("*px_run.json"), key=lambda path: int(path.name.split("px")[0]))
    found = {path.name.removesuffix("_run.json"): json.loads(path.read_text()) for path in runs}
    table = Table("concept", *found, title="Supervised: AUROC on held-out simulated radiographs")
    last = {size: list(run["curve"].values())[-1] for size, run in found.items()}
    lines = ["| concept | " + " | ".join(found) + " |", "|---|" + "---:|" * len(found)]
    concepts = list(next(iter(last.values())))
    for name in [*concepts, "macro"]:
        cells = [
            f"{np.mean(list(v.values())) if name == 'macro' else v.get(name, math.nan):.3f}"
            for v in last.values()
        ]
        table.add_row(name, *cells)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    Console().print(table)
    (results / "table.md").write_text("\n".join(lines) + "\n")
    figure, axis = plt.subplots(figsize=(5, 3.5))
    for size, run in found.items():
        seen = [int(n) for n in run["curve"]]
        axis.plot(seen, [np.mean(list(v.values())) for v in run["curve"].values()], marker="o", label=size)
    axis.set(xlabel="samples seen (each picture several times)", ylabel="macro AUROC", xscale="log")
    axis.legend()
    figure.savefig(results / "supervised.png", dpi=120, bbox_inches="tight")


def main() -> None:
    """Read the command line, train, write and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--held-out", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast, on CPUs that have it")
    parser.add_argument("--workers", type=int, default=2, help="processes that make pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    curve = train(args)
    run = {
        "image_size": args.image_size,
        "pictures": args.pictures,
        "passes": args.passes,
        "seconds": round(time.perf_counter() - start),
        "seed": args.seed,
        "architecture": architecture(Classifier(args.image_size, 1).tower),
        "curve": curve,
    }
    final = list(curve.values())[-1]
    for name, content in ((f"{args.image_size}px_run", run), (f"{args.image_size}px", final)):
        (args.results / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    show(args.results)


if __name__ == "__main__":
    sys.exit(exit_code(main))
