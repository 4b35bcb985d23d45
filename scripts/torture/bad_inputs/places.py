"""Files and directories that are not what an option takes them for."""

# ruff: noqa: E501  a line an input

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.bad_inputs.cli import DATA, MODEL, SYNTHESIZER, fit_with, small_command
from scripts.torture.bad_inputs.table_data import table, with_table
from scripts.torture.samples import options

Make = Callable[[Path], object]
"""Makes something that is to lie at a path."""


def _text(content: str | bytes) -> Make:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


PLACES: dict[str, Make] = {
    "link to itself": lambda path: path.symlink_to(path),
    "link to nothing": lambda path: path.symlink_to(path.parent / "nothing"),
    "folder": lambda path: path.mkdir(),
    "empty": _text(""),
    "binary": _text(bytes(range(256)) * 4),
    "pipe": lambda path: os.mkfifo(path),
}
"""What lies there → how it is made."""
FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    # option → the places that are tried, and the name of the file
    SYNTHESIZER + "catalog": ("bad.yaml", ("link to itself", "folder", "empty", "binary")),
    DATA + "tokenizer.path": ("bad_tokenizer", ("link to itself", "folder", "empty", "binary")),
    MODEL + "weights": ("bad.ckpt", ("link to itself", "folder", "empty", "binary")),
    "ckpt_path": ("bad.ckpt", ("link to itself", "link to nothing", "empty", "binary", "pipe")),
    DATA + "cache_dir": ("bad_cache", ("link to itself", "empty", "link to nothing")),
    DATA + "artifacts_dir": ("bad_artifacts", ("link to itself", "empty")),
    "run_dir": ("bad_run", ("link to itself", "empty", "pipe")),
}
"""Option → the file's name, and what lies there instead of what is wanted."""
LAYERS: dict[str, tuple[Make, tuple[str, ...], str]] = {
    "link to itself": (PLACES["link to itself"], ("bad.yaml",), ""),
    "link to nothing": (PLACES["link to nothing"], ("bad.yaml",), ""),
    "folder": (PLACES["folder"], ("bad.yaml",), ""),
    "BOM": (
        _text(b"\xef\xbb\xbfseed_everything: 3\n"), (), "a mark of UTF-8 at the beginning is no part of the text"),
    "CRLF": (_text("seed_everything: 3\r\n"), (), "ends of lines as Windows writes them are ends of lines"),
    "UTF-32": (_text("seed_everything: 3\n".encode("utf-32")), ("bad.yaml",), ""),
    "half a surrogate": (_text(b"run_dir: runs/\xed\xa0\x80\n"), ("bad.yaml",), ""),
    "control characters": (_text("run_dir: runs/\x07a\n"), ("bad.yaml",), ""),
    "JSON cut short": (_text('{"trainer": {"max_epochs": 1'), ("bad.yaml", "line"), ""),
    "Python": (_text("import os\nprint(os.getcwd())\n"), ("bad.yaml",), ""),
    "HTML": (_text("<!DOCTYPE html><html><body>Sign in</body></html>"), ("bad.yaml",), ""),
    "LFS pointer": (
        _text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"), ("bad.yaml",), ""),
    "ten thousand anchors": (
        _text("a: &a [1, 1]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))),
        ("bad.yaml",), ""),
    "a merge of nothing": (_text("trainer:\n  <<: *nothing\n"), ("bad.yaml", "nothing"), ""),
    "empty keys": (_text("trainer:\n  '': 3\n"), ("bad.yaml",), ""),
    "no space after a colon": (_text("seed_everything:3\n"), ("bad.yaml",), ""),
    "a sweep": (_text("program: main.py\nmethod: grid\nparameters: {}\n"), ("bad.yaml", "sweep"), ""),
    "equals signs": (_text("seed_everything = 3\n"), ("bad.yaml",), ""),
    "trailing comma": (_text("trainer: {max_epochs: 1},\n"), ("bad.yaml", "line 1"), ""),
    "null trainer": (_text("trainer: null\n"), ("trainer",), ""),
    "null loader": (_text("data: {init_args: {loader: null}}\n"), ("loader",), ""),
    "null objective": (_text("model: {init_args: {objective: null}}\n"), ("objective",), ""),
    "empty class path": (_text("model: {class_path: ''}\n"), ("model",), ""),
    "class without package": (_text("data: {class_path: nothing.SyntheticPairs}\n"), ("nothing.SyntheticPairs",), ""),
    "callbacks null inside": (_text("trainer: {callbacks: [null]}\n"), ("callbacks",), ""),
    "callbacks twice nested": (_text("trainer: {callbacks: [[callbacks.Retrieval]]}\n"), ("callbacks",), ""),
}  # fmt: skip
"""What → the layer, what a clear answer says, and why it is accepted where it is."""
TABLES: dict[str, tuple[Make, dict[str, Any], tuple[str, ...], str]] = {
    "BOM": (_text("\ufeff" + table()), {}, (), "spreadsheets write a mark of UTF-8 at the beginning"),
    "CRLF": (_text(table().replace("\n", "\r\n")), {}, (), "ends of lines as Windows writes them"),
    "CR alone": (_text(table().replace("\n", "\r")), {}, (), "ends of lines as old systems write them"),
    "link to itself": (PLACES["link to itself"], {}, ("table.csv",), ""),
    "pipe": (PLACES["pipe"], {}, ("table.csv",), ""),
    "a gzip": (_text(b"\x1f\x8b\x08\x00" + bytes(60)), {}, ("table.csv",), ""),
    "a spreadsheet": (_text(b"PK\x03\x04\x14\x00\x06\x00" + bytes(60)), {}, ("table.csv",), ""),
    "quotes alone": (_text('"\n' * 5), {}, ("table.csv",), ""),
    "blank lines": (_text("\n\n\n"), {}, ("table.csv",), ""),
    "blank header": (_text(",,,,\n1.png,p,PA,Normal heart.,Effusion\n"), {}, ("table.csv", "image"), ""),
    "header twice": (_text(table() + table().splitlines()[0] + "\n"), {}, ("table.csv|row 7",), ""),
    "suffix of nothing": (_text(table()), {"image_suffix": ".jpeg"}, ("row 1", "image"), ""),
    "column of a number": (_text(table()), {"columns": "{image: 0, report: 3}"}, ("columns", "0"), ""),
    "labels null": (_text(table()), {"labels": {"columns": None, "vocabulary": "nih"}}, ("labels",), ""),
    "an image size of a patch": (_text(table()), {"image_size": 1}, ("image_size", "1"), ""),
}  # fmt: skip


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for option, (name, places) in FILES.items():
        for what in places:
            last = option.rpartition(".")[2]
            words = _at(option, name, PLACES[what])
            yield BadInput(f"place/{option.replace('init_args.', '')}: {what}", words, (last, name))
    for what, (make, names, meant) in LAYERS.items():
        yield BadInput(f"layer/{what}", _layer(make), names, meant)
    for what, (make, changes, names, meant) in TABLES.items():
        yield BadInput(f"table file/{what}", with_table(_table(make), changes), names, meant)
    yield BadInput(
        "place/run_dir: read-only", fit_with({"run_dir": "/sys/kernel/run"}), ("run_dir", "/sys/kernel/run")
    )
    yield BadInput(
        "place/cache_dir: read-only",
        fit_with({DATA + "cache_dir": "/sys/kernel/c"}),
        ("cache_dir", "/sys/kernel/c"),
    )


def _at(option: str, name: str, make: Make) -> Callable[[Path, Path], list[str]]:
    def words(own: Path, shared: Path) -> list[str]:
        make(own / name)
        return small_command(own, {option: str(own / name)})

    return words


def _layer(make: Make) -> Callable[[Path, Path], list[str]]:
    def words(own: Path, shared: Path) -> list[str]:
        make(own / "bad.yaml")
        first, *more = small_command(own, {})
        kept = [word for word in more if not word.startswith(("--seed", "--run_dir"))]
        return [
            first,
            *kept[:1],
            *kept[1:7],
            "-c",
            str(own / "bad.yaml"),
            *kept[7:],
            *options({"run_dir": str(own / "run")}),
        ]

    return words


def _table(make: Make) -> Callable[[Path], None]:
    def write(own: Path) -> None:
        make(own / "table.csv")

    return write
