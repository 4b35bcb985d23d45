"""How fast one GPU trains and draws: a script of minutes for wherever a GPU can be had.

    python -m benchmarks.device_speed                       # ViT-B/16 and BERT-base, 224 px, batch 512
    python -m benchmarks.device_speed --peak-tflops=989     # and the share of the peak that its vendor names
    python -m benchmarks.device_speed --device=cpu --quick  # tiny, to see that it works

Measured are training samples a second under bfloat16 and their share of the rate of matrix products,
simulated pairs a second drawn on the device, and what DDP costs around one process. Writes
`results/bench/device.json` and `.md`; the share is what `make plan` asks for as `--share`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from benchmarks.bench import RESULTS
from benchmarks.training_speed import flop
from datamodules.batch import ATTENTION_MASK, IMAGE, INPUT_IDS
from lightning_modules import BertEncoder, DualEncoder, InfoNCE, ViTEncoder
from lightning_modules.objectives import Gather
from lightning_modules.optimization import parameter_groups
from scripts.command_line.errors import exit_code
from synthesis.cases import BalancedCaseSampler
from synthesis.files import write_atomically, write_json
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter

Batch = dict[str, Tensor]


class Losses(nn.Module):
    """A dual encoder whose forward pass is the loss of a batch, as DDP wants it."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss."""
        return self.model.losses(batch, Gather())["loss"]


def model_and_batch(options: argparse.Namespace, size: int) -> tuple[DualEncoder, Batch]:
    """Return the papers' model and a batch of noise: what it shows makes no difference to the time.

    Args:
        options: The command line, see `parsed`.
        size: Samples of the batch.
    """
    width, layers, heads = (32, 1, 2) if options.quick else (768, 12, 12)
    shared: dict[str, Any] = {"width": width, "layers": layers, "heads": heads, "projection_dim": width}
    image = ViTEncoder(image_size=options.size, patch_size=16, pooling="cls", stem_channels=None, **shared)
    text = BertEncoder(vocab_size=4096, max_length=options.tokens, pooling="cls", **shared)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 4096, (size, options.tokens), generator=draw)
    batch = {IMAGE: torch.rand(size, 1, options.size, options.size, generator=draw), INPUT_IDS: ids}
    batch[ATTENTION_MASK] = torch.ones_like(ids)
    model = DualEncoder(image, text, InfoNCE()).to(options.device).train()
    return model, {name: value.to(options.device) for name, value in batch.items()}


def stepped(losses: nn.Module, batch: Batch, device: str) -> Callable[[], None]:
    """Return a step in bfloat16: forward, backward, clipping, fused AdamW."""
    optimizer = torch.optim.AdamW(parameter_groups(losses, 0.05), lr=1e-4, fused=True)
    kind = torch.device(device).type

    def step() -> None:
        with torch.autocast(kind, torch.bfloat16):
            loss = losses(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(losses.parameters(), 1.0)
        optimizer.step()

    return step


def seconds(work: Callable[[], object], repeats: int, device: str) -> float:
    """Return the least seconds of a work after a first time, with what is queued on the device."""
    least = float("inf")
    for turn in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        if turn:
            least = min(least, time.perf_counter() - start)
    return least


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything.

    Args:
        options: The command line, see `parsed`.
    """
    device, repeats = options.device, 1 if options.quick else 10
    few = model_and_batch(options, 4)
    per_sample = flop(stepped(Losses(few[0]), few[1], device)) / 4
    model, batch = model_and_batch(options, options.batch_size)
    plain = seconds(stepped(Losses(model), batch, device), repeats, device)
    with tempfile.TemporaryDirectory() as folder:
        backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
        store = Path(folder, "store").as_uri()
        torch.distributed.init_process_group(backend, init_method=store, rank=0, world_size=1)
        try:
            wrapped = seconds(stepped(DistributedDataParallel(Losses(model)), batch, device), repeats, device)
        finally:
            torch.distributed.destroy_process_group()
    side = 256 if options.quick else 8192
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)
    product = 2 * side**3 / seconds(lambda: a @ b, repeats, device)
    pairs = 4 if options.quick else 1024
    simulator = Simulator(image_size=options.size, device=device, chunk=min(256, pairs))
    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), simulator)
    making = seconds(lambda: synthesizer.make(range(pairs), 0, "train"), 1 if options.quick else 3, device)
    rate = options.batch_size * per_sample / plain
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if torch.device(device).type == "cuda" else device,
        "torch": torch.__version__,
        "quick": options.quick,
        "batch size": options.batch_size,
        "image size, px": options.size,
        "tokens of a report": options.tokens,
        "GFLOP a sample": per_sample / 1e9,
        "training samples a second": options.batch_size / plain,
        "TFLOP/s of training": rate / 1e12,
        "TFLOP/s of a bfloat16 product": product / 1e12,
        "share of the product's rate": rate / product,
        "time of a step under DDP over without": wrapped / plain,
        "simulated pairs a second": pairs / making,
    }
    if options.peak_tflops:
        found["share of the vendor's peak"] = rate / options.peak_tflops / 1e12
    return found


def markdown(found: dict[str, Any]) -> str:
    """Lay out what was measured as a table."""
    lines = ["# One device", ""]
    if found["quick"]:
        lines += ["**A trial with a tiny model (`--quick`): the figures mean nothing.**", ""]
    lines += ["| measure | value |", "|---|---:|"]
    shown = {name: value for name, value in found.items() if name != "quick"}
    lines += [f"| {name} | {f'{v:.4g}' if isinstance(v, float) else v} |" for name, v in shown.items()]
    note = "ViT-B/16 and BERT-base, InfoNCE, bfloat16, clipping and fused AdamW; reports of one length."
    return "\n".join([*lines, "", note, ""])


def parsed(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    layout = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], formatter_class=layout)
    parser.add_argument("--device", default="cuda", help="where to measure")
    parser.add_argument("--batch-size", type=int, default=512, help="samples of a step")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images, px")
    parser.add_argument("--tokens", type=int, default=128, help="of each report")
    parser.add_argument("--peak-tflops", type=float, help="of the device in bfloat16, as its vendor says")
    parser.add_argument("--quick", action="store_true", help="a tiny model, to see that it works")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    found = parser.parse_args(args)
    if torch.device(found.device).type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device={found.device}: torch finds no GPU here; give --device=cpu --quick to try it")
    if found.quick:
        vars(found).update(batch_size=4, size=64, tokens=16)
    return found


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = parsed(args)
    found = measure(options)
    options.results.mkdir(parents=True, exist_ok=True)
    write_json(options.results / "device.json", found)
    write_atomically(options.results / "device.md", markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    sys.exit(exit_code(main))
