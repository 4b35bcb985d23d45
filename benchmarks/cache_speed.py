"""Reading a cache of pairs at random, beside the formats that others train from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.rows import Row, Spread, compared, in_turns, installed
from datamodules import SyntheticPairs
from datamodules.loading.loader_options import LoaderOptions
from datamodules.loading.views import Views
from datamodules.made.pair_source import PairSource
from synthesis.cases import BalancedCaseSampler
from synthesis.images.simulator import Simulator
from synthesis.pairs import PairSynthesizer
from synthesis.reports.grammar import GrammarWriter
from synthesis.store import PairStore, StorePlan, cache_directory, export_webdataset, fill_cache

BATCH = 64
GOAL = "≥ 60,000 pairs/s"
SIZE = "size of a cached pair with masks"


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows: ours beside Arrow and WebDataset, its size on disk, and whole batches of training."""
    pairs, size, turns = (128, 64, 1) if quick else (2048, 128, 7)
    synthesizer = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=size))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plan = StorePlan(synthesizer, pairs)
        store = fill_cache(root / "cache", plan, progress=False)
        ours = partial(read_store, store, np.random.default_rng(0))
        note = (
            f"{pairs:,} pairs of {size} px in batches of {BATCH}: images as one uint8 tensor, labels, texts"
        )
        for peer, package, make in (
            ("Arrow (Hugging Face datasets)", "datasets", _arrow),
            ("WebDataset (tar, PNG, buffer of 1,000)", "webdataset", _webdataset),
        ):
            works: dict[str, Callable[[], object]] = {"ours": ours}
            if installed(package):
                works["theirs"] = make(store, root)
            what = "reading a cache, shuffled"
            yield compared(what, peer, package, in_turns(turns, works), pairs, "pairs/s", GOAL, note=note)
        files = list(cache_directory(root / "cache", plan.recipe(), "train").glob("*.safetensors"))
        bytes_a_pair = sum(file.stat().st_size for file in files) / pairs
        yield _size(bytes_a_pair / 1000, size)
        yield _batches(synthesizer, pairs, root, turns)


def read_store(store: PairStore, rng: np.random.Generator) -> None:
    """Read all pairs once in random order, as training does before it changes images and encodes texts."""
    source = PairSource(partial(store.stored, masks=False), len(store), _catalog())
    order = rng.permutation(len(store)).tolist()
    for start in range(0, len(order), BATCH):
        samples = source.samples(order[start : start + BATCH])
        torch.stack([sample.image for sample in samples])
        torch.stack([sample.labels for sample in samples])
        [sample.report.text for sample in samples if sample.report is not None]


def _catalog() -> Any:
    from synthesis.concepts import ConceptCatalog

    return ConceptCatalog.load()


def _arrow(store: PairStore, root: Path) -> Callable[[], None]:
    """Return what reads the same from an Arrow file: raw pixels and labels as bytes, the text as a string."""
    from datasets import Dataset, Features, Value

    catalog, side = _catalog(), store.manifest.image_size

    def values() -> Iterator[dict[str, Any]]:
        for pair in store.pairs(range(len(store)), masks=False):
            labels = pair.case.labels(catalog).tobytes()
            yield {"image": pair.image.numpy().tobytes(), "labels": labels, "text": pair.report.text}

    kinds = Features({"image": Value("binary"), "labels": Value("binary"), "text": Value("string")})
    table = Dataset.from_generator(values, features=kinds, cache_dir=str(root / "arrow"))
    rng = np.random.default_rng(0)

    def read() -> None:
        order = rng.permutation(len(store)).tolist()
        for start in range(0, len(order), BATCH):
            batch = table[order[start : start + BATCH]]
            pixels = np.frombuffer(bytearray().join(batch["image"]), np.uint8)
            torch.from_numpy(pixels.reshape(-1, 1, side, side))
            labels = np.frombuffer(bytearray().join(batch["labels"]), np.float32)
            torch.from_numpy(labels.reshape(len(batch["text"]), -1))

    return read


def _webdataset(store: PairStore, root: Path) -> Callable[[], None]:
    """Return what reads tars as open_clip does: PNG decoded, through a buffer that shuffles."""
    import webdataset

    files = export_webdataset(store, root / "tars", _catalog(), pairs=512)

    def read() -> None:
        stream = webdataset.WebDataset([str(file) for file in files], shardshuffle=False)
        decoded = stream.shuffle(1000).decode("l8").to_tuple("png", "json", "txt").batched(BATCH)
        for images, _, _ in decoded:
            torch.from_numpy(np.stack(images) if isinstance(images, list) else images)

    return read


def _size(kilobytes: float, size: int) -> Row:
    return Row(
        what=SIZE,
        peer="pixels alone",
        version="–",
        unit="kB",
        ours=Spread.of([kilobytes]),
        theirs=Spread.of([size * size / 1000]),
        ratio=Spread.of([size * size / 1000 / kilobytes]),
        goal="≤ 17 kB",
        clock="–",
        note="The floor of images that are read without decoding is their pixels; zlib would save a quarter "
        "of them at ten times the time of reading.",
    )


def _batches(synthesizer: PairSynthesizer, pairs: int, root: Path, turns: int) -> Row:
    """Return how fast whole training batches come from a cache: read, changed, encoded."""
    from datamodules.loading.augmentation import Augmentation
    from datamodules.texts.text_view import TextView

    views = Views([TextView(1, 0, 0, 0), TextView(0, 0, 0.25, 0.75, 1, True)], Augmentation())
    loader = LoaderOptions(batch_size=BATCH)
    data = SyntheticPairs(
        synthesizer, pairs, 1, 1, loader, views, cache_dir=root / "cache", artifacts_dir=root / "artifacts"
    )
    data.tokenizer_reports = 500
    data.prepare_data()
    data.setup("fit")
    epochs = iter(range(10**6))

    def epoch() -> None:
        batches = data.train_dataloader()
        batches.sampler.set_epoch(next(epochs))  # type: ignore[attr-defined]
        for _ in batches:
            pass

    costs = in_turns(turns, {"ours": epoch})
    note = "Read, augmented (`{}`), two texts encoded, what the second claims read: one process."
    return compared(
        "training batches from a cache", "–", None, costs, pairs // BATCH * BATCH, "pairs/s", "–", note=note
    )
