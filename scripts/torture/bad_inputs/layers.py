"""Bad YAML: a layer over the base, as text or bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.samples import LAYERS, command, small_values

LAYERS_OF: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "tab": ("trainer:\n\tmax_epochs: 1\n", ("bad.yaml", "line 2")),
    "open bracket": ("trainer: {max_epochs: 1\n", ("bad.yaml", "line")),
    "open quote": ("run_dir: 'runs/x\n", ("bad.yaml", "line")),
    "bad indent": ("trainer:\n  max_epochs: 1\n max_steps: 1\n", ("bad.yaml", "line 3")),
    "colon in a value": ("run_dir: a: b\n", ("bad.yaml", "line 1")),
    "list on top": ("- trainer\n", ("bad.yaml",)),
    "number on top": ("3\n", ("bad.yaml",)),
    "text on top": ("hello\n", ("bad.yaml",)),
    "duplicate key": ("seed_everything: 1\nseed_everything: 2\n", ("bad.yaml", "seed_everything")),
    "duplicate key inside": ("trainer:\n  max_epochs: 1\n  max_epochs: 2\n", ("bad.yaml", "max_epochs")),
    "duplicate section": ("trainer: {max_epochs: 1}\ntrainer: {max_steps: 3}\n", ("bad.yaml", "trainer")),
    "unknown section": ("trianer:\n  max_epochs: 1\n", ("trianer",)),
    "unknown key": ("trainer:\n  max_epoch: 1\n", ("max_epoch",)),
    "unknown key deep": ("model:\n  init_args:\n    image_encoder:\n      init_args: {dept: 3}\n", ("dept",)),
    "unknown class": ("model:\n  class_path: lightning_modules.DualEncodr\n", ("DualEncodr",)),
    "init_args without class": ("model:\n  learning_rate: 1\n", ("learning_rate",)),
    "word for number": ("trainer:\n  max_epochs: many\n", ("max_epochs", "many")),
    "None for null": ("data:\n  init_args:\n    cache_dir: {}\n", ("cache_dir",)),
    "unknown interpolation": ("run_dir: ${nothing}\n", ("nothing",)),
    "interpolation of itself": ("run_dir: ${run_dir}\n", ("run_dir",)),
    "interpolation cycle": (
        "run_dir: ${model.init_args.seed}\nmodel: {init_args: {seed: '${run_dir}'}}\n", ("run_dir|seed",)),
    "unknown variable": ("run_dir: ${oc.env:NO_SUCH_VARIABLE}\n", ("NO_SUCH_VARIABLE",)),
    "unknown resolver": ("run_dir: ${secret:x}\n", ("secret",)),
    "python object": ("run_dir: !!python/object/apply:os.system ['true']\n", ("bad.yaml|python",)),
    "unknown tag": ("run_dir: !include other.yaml\n", ("include",)),
    "unknown alias": ("run_dir: *nowhere\n", ("nowhere",)),
    "Latin-1": ("# Übung\nrun_dir: 'runs/\xfc'\n".encode("latin-1"), ("bad.yaml",)),
    "UTF-16": ("trainer: {max_epochs: x}\n".encode("utf-16"), ("bad.yaml|max_epochs",)),
    "binary": (bytes(range(256)), ("bad.yaml",)),
    "NUL": (b"run_dir: a\0b\n", ("bad.yaml",)),
    "two documents": ("seed_everything: 1\n---\nseed_everything: 2\n", ("bad.yaml",)),
    "null model": ("model: null\n", ("model",)),
    "null data": ("data: null\n", ("data",)),
    "list for model": ("model: [1, 2]\n", ("model",)),
    "text for init_args": ("model:\n  init_args: hello\n", ("init_args|hello",)),
    "list for data": ("data:\n  init_args: [1]\n", ("init_args|data",)),
    "callbacks as a mapping": ("trainer:\n  callbacks: {a: 1}\n", ("callbacks",)),
    "callback without class": ("trainer:\n  callbacks:\n    - init_args: {k: 1}\n", ("callbacks",)),
    "subcommand inside": ("fit:\n  seed_everything: 1\n", ("fit",)),
    "a corpus's options": ("shard_pairs: 3\nfilters: []\n", ("shard_pairs",)),
    "yes for a number": ("trainer:\n  max_steps: yes\n", ("max_steps",)),
    "date": ("seed_everything: 2024-01-01\n", ("seed_everything", "2024-01-01")),
    "sexagesimal": ("trainer:\n  max_epochs: 1:30\n", ("max_epochs",)),
    "Windows path": ('run_dir: "C:\\runs"\n', ("bad.yaml", "line")),
    "very long key": (f"{'a' * 2000}: 1\n", ("bad.yaml|aaaa",)),
}  # fmt: skip
"""What → the layer, and what a clear answer says."""
MEANT = {"init_args without class": "short for an option of the class that stands there"}
OK = {"empty": ("", "an empty layer changes nothing"), "comment": ("# nothing\n", "nor does a comment")}


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for what, (content, names) in LAYERS_OF.items():
        yield BadInput(f"yaml/{what}", _with(content), names, MEANT.get(what, ""))
    for what, (content, reason) in OK.items():
        yield BadInput(f"yaml/{what}", _with(content), (), reason)


def _with(content: str | bytes) -> Callable[[Path, Path], list[str]]:
    def words(own: Path, shared: Path) -> list[str]:
        path = own / "bad.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        values = small_values(own) | {"trainer.callbacks": [], "trainer.max_steps": 1}
        del values["run_dir"]  # some layers give it
        return command(
            "fit", (*LAYERS, str(path)), values | {"trainer.limit_val_batches": 0, "trainer.logger": False}
        )

    return words
