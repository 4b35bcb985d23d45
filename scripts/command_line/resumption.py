"""How a run that was interrupted goes on: in the same directory, with the same figures, as one run."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn

from callbacks.base.files import written_whole
from callbacks.run.interruption import slurm_job
from callbacks.run.run_checkpoint import PREVIOUS, UNLOGGED
from lightning_modules.checkpoints import CheckpointError, read_checkpoint

UNFINISHED = "unfinished"
"""File in the run's directory until it has finished; it holds the SLURM job that trains here, if any."""


@dataclass(frozen=True)
class Resumption:
    """A run that goes on.

    Attributes:
        directory: The run's.
        checkpoint: Where it goes on from.
        step: Batches trained on by then: figures of later ones are measured again.
        row: Figures of the last of them, if they had not been logged when it was written.
    """

    directory: Path
    checkpoint: Path
    step: int
    row: Mapping[str, Any]

    @classmethod
    def of(cls, directory: Path, limits: Mapping[str, Any]) -> Resumption | None:
        """Return how a run goes on; None where it has to begin again.

        A damaged ``last.ckpt`` is named, renamed, and left for the one before it. If training had ended but
        not what comes after it (intervals, summary), that needs the last validation, so the run goes on from
        before it.

        Args:
            directory: The run's.
            limits: ``max_epochs``, ``max_steps`` and ``max_time`` of the trainer.

        Raises:
            CheckpointError: If there are checkpoints, and none can be read.
        """
        folder = directory / "checkpoints"
        first = [folder / "last.ckpt", folder / PREVIOUS]
        others = sorted(folder.glob("*.ckpt"), key=lambda file: file.stat().st_mtime, reverse=True)
        found = [path for path in first if path.is_file()]
        found += [path for path in others if path not in first and path.name != "best.ckpt"]
        for path in found:
            try:
                content = read_checkpoint(path, mmap=True)
            except CheckpointError as error:
                if path == found[-1]:
                    raise
                rank_zero_warn(f"{error} The run goes on from the one before it.")
                _set_aside(path)
            else:
                if (directory / UNFINISHED).exists() and has_ended(content, limits):
                    continue
                rank_zero_info(f"going on from {path}, step {content['global_step']}")
                states = content.get("callbacks", {}).values()
                rows = [
                    state[UNLOGGED] for state in states if isinstance(state, Mapping) and UNLOGGED in state
                ]
                return cls(directory, path, batches_done(content), rows[0] if rows else {})
        return None

    @rank_zero_only
    def continue_figures(self, trainer: L.Trainer) -> None:
        """Let ``metrics.csv`` go on where the checkpoint stands: Lightning's logger would delete it."""
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                _continue(logger, self.step, self.row)


def batches_done(checkpoint: Mapping[str, Any]) -> int:
    """Return how many batches had been trained on: the step that the next figures are logged with."""
    fit = checkpoint["loops"]["fit_loop"]
    done: int = fit["epoch_loop.state_dict"]["_batches_that_stepped"]
    epochs = fit["epoch_progress"]["total"]
    # Lightning counts a batch after its validation, but checkpoints are written before that.
    return done + (epochs["processed"] < epochs["started"])


def has_ended(checkpoint: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    """Return whether nothing is left to train on after a checkpoint."""
    fit = checkpoint["loops"]["fit_loop"]
    epochs, batches = fit["epoch_progress"]["total"], fit["epoch_loop.batch_progress"]
    done = epochs["started"] if batches["is_last_batch"] else epochs["processed"]
    reached = {"max_epochs": done, "max_steps": checkpoint["global_step"]}
    if any(0 <= (limits.get(name) or -1) <= number for name, number in reached.items()):
        return True
    elapsed: float = checkpoint.get("callbacks", {}).get("Timer", {}).get("time_elapsed", {}).get("train", 0)
    allotted = Timer(limits.get("max_time")).time_remaining()  # of a clock that has not begun
    return allotted is not None and elapsed >= allotted


def readable(checkpoint: str) -> str:
    """Return a checkpoint to train on from, or the one before it where it is damaged.

    Raises:
        CheckpointError: If neither can be read.
    """
    path = Path(checkpoint)
    previous = path.parent / PREVIOUS
    try:
        read_checkpoint(checkpoint, mmap=True)
    except CheckpointError as error:
        if path.name != "last.ckpt" or not previous.is_file():
            raise
        read_checkpoint(previous, mmap=True)
        rank_zero_warn(f"{error} The run goes on from {previous}.")
        return str(previous)
    return checkpoint


def was_requeued(directory: Path) -> bool:
    """Return whether this SLURM job has trained in a directory before, without finishing."""
    job, marker = slurm_job(), directory / UNFINISHED
    return job is not None and marker.is_file() and marker.read_text().strip() == job


@rank_zero_only
def claim(directory: Path) -> None:
    """Note that a run has begun in a directory, and by which SLURM job."""
    with written_whole(directory / UNFINISHED) as partial:
        partial.write_text(slurm_job() or "")


@rank_zero_only
def release(directory: Path) -> None:
    """Note that it has finished."""
    (directory / UNFINISHED).unlink(missing_ok=True)


@rank_zero_only
def _set_aside(path: Path) -> None:
    path.rename(path.with_suffix(".unreadable"))


def _continue(logger: CSVLogger, step: int, last: Mapping[str, Any]) -> None:
    path = Path(logger.log_dir, "metrics.csv")
    kept = path.with_name("metrics.before.csv")
    rows = _rows_before(path if path.is_file() else kept, step)
    figures = [name for name in last if name not in ("epoch", "step")]
    if last and not any(row["step"] == str(last["step"]) and row.get(figures[0]) for row in rows):
        rows.append({name: str(value) for name, value in last.items()})
    if not rows:
        return
    names = sorted(set().union(*rows))
    with written_whole(kept) as partial, partial.open("w", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows(rows)
    writer = logger.experiment  # deletes metrics.csv
    kept.replace(path)
    writer.metrics_keys = names


def _rows_before(path: Path, step: int) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]  # the last line may have been cut short
    rows = list(csv.DictReader(whole.splitlines()))
    return [row for row in rows if row.get("step", "").isdigit() and int(row["step"]) < step]
