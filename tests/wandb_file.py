"""Reads back what W&B has recorded offline: the records of a ``.wandb`` file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

HEADER, BLOCK = 7, 32768  # of the file, which also counts for its first block


def records(path: Path, seconds: float = 20) -> list[Any]:
    """Return the records of a file; W&B's own process may still be writing it after `wandb.finish`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            found = _read(path)
        except Exception:  # protobuf's own kind, or ours: the end of it is not there yet
            found = []
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end after {seconds} s")


def _read(path: Path) -> list[Any]:
    """Return the records of a file, which is a log as LevelDB writes it, of W&B's own messages."""
    from wandb.proto import wandb_internal_pb2

    content, place, whole, found = path.read_bytes(), HEADER, b"", []
    assert content[:4] == b":W&B"
    while place < len(content):
        if BLOCK - place % BLOCK < 7:  # no room for another piece: zeros up to the next block
            place += BLOCK - place % BLOCK
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # in one piece, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            found.append(record)
            whole = b""
    return found


class WandbFile:
    """The one offline run below a directory.

    Attributes:
        run: W&B's record of the run: id, name, group, job type, tags.
        config: The configuration.
        logged: Every logged value by key, the last of each.
        summary: The closing figures.
        saved: Names of the files that are to be uploaded.
        folder: Where W&B keeps them.
        artifacts: Files in the artifacts of tables, by the table's name without slashes.
    """

    def __init__(self, directory: Path) -> None:
        (path,) = directory.glob("wandb/offline-run-*/*.wandb")
        self.folder = path.parent / "files"
        self.config: dict[str, Any] = {}
        self.logged: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.saved: set[str] = set()
        self.artifacts: dict[str, list[str]] = {}
        for record in records(path):
            match record.WhichOneof("record_type"):
                case "run":
                    self.run = record.run
                    self._take(self.config, record.run.config.update)
                case "config":
                    self._take(self.config, record.config.update)
                case "history":
                    self._take(self.logged, record.history.item)
                case "summary":
                    self._take(self.summary, record.summary.update)
                case "artifact":
                    name = record.artifact.name.split("-")[2]
                    self.artifacts[name] = [entry.path for entry in record.artifact.manifest.contents]
                case "files":
                    self.saved |= {file.path for file in record.files.files}

    @staticmethod
    def _take(into: dict[str, Any], items: Any) -> None:
        for item in items:
            *outer, last = item.nested_key or [item.key]
            place = into
            for key in outer:
                place = place.setdefault(key, {})
            place[last] = json.loads(item.value_json)

    def table(self, key: str) -> dict[str, Any]:
        """Return a logged table: its ``columns`` and ``data``."""
        return json.loads((self.folder / self.logged[key]["path"]).read_text())
