"""How fast a training step is beside those of open_clip and transformers, with towers of the same sizes.

One batch of simulated pairs for all: images of 128 px and whole reports, as long as reports are. Each step is
what training does: both towers, the loss, backward, clipping, AdamW. Peers are the models as their packages
make them and as their own training runs them: open_clip pads or cuts every text to its context, transformers
pads to the longest text of the batch. Needs what ``pip install 'synvlp[bench]'`` brings; open_clip asks for
torchvision, which this project stays clear of, so it is measured only where somebody has put both beside it.

    python -m benchmarks.bench --rows step
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from benchmarks.rows import NOT_INSTALLED, Cost, Row, Spread, compared, in_turns, installed
from benchmarks.training_speed import configured, flop
from datamodules.batch import ATTENTION_MASK, IMAGE, INPUT_IDS
from lightning_modules import BertEncoder, DualEncoder, InfoNCE, ViTEncoder
from lightning_modules.objectives import Gather
from lightning_modules.optimization import parameter_groups

SIDE, PATCH, WIDTH, HEADS, VOCABULARY = 128, 16, 192, 3, 4096
IMAGE_LAYERS, TEXT_LAYERS, PROJECTION = 6, 4, 128
GOALS = {("open_clip", 128): (2.0, 1.4), ("open_clip", 77): (1.6, 1.15), ("transformers", 128): (2.23, 1.4)}
"""Peer and its context → how many times faster we are to be in bfloat16, and in float32."""
SHARES = {True: 0.60, False: 0.70}
"""Share of the rate of matrix products that a step is to reach, in bfloat16 and in float32."""

Step = Callable[[], None]
Batch = Mapping[str, Any]


def stepped(model: nn.Module, loss: Callable[[], Tensor], half: bool) -> Step:
    """Return a training step: forward in bfloat16 or float32, backward, clipping, AdamW.

    Args:
        model: What is trained.
        loss: Runs the model.
        half: Whether under bfloat16 autocast.
    """
    model.train()
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.05), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = loss()
        optimizer.zero_grad(set_to_none=True)
        found.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def ours(batch: Batch, half: bool) -> Step:
    """Return our step: a vision transformer that embeds patches linearly, BERT, InfoNCE."""
    shared: dict[str, Any] = {"width": WIDTH, "heads": HEADS, "projection_dim": PROJECTION}
    image = ViTEncoder(image_size=SIDE, patch_size=PATCH, layers=IMAGE_LAYERS, pooling="cls", **shared)
    text = BertEncoder(vocab_size=VOCABULARY, layers=TEXT_LAYERS, max_length=128, **shared)
    model = DualEncoder(image, text, InfoNCE())
    return stepped(model, lambda: model.losses(batch, Gather())["loss"], half)


def open_clip(batch: Batch, half: bool, context: int) -> Step:
    """Return open_clip's step, whose texts are all of one length."""
    # Declared nowhere: it would bring torchvision along.
    parts, loss = import_module("open_clip.model"), import_module("open_clip").ClipLoss()

    vision = parts.CLIPVisionCfg(
        layers=IMAGE_LAYERS, width=WIDTH, head_width=WIDTH // HEADS, patch_size=PATCH, image_size=SIDE
    )
    text = parts.CLIPTextCfg(
        context_length=context, vocab_size=VOCABULARY, width=WIDTH, heads=HEADS, layers=TEXT_LAYERS
    )
    model = parts.CLIP(PROJECTION, vision, text)
    colour = batch[IMAGE].expand(-1, 3, -1, -1).contiguous()
    ids = batch[INPUT_IDS][:, :context]
    ids = nn.functional.pad(ids, (0, context - ids.shape[1]))
    return stepped(model, lambda: loss(*model(colour, ids)), half)


def transformers(batch: Batch, half: bool, context: int) -> Step:
    """Return the step of transformers' dual encoder of ViT and BERT."""
    from transformers import (
        BertConfig,
        BertModel,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
        ViTConfig,
        ViTModel,
    )

    shared: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "intermediate_size": 4 * WIDTH,
    }
    shared |= {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    vision = ViTConfig(
        image_size=SIDE, patch_size=PATCH, num_channels=1, num_hidden_layers=IMAGE_LAYERS, **shared
    )
    text = BertConfig(
        vocab_size=VOCABULARY, max_position_embeddings=context, num_hidden_layers=TEXT_LAYERS, **shared
    )
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=PROJECTION)
    model = VisionTextDualEncoderModel(config, ViTModel(vision), BertModel(text))
    read = {
        "pixel_values": batch[IMAGE],
        "input_ids": batch[INPUT_IDS],
        "attention_mask": batch[ATTENTION_MASK],
    }
    return stepped(model, lambda: model(**read, return_loss=True).loss, half)


PEERS: Mapping[str, tuple[str, Callable[[Batch, bool, int], Step]]] = {
    "open_clip": ("open_clip_torch", open_clip),
    "transformers": ("transformers", transformers),
}
"""Peer → its distribution, and what makes its step."""


