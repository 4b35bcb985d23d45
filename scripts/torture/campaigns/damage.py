"""Flipped bytes, truncations and deletions of every kind of file that we write: is it noticed?"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from lightning_modules.checkpoints import checkpoint_bytes
from scripts.torture import readers
from scripts.torture.campaign import Campaign, Case, Outcome
from scripts.torture.paths import small_store
from scripts.torture.process import Ended, run
from scripts.torture.samples import small_fit
from scripts.torture.targets import comparison, corpus, generator
from synthesis.files import write_atomically, write_json


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: How the table names it.
        files: Pattern of its files, from the directory of all that was made.
        root: What is copied for an attempt, from there.
        reads: Copied directory → what a user gets of it.
        flips: How many files are hit in one byte.
        harmless: Why damage may go unnoticed; empty where it may not.
        gone: Why its absence may.
    """

    name: str
    files: str
    root: str
    reads: Callable[[Path], Any]
    flips: int = 6
    harmless: str = ""
    gone: str = ""


FOR_PEOPLE = "for people to read and edit: nothing reads it back"
EDITED = "a configuration, which people edit: another value is another run, and the record says which"
GROWN = (
    "read when a corpus grows or is gone on with, and compared with its checksum or the configuration then"
)
EMPTY = "without the file nothing is recorded: what was measured is measured again"
UNPAIRED = "without its draws a run is compared unpaired, and the table of differences says so"
EXPORTED = (
    "read when a corpus is exported again: another content is another corpus, and files are written anew"
)

KINDS = (
    Kind("checkpoint", "run/checkpoints/best.ckpt", "run/checkpoints", readers.checkpoint, 30),
    Kind("checkpoint, tested", "run/checkpoints/best.ckpt", "run", readers.tested, 2),
    Kind("configuration of a run", "run/config.yaml", "run", readers.cards, 3, EDITED),
    Kind("metrics of a run", "run/metrics.csv", "run", readers.cards, 1, FOR_PEOPLE),
    Kind("summary", "run/summary.json", "run", readers.cards, 8),
    Kind("table of a run", "run/table.md", "run", readers.cards, 1, FOR_PEOPLE),
    Kind("picture of a run", "run/concepts.png", "run", readers.cards, 1, FOR_PEOPLE),
    Kind("tokenizer", "artifacts/tokenizer-*/*", "artifacts", readers.tokenizer, 16),
    Kind("shard", "corpus/train/*[0-9a-f].safetensors", "corpus/train", readers.store, 12),
    Kind("signatures", "corpus/train/*.signatures.safetensors", "corpus/train", readers.store, 2, GROWN),
    Kind("ledger", "corpus/train/*.ledger.json", "corpus/train", readers.store, 12),
    Kind("manifest", "corpus/train/manifest.json", "corpus/train", readers.store, 12),
    Kind("recipe", "corpus/train/recipe.json", "corpus/train", readers.store, 2, GROWN),
    Kind("card", "corpus/card.json", "corpus/train", readers.store, 1, FOR_PEOPLE),
    Kind("tar", "corpus/webdataset/*.tar", "corpus/webdataset", readers.corpus, 14),
    Kind("tar, streamed", "corpus/webdataset/*.tar", "corpus/webdataset", readers.streamed, 4),
    Kind("counts of a tar", "corpus/webdataset/*_stats.json", "corpus/webdataset", readers.corpus, 3),
    Kind("source of an export", "corpus/*/source.json", "corpus/webdataset", readers.corpus, 2, EXPORTED),
    Kind("Parquet", "corpus/parquet/*.parquet", "corpus/parquet", readers.corpus, 14),
    Kind("Parquet, streamed", "corpus/parquet/*.parquet", "corpus/parquet", readers.streamed, 4),
    Kind("generator", "export/**/*", "export", readers.generator, 24),
    Kind("exported encoder", "exported/*", "exported", readers.exported_encoder, 24),
    Kind("record", "comparison/out/runs.csv", "comparison/out", readers.record, 10, gone=EMPTY),
    Kind("draws", "comparison/out/draws/*", "comparison/out", readers.record, 8, gone=UNPAIRED),
    Kind("finished run", "comparison/out/runs/a-0/fitted.json", "comparison", readers.carried_out, 3),
    Kind("begun run", "comparison/out/runs/a-0/training.json", "comparison", readers.carried_out, 2),
)
SHORT = ("checkpoint", "shard", "ledger", "manifest")


