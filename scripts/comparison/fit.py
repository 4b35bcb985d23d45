"""One `main.py fit` with what a comparison keeps of it; of several devices in a process of its own.

Lightning starts the other ranks of a training by the command line of its process. Of a comparison's own they
would each begin the whole comparison: `python -m scripts.comparison.fit FILE` is one that fits this training
alone. FILE, in JSON, holds ``args`` and ``directory``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from callbacks.run.generator_export import EXPORT, GeneratorExport, export
from lightning_modules.checkpoints import load_model
from main import main as program
from scripts.command_line.errors import exit_code
from scripts.comparison.files import read_sealed, write_sealed

_ASKED, _FACTS = "fit.json", "facts.json"


def takes_several(config: Mapping[str, Any]) -> bool:
    """Return whether a training may take more than one device; ``auto`` may."""
    trainer = config["trainer"]
    return str(trainer.get("devices", 1)) not in ("1", "[0]") or trainer.get("num_nodes", 1) != 1


def one_device(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arguments with which what may take several devices takes one, as measures do."""
    if not takes_several(config):
        return ()
    return ("--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto")


def fit(args: Sequence[str], directory: Path) -> dict[str, Any]:
    """Train here, on one device or as one of the ranks.

    Args:
        args: Arguments after `fit`.
        directory: Of the run.

    Returns:
        ``global_step``, ``samples``, ``minutes``, ``threads``, ``parameters``.
    """
    line = program(["fit", *args])
    summary = directory / "summary.json"
    details = json.loads(summary.read_text())["details"] if summary.exists() else {}
    run = details.get("fit/run", {})
    _finish(line, directory)
    return {
        "global_step": line.trainer.global_step,
        "samples": run.get("samples_seen"),
        "minutes": None if "seconds" not in run else round(run["seconds"] / 60, 2),
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in line.model.parameters()),
    }


def fit_apart(args: Sequence[str], directory: Path) -> dict[str, Any]:
    """Train in a process of its own, whose ranks are started by its command line.

    Args:
        args: Arguments after `fit`.
        directory: Of the run.

    Returns:
        As `fit`.

    Raises:
        RuntimeError: If the process fails; it has said why.
    """
    (directory / _FACTS).unlink(missing_ok=True)
    write_sealed(directory / _ASKED, {"args": list(args), "directory": str(directory)})
    command = [sys.executable, "-m", "scripts.comparison.fit", str(directory / _ASKED)]
    code = subprocess.run(command).returncode
    facts = read_sealed(directory / _FACTS)
    if code or not facts:
        raise RuntimeError(f"{' '.join(command)} ended with {code}: see above; it can be run again by itself")
    for name in (_ASKED, _FACTS):
        (directory / name).unlink()
    return facts


def _finish(line: Any, directory: Path) -> None:
    """Leave what later stages and tests open, also where the training was killed after its last step."""
    last = directory / "checkpoints" / "last.ckpt"
    if not last.exists():
        line.trainer.save_checkpoint(last)
    if not line.trainer.is_global_zero:
        return
    exports = any(isinstance(callback, GeneratorExport) for callback in line.trainer.callbacks)
    if exports and not (directory / EXPORT).is_dir():
        model: Any = load_model(last)
        export(model, directory / EXPORT)
    if (tokenizer := getattr(line.datamodule, "tokenizer", None)) is not None:
        tokenizer.save_pretrained(directory / "tokenizer")


def main(args: list[str] | None = None) -> None:
    """Train as a file says, on every rank, and leave the facts beside it."""
    (file,) = sys.argv[1:] if args is None else args
    asked = read_sealed(Path(file))
    directory = Path(asked["directory"])
    facts = fit(asked["args"], directory)
    if torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return
    write_sealed(directory / _FACTS, facts)


if __name__ == "__main__":
    sys.exit(exit_code(main))
