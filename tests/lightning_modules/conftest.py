from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_modules import BertEncoder, DualEncoder, EncoderOutput, InfoNCE, Objective, ViTEncoder
from tests.known_data import KnownData

WORDS = ["left", "right", "effusion", "nodule", "mass", "no", "large", "small"]


def make_tokenizer(words: Sequence[str] = WORDS) -> Any:
    from transformers import BertTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    return BertTokenizerFast(vocab=vocabulary)


def make_pairs(count: int, size: int = 32, seed: int = 0) -> list[dict[str, Tensor]]:
    """Random images and reports of 3 to 6 words, padded to 8; labels say which words occur."""
    draw = torch.Generator().manual_seed(seed)
    pairs = []
    for index in range(count):
        length = int(torch.randint(3, 7, (), generator=draw))
        words = torch.randint(5, 13, (length,), generator=draw)
        ids = torch.cat(
            [torch.tensor([2]), words, torch.tensor([3]), torch.zeros(6 - length, dtype=torch.long)]
        )
        labels = torch.zeros(8).scatter_(0, words - 5, 1.0)
        image = torch.rand(1, size, size, generator=draw)
        pairs.append(
            {
                "image": image,
                "input_ids": ids,
                "attention_mask": (ids != 0).long(),
                "labels": labels,
                "index": torch.tensor(index),
                "group": torch.tensor(index // 2),
                "view": torch.tensor(index % 2),
            }
        )
    return pairs


def make_features(count: int = 5, seed: int = 0) -> tuple[EncoderOutput, EncoderOutput]:
    """Random features of images (4 patches of 6 numbers) and texts (up to 7 tokens of 5), projected to 8."""
    draw = torch.Generator().manual_seed(seed)

    def output(tokens: int, width: int, mask: Tensor) -> EncoderOutput:
        pooled, local, projected = (
            torch.randn(*shape, generator=draw, requires_grad=True)
            for shape in ((count, width), (count, tokens, width), (count, 8))
        )
        return EncoderOutput(pooled, local, torch.nn.functional.normalize(projected, dim=1), mask)

    lengths = 3 + torch.arange(count) % 5
    return (
        output(4, 6, torch.ones(count, 4, dtype=torch.bool)),
        output(7, 5, torch.arange(7)[None] < lengths[:, None]),
    )


class Pairs(KnownData):
    """Random pairs in a fixed order, so that a resumed run meets the same batches."""

    def __init__(
        self, count: int = 12, batch_size: int = 4, tokenizer: Any = None, image_only: bool = False
    ) -> None:
        super().__init__()
        self.pairs = make_pairs(count)
        if image_only:
            self.pairs = [
                {k: v for k, v in pair.items() if k not in ("input_ids", "attention_mask")}
                for pair in self.pairs
            ]
        self.batch_size = batch_size
        self.tokenizer = tokenizer

    def loader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(self.pairs, batch_size=self.batch_size)  # type: ignore[arg-type]

    train_dataloader = val_dataloader = test_dataloader = predict_dataloader = loader


def make_model(
    objective: Objective | None = None,
    image: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
    **rest: Any,
) -> DualEncoder:
    torch.manual_seed(1)
    tiny: dict[str, Any] = {"width": 32, "layers": 2, "heads": 2, "projection_dim": 16}
    return DualEncoder(
        ViTEncoder(**{**tiny, "image_size": 32, "patch_size": 8, **(image or {})}),
        BertEncoder(**{**tiny, "vocab_size": 16, "max_length": 16, **(text or {})}),
        objective or InfoNCE(),
        **{"warmup": 0, "learning_rate": 1e-3, **rest},
    )


def make_trainer(tmp_path: Any, **rest: Any) -> L.Trainer:
    settings = {"default_root_dir": tmp_path, "accelerator": "cpu", "devices": 1, "num_sanity_val_steps": 0}
    quiet = dict.fromkeys(
        ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False
    )
    return L.Trainer(**{**settings, **quiet, **rest})


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture
def pairs() -> Callable[..., list[dict[str, Tensor]]]:
    return make_pairs


@pytest.fixture
def batch() -> dict[str, Tensor]:
    pairs = make_pairs(6)
    return {key: torch.stack([pair[key] for pair in pairs]) for key in pairs[0]}


@pytest.fixture
def data() -> type[Pairs]:
    return Pairs


@pytest.fixture
def model() -> Callable[..., DualEncoder]:
    return make_model


@pytest.fixture
def trainer(tmp_path: Any) -> Callable[..., L.Trainer]:
    return lambda **rest: make_trainer(tmp_path, **rest)


@pytest.fixture
def features() -> Callable[..., tuple[EncoderOutput, EncoderOutput]]:
    return make_features