def recipe(size: int) -> tuple[DualEncoder, Batch]:
    """Return the model of the base recipe and a batch of its pairs."""
    sizes = {"train_pairs": size, "loader.batch_size": size, "loader.num_workers": 0, "loader.echo": 1}
    sizes |= {"loader.epoch_size": size, "val_pairs": 1, "test_pairs": 1}
    with tempfile.TemporaryDirectory() as directory:
        options = [f"--data.init_args.{name}={value}" for name, value in sizes.items()]
        built = configured(*options, f"--data.init_args.artifacts_dir={directory}")
        built.data.asked = {"train": built.model.needs("train")}
        built.data.prepare_data()
        built.data.setup("fit")
        return built.model, next(iter(built.data.train_dataloader()))


def rows(quick: bool) -> Iterator[Row]:
    """Measure and yield the rows.

    Args:
        quick: The smallest of everything, to see that it works.
    """
    turns, size = (1, 4) if quick else (6, 64)
    model, batch = recipe(size)
    plain = _read(batch)
    for half in (True, False):
        precision = "bfloat16" if half else "float32"
        for (peer, context), goals in GOALS.items():
            yield _beside(peer, context, plain, half, goals[not half], turns)
        yield _share(plain, half, turns, 256 if quick else 2048)
        yield _recipe(model, batch, half, turns, precision)


def _beside(peer: str, context: int, batch: Batch, half: bool, goal: float, turns: int) -> Row:
    package, make = PEERS[peer]
    cut = {**batch, **{key: batch[key][:, :context] for key in (INPUT_IDS, ATTENTION_MASK)}}
    works = {"ours": ours(cut, half)}
    if installed(package):
        works["theirs"] = make(cut, half, context)
    lengths = cut[ATTENTION_MASK].sum(1)
    return compared(
        f"training step, equal towers, {'bfloat16' if half else 'float32'}",
        f"{peer}, context {context}",
        package,
        in_turns(turns, works),
        len(batch[IMAGE]),
        "pairs/s",
        f"≥ {goal:g} ×",
        clock="CPU",
        note=f"{len(batch[IMAGE])} pairs of {SIDE} px; ViT {IMAGE_LAYERS} × {WIDTH}, BERT {TEXT_LAYERS} × "
        f"{WIDTH}; reports of {int(lengths.min())} to {int(lengths.max())} tokens, "
        f"{float(lengths.float().mean()):.0f} on average.",
    )


def _share(batch: Batch, half: bool, turns: int, side: int) -> Row:
    step = ours({**batch, **{key: batch[key][:, :128] for key in (INPUT_IDS, ATTENTION_MASK)}}, half)
    count = flop(step)
    a, b = torch.randn(2, side, side, dtype=torch.bfloat16 if half else torch.float32)
    costs = in_turns(turns, {"ours": step, "theirs": lambda: a @ b})
    pairs = list(zip(costs["ours"], costs["theirs"], strict=True))
    training = [count / own.cpu / 1e9 for own, _ in pairs]
    product = [2 * side**3 / theirs.cpu / 1e9 for _, theirs in pairs]
    return Row(
        what=f"training step, {'bfloat16' if half else 'float32'}: share of the matrix-product rate",
        peer=f"{side} × {side} products",
        version=torch.__version__,
        unit="GFLOP/s",
        ours=Spread.of(training),
        theirs=Spread.of(product),
        ratio=Spread.of([own / other for own, other in zip(training, product, strict=True)]),
        goal=f"≥ {SHARES[half]:g}",
        clock="CPU",
        note="Counted are the products that are computed, none for padding that is left out.",
    )


def _read(batch: Batch) -> Batch:
    return {key: batch[key] for key in (IMAGE, INPUT_IDS, ATTENTION_MASK)}


def _recipe(model: DualEncoder, batch: Batch, half: bool, turns: int, precision: str) -> Row:
    plain = _read(batch)
    simple = DualEncoder(model.image_encoder, model.text_encoder, InfoNCE())
    works = {
        "recipe": stepped(model, lambda: model.losses(batch, Gather())["loss"], half),
        "plain": stepped(simple, lambda: simple.losses(plain, Gather())["loss"], half),
    }
    costs = in_turns(turns, works)

    def ratio(one: Cost, other: Cost) -> float:
        return one.cpu / other.cpu

    size = len(batch[IMAGE])
    return Row(
        what=f"the recipe's step (two texts, their agreement) over a plain one, {precision}",
        peer="ourselves, one text",
        version=installed("synvlp") or NOT_INSTALLED,
        unit="pairs/s",
        ours=Spread.of([size / cost.cpu for cost in costs["recipe"]]),
        theirs=Spread.of([size / cost.cpu for cost in costs["plain"]]),
        ratio=Spread.of([ratio(*pair) for pair in zip(costs["recipe"], costs["plain"], strict=True)]),
        goal="≤ 1.3 × the time",
        clock="CPU",
    )
