"""How fast a training step is, against the matrix products that it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import LightningDataModule, LightningModule
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import clip_grad_norm_
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Measured, best_in_turns
from datamodules.batch import IMAGE
from lightning_modules import DualEncoder
from lightning_modules.objectives import Gather
from lightning_modules.optimization import parameter_groups
from synthesis.configuration import shipped

BASE = shipped("configs/pretrain.yaml")


def configured(*args: str) -> Namespace:
    """Build the model and the data of the base recipe.

    Args:
        args: More of the command line, such as ``"--data.init_args.train_pairs=512"``.

    Returns:
        A namespace with `model` and `data`; what else the recipe says is left out.
    """
    parser = ArgumentParser(parser_mode="omegaconf+", exit_on_error=False)
    parser.add_argument("-c", action="config")
    parser.add_argument("--seed_everything", type=int)
    parser.add_argument("--run_dir", type=str)
    parser.add_argument("--trainer", type=dict[str, Any])
    parser.add_subclass_arguments(LightningModule, "model", fail_untyped=False)
    parser.add_subclass_arguments(LightningDataModule, "data", fail_untyped=False)
    config = parser.parse_args(["-c", str(BASE), *args])
    del config["trainer"]  # else its callbacks would be built as well
    return parser.instantiate(config)


def training_step(model: DualEncoder, batch: Mapping[str, Any]) -> Callable[[], None]:
    """Return one step as in training (forward, backward, clipping, AdamW) without Lightning around it."""
    model.train()
    groups = parameter_groups(model, model.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=model.learning_rate, betas=model.betas, fused=True)

    def step() -> None:
        images, texts = model(batch)
        loss = model.objective(images, texts, batch, Gather())["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.objective.after_step()

    return step


def flop(work: Callable[[], object]) -> int:
    """Count the floating-point operations of a work's matrix products and convolutions."""
    # Fused attention on a CPU is unknown to the counter; the plain one is the same two products.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return int(counter.get_total_flops())


def training_rate(model: DualEncoder, batch: Mapping[str, Any], repeats: int, side: int) -> Measured:
    """Compare the training step of one batch with plain float32 matrix products.

    Args:
        model: The model; it is trained a little.
        batch: A training batch.
        repeats: Timed steps.
        side: Rows and columns of the square matrices.

    Returns:
        Samples and FLOP a second of training, FLOP a second of the matrix product, and the share of it that
        training reaches.
    """
    step = training_step(model, batch)
    a, b = torch.randn(2, side, side)
    per_step = flop(step)
    seconds = best_in_turns(repeats, {"step": step, "product": lambda: a @ b})
    training, product = per_step / seconds["step"], 2 * side**3 / seconds["product"]
    samples = len(batch[IMAGE])
    return {
        "samples_per_second": samples / seconds["step"],
        "flop_per_sample": per_step / samples,
        "training_flop_per_second": training,
        "matrix_product_flop_per_second": product,
        "share_of_matrix_product": training / product,
    }