class Damage(Campaign):
    """See the head of this file."""

    name = "damage"
    title = (
        "a flipped byte, a truncation, a deletion in every kind of file that we write: noticed, or harmless"
    )
    survives = frozenset({"noticed", "repaired", "no effect", "harmless"})
    explained = frozenset({"harmless"})

    def prepare(self, directory: Path, short: bool) -> None:
        """Make one of each kind of file, and read them as they are."""
        commands: list[list[str]] = []
        if short:
            small_store(directory / "corpus" / "train")
            path = directory / "run" / "checkpoints" / "best.ckpt"
            state = {"weight": torch.arange(4096.0)}
            write_atomically(path, checkpoint_bytes({"state_dict": state, "global_step": 1}))
        else:
            commands.append(small_fit(directory))
            (directory / "comparison").mkdir()
            commands += [comparison(directory / "comparison"), corpus(directory)]
            commands += [
                generator(directory / "generator"),
                ["scripts.exports.export", f"--run={directory / 'run'}"],
            ]
        for number, words in enumerate(commands):
            ended = run(words, directory / f"log-{number}.txt")
            if ended.code:
                raise RuntimeError(f"{words[:3]}: {ended.output[-2000:]}")
        if not short:
            (directory / "run" / "exported").rename(directory / "exported")
            (directory / "generator" / "run" / "export").rename(directory / "export")
        for kind in _kinds(short):
            place = directory / "copies" / kind.name
            shutil.copytree(directory / kind.root, place / "copy")
            path = directory / f"{kind.name}.json"
            ended = run(partial(_read, kind, place / "copy", path), place / "log.txt")
            if not path.exists():
                raise RuntimeError(f"{kind.name}: {ended.output[-2000:]}")
            shutil.rmtree(place)

    def cases(self, directory: Path, short: bool) -> Iterator[Case]:
        """Yield the damages."""
        for kind in _kinds(short):
            rng = random.Random(kind.name)
            files = sorted(path for path in directory.glob(kind.files) if path.is_file())
            files = [path for path in files if not path.name.startswith(".")]
            for name, path, damage in _damages(rng, files, 1 if short else kind.flips, 1 if short else 2):
                title = f"{kind.name}/{name} ({path.name})"
                yield Case(title, partial(attempt, kind, directory, path, damage))

    def sabotage(self) -> None:
        """Compare no checksum."""
        for module in ("fill", "ledger", "pair_store"):
            vars(import_module(f"synthesis.store.{module}"))["check_sha256"] = lambda path, expected: None
        vars(import_module("lightning_modules.checkpoints"))["check_archive"] = lambda path: None
        vars(import_module("synthesis.model_files"))["_check_sums"] = lambda directory, where: None


def _kinds(short: bool) -> list[Kind]:
    return [kind for kind in KINDS if not short or kind.name in SHORT]


def _damages(
    rng: random.Random, files: list[Path], flips: int, others: int
) -> Iterator[tuple[str, Path, Callable[[Path], Any]]]:
    for number in range(flips):
        path = rng.choice(files)
        place = rng.randrange(path.stat().st_size)
        yield f"flip {number}", path, partial(flip, place, rng.randrange(1, 256))
    for number, path in enumerate(rng.sample(files, min(others, len(files)))):
        size = path.stat().st_size
        for name, left in (("half", size // 2), ("a byte short", size - 1), ("empty", 0)):
            yield f"{name} {number}", path, partial(truncate, left)
        yield f"deleted {number}", path, Path.unlink


def flip(place: int, bits: int, path: Path) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= bits
    path.write_bytes(content)


def truncate(size: int, path: Path) -> None:
    """Cut a file."""
    path.write_bytes(path.read_bytes()[:size])


def _read(kind: Kind, root: Path, result: Path) -> None:
    write_json(result, json.loads(json.dumps(kind.reads(root))))


def attempt(kind: Kind, made: Path, path: Path, damage: Callable[[Path], Any], directory: Path) -> Outcome:
    """Damage a copy, read it, and compare what was read with what is read of the original."""
    root, result = directory / "copy", directory / "result.json"
    shutil.copytree(made / kind.root, root)
    if not path.is_relative_to(made / kind.root):  # beside what is read
        return Outcome("harmless", kind.harmless)
    there = root / path.relative_to(made / kind.root)
    damage(there)
    ended = run(partial(_read, kind, root, result), directory / "log.txt")
    if ended.code:
        return Outcome("noticed" if _named(there, root, ended) else "obscure", ended.last)
    if json.loads(result.read_text()) == json.loads((made / f"{kind.name}.json").read_text()):
        same = there.exists() and there.read_bytes() == path.read_bytes()
        return Outcome("repaired" if same else "harmless" if kind.harmless else "no effect", kind.harmless)
    if _named(there, root, ended) and "arning" in ended.output:
        return Outcome("noticed", ended.last)
    reason = kind.harmless or (kind.gone if not there.exists() else "")
    return Outcome("harmless" if reason else "unnoticed", reason or ended.last)


def _named(path: Path, root: Path, ended: Ended) -> bool:
    """Return whether the end of an answer names the file, or the directory that lacks it."""
    tail = "\n".join(line for line in ended.output.splitlines() if line.strip())[-3000:]
    return path.name in tail or str(path.parent) in tail or (not path.exists() and str(root) in tail)
