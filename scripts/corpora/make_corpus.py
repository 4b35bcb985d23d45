"""Make a filtered, fingerprinted corpus from the YAML of training: `make corpus CONFIG=configs/data/….yaml`.

    python -m scripts.corpora.make_corpus configs/data/filtered.yaml --out corpora/filtered
    torchrun --nproc-per-node 4 -m scripts.corpora.make_corpus configs/data/filtered.yaml  # or --shard i/n

May be killed at any time and started again: only unfinished files are made again. Whichever process finishes
last writes the card (README.md, card.json), the gallery of what was refused, and the exports.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch import LightningDataModule

from datamodules import SyntheticPairs
from scripts.command_line.errors import exit_code
from scripts.command_line.numbers import whole
from scripts.corpora.corpus_gallery import write_gallery
from scripts.resolved_config import resolved_config
from synthesis.configuration import located, shipped
from synthesis.files import locked
from synthesis.filters import CorpusFilter
from synthesis.pairs import PairSynthesizer
from synthesis.store import (
    PairStore,
    Share,
    StorePlan,
    data_card,
    export_parquet,
    export_webdataset,
    fill,
    write_card,
)

BASE, OPTIONS = "configs/pretrain.yaml", Path("configs/corpus")
EXPORTS = {"webdataset": export_webdataset, "parquet": export_parquet}


@dataclass
class Options:
    """What a corpus needs besides the YAML of training.

    Attributes:
        shard_pairs: Pairs made for one file.
        filters: Leave out pairs that are bad beside the others.
        exports: Forms in which the corpus is exported.
        export_pairs: Pairs in a file of an export.
        licences: Class of a writer or image maker → the licence of what it makes, for the card.
        examples: Pictures of each kind of rejection in the gallery.
    """

    shard_pairs: int = 64
    filters: list[CorpusFilter] = field(default_factory=list)
    exports: list[Literal["webdataset", "parquet"]] = field(default_factory=list)
    export_pairs: int = 1000
    licences: dict[str, str] = field(default_factory=dict)
    examples: int = 6


def read_options(path: str) -> Options:
    """Build what a file of `configs/corpus/` says."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Options)
    try:
        built = parser.instantiate(parser.parse_path(located(path)))
    except ArgumentError as error:
        known = ", ".join(option.name for option in fields(Options))
        raise ValueError(f"{path}: {error}; give one of {known}") from error
    return Options(**built.as_dict())


def read_data(configs: Sequence[str], overrides: Sequence[str] = ()) -> SyntheticPairs:
    """Build the data module that training would have with these layers over the base, and nothing else.

    Raises:
        SystemExit: If they do not parse, or the data are no synthetic pairs.
    """
    layers = [word for path in (BASE, *configs) for word in ("-c", path)]
    resolved = resolved_config("fit", *layers, *overrides)["data"]
    data = build_data(resolved)
    if not isinstance(data, SyntheticPairs):
        raise SystemExit(
            f"{', '.join(configs)}: data is a {type(data).__name__}; give a layer with SyntheticPairs "
            f"(pairs of your own are checked by scripts/corpora/check_pairs.py)."
        )
    return data


def build_data(resolved: Mapping[str, Any]) -> LightningDataModule:
    """Build a data module from the resolved ``data`` of a configuration."""
    parser = ArgumentParser()
    parser.add_subclass_arguments(LightningDataModule, "data")
    data: LightningDataModule = parser.instantiate(parser.parse_object({"data": dict(resolved)})).data
    return data


def licences(options: Options, synthesizer: PairSynthesizer) -> dict[str, str]:
    """Return the licence of each part that makes the pairs.

    Raises:
        SystemExit: If one is not said: a card would be wrong or silent about it.
    """
    parts = (synthesizer.writer, getattr(synthesizer.writer, "fallback", None), synthesizer.image_maker)
    used = [type(part).__name__ for part in parts if part is not None]
    if missing := [name for name in used if name not in options.licences]:
        raise SystemExit(
            f"licences: none for {', '.join(missing)}, which makes the pairs; the corpus options have "
            f"{sorted(options.licences)}. Copy {OPTIONS / 'default.yaml'}, add under that name the licence "
            "of the weights, and give the copy as --corpus (CORPUS=… of make)."
        )
    return {name: options.licences[name] for name in used}


def take_own_device() -> None:
    """Make "cuda" the GPU of this process where a launcher says which of the machine's processes it is."""
    import torch

    rank = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID"))
    if rank is not None and torch.cuda.is_available():
        torch.cuda.set_device(int(rank) % torch.cuda.device_count())


def finish(root: Path, store: PairStore, synthesizer: PairSynthesizer, options: Options, title: str) -> None:
    """Write card, gallery and exports of a finished corpus; one process at a time."""
    with locked(root):
        write_gallery(root / "gallery", store, synthesizer, options.examples)
        for name in options.exports:
            EXPORTS[name](store, root / name, synthesizer.catalog, options.export_pairs)
        write_card(root, data_card(store, synthesizer, licences(options, synthesizer)), title)


def parsed(args: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; what is left are overrides as `main.py fit` knows them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("config", nargs="+", help="layers over configs/pretrain.yaml, as for main.py fit")
    parser.add_argument(
        "--corpus", help="a file of configs/corpus/; that named as the last layer, or default"
    )
    parser.add_argument("--out", type=Path, help="directory of the corpus; corpora/<name of the last layer>")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--pairs", type=whole(1), help="pairs to make; as many as the data's train_pairs")
    parser.add_argument("--shard", help="i/n: make each n-th file; torchrun and SLURM say it themselves")
    parser.add_argument("--workers", type=whole(0), help="processes; as many as the data's num_workers")
    return parser.parse_known_args(args)


def main(args: Sequence[str] | None = None) -> Path:
    """Make a corpus, or this process's share of it.

    Returns:
        The directory of the corpus.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    known, overrides = parsed(args)
    own = OPTIONS / Path(known.config[-1]).name
    chosen = known.corpus or str(own if shipped(own).exists() or own.exists() else OPTIONS / "default.yaml")
    data, options = read_data(known.config, overrides), read_options(chosen)
    plan = StorePlan(
        maker=data.synthesizer,
        pairs=data.sizes["train"] if known.pairs is None else known.pairs,
        seed=data.loader.seed,
        split=known.split,
        filters=options.filters,
        shard_pairs=options.shard_pairs,
        complete=False,
    )
    licences(options, data.synthesizer)
    take_own_device()
    name = Path(known.config[-1]).stem
    root: Path = known.out or Path("corpora", name)
    share = Share.parse(known.shard) if known.shard else Share.of_environment()
    workers = data.loader.num_workers if known.workers is None else known.workers
    store = fill(root / plan.split, plan, share, workers)
    if store is not None:
        finish(root, store, data.synthesizer, options, f"SynVLP corpus {root.name}")
        made = store.manifest.made
        print(f"{len(store):,} of {made:,} pairs are in {store.directory}; open {root / 'README.md'}")
    return root


if __name__ == "__main__":
    sys.exit(exit_code(main))
