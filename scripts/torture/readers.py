"""What reads the files that this project writes: each returns what a user would notice to have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scripts.torture.samples import TIMES, hashed


def checkpoint(directory: Path) -> Any:
    """Read a checkpoint: weights, optimiser, loops, hyper-parameters."""
    from lightning_modules.checkpoints import read_checkpoint

    content = read_checkpoint(directory / "best.ckpt")
    return hashed({key: value for key, value in content.items() if key != "callbacks"})


def tested(run: Path) -> Any:
    """Test a run with its configuration and its best checkpoint; return the figures."""
    import json

    from main import main

    words = [f"--ckpt_path={run}/checkpoints/best.ckpt", f"--run_dir={run}/again"]
    main(["test", "-c", f"{run}/config.yaml", *words])
    summary = json.loads((run / "again" / "test" / "summary.json").read_text())
    return {key: value for key, value in summary.items() if key.startswith("test/")}


def store(directory: Path) -> Any:
    """Read every pair of a store with its masks, what was refused, and what was noted."""
    from synthesis.store import PairStore

    found = PairStore(directory)
    pairs = found.pairs(range(len(found)))
    return {
        "pairs": [
            [hashed(pair.image), hashed(pair.masks), str(pair.case), pair.report.text] for pair in pairs
        ],
        "refused": [str(entry) for entry in found.refused()],
        "notes": dict(found.notes()),
        "manifest": found.manifest.sha256,
    }


def corpus(path: Path, stream: bool = False) -> Any:
    """Read every pair of an export as training does."""
    from datamodules import CorpusPairs, LoaderOptions, Views

    data = CorpusPairs(
        path=str(path),
        image_size=64,
        splits={"train": 1.0},
        stream=stream,
        artifacts_dir=path.parent / "artifacts",
        loader=LoaderOptions(batch_size=4, num_workers=0),
        views=Views(augmentation=None),
    )
    data.prepare_data()
    data.setup("fit")
    source = data.source("train")
    samples = source.samples(range(len(source)))
    return [[hashed(one.image), str(one.report), str(one.labels), str(one.case)] for one in samples]


def streamed(path: Path) -> Any:
    """Read the same file by file."""
    return corpus(path, stream=True)


def tokenizer(directory: Path) -> Any:
    """Load the only tokenizer of a directory and read sentences with it."""
    from datamodules.texts.tokenizer import load_tokenizer

    loaded = load_tokenizer(next(directory.glob("tokenizer-*")))
    texts = ["FINDINGS: Small left pleural effusion. IMPRESSION: Effusion.", "No pneumothorax, heart normal."]
    vocabulary = hashlib.sha256(str(sorted(loaded.get_vocab().items())).encode()).hexdigest()
    return [loaded(texts)["input_ids"], vocabulary, loaded.model_max_length, loaded.padding_side]


def generator(directory: Path) -> Any:
    """Draw two images with a generator."""
    from synthesis import BalancedCaseSampler, GrammarWriter, VariationalImageMaker

    cases = [BalancedCaseSampler().sample(0, "train", k) for k in range(2)]
    reports = GrammarWriter().write(cases, [0, 1])
    maker = VariationalImageMaker(directory=directory, image_size=64)
    return hashed(maker.make(cases, reports, [1, 2]).images)


def exported_encoder(directory: Path) -> Any:
    """Read an exported dual encoder through the gate, and embed an image and a text."""
    from transformers import AutoProcessor, VisionTextDualEncoderModel

    import lightning_modules.exported  # noqa: F401  registers our towers
    from synthesis.model_files import model_directory, open_pretrained

    place = model_directory(directory, ("config", "weights", "tokenizer"))
    model = open_pretrained(VisionTextDualEncoderModel, place).eval()
    processor = open_pretrained(AutoProcessor, place)
    from PIL import Image

    images = [Image.linear_gradient("L").resize((64, 64))]
    inputs = processor(text=["no pneumothorax"], images=images, return_tensors="pt", padding=True)
    with torch.no_grad():
        return [hashed(value) for value in _tensors(model(**inputs).values())]


def record(directory: Path) -> Any:
    """Read the record of a comparison with its draws."""
    from scripts.comparison.record import Record

    runs = Record(directory / "runs.csv").read()
    return [
        [
            run.arm,
            run.seed,
            {name: fact for name, fact in run.facts.items() if name not in TIMES},
            dict(run.figures),
            {k: v.tolist() for k, v in run.draws.values.items()},
        ]
        for run in runs
    ]


def carried_out(directory: Path) -> Any:
    """Carry a finished comparison out again; return its table and its record."""
    from scripts.comparison.__main__ import main

    given = [f"--out={directory / 'out'}", f"--cache={directory / 'cache'}", "--minutes=0"]
    main([str(directory / "killed.yaml"), *given])
    return [(directory / "out" / "table.md").read_text(), record(directory / "out")]


def cards(run: Path) -> Any:
    """Write the cards of a run; return the model's."""
    from scripts.exports.cards import model_card

    return model_card(run)


def _plain(draws: Mapping[str, Any]) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in draws.items()}


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]
