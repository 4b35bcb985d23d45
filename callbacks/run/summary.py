"""What a run leaves to be read by people and programs: ``summary.json``, a table, a picture."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.types import STEP_OUTPUT

from callbacks.base.evaluation import Evaluation
from callbacks.base.files import written_whole
from callbacks.base.records import closing_lines, save_files, save_picture, save_rows
from callbacks.base.run_directory import run_directory
from callbacks.drawing.pictures import concept_bars
from callbacks.run.draws_file import DRAWS, store_draws
from callbacks.run.html_report import REPORT, write_report
from callbacks.run.summary_file import merged, read_supervised, supervised_of
from callbacks.run.summary_rows import concept_rows, figure_rows
from callbacks.run.summary_table import bars, concept_table, figure_table, notes, stages_of, strata_table
from datamodules.batch import IMAGE, data_facts

FILES = ("config.yaml", "summary.json", "table.md", REPORT, "model_card.md", "data_card.md")
"""What loggers keep of a run's directory, as far as it is there when the run ends."""

_STAGES = {"fit": ("train", "val", "fit"), "validate": ("val", "validate"), "test": ("test",)}


UNLOADED = "no checkpoint was loaded: these are the weights that the model was built with"
"""Said in summary, table and terminal."""


class RunSummary(L.Callback):
    """Writes summary, tables, a picture and bootstrap draws to the run directory, and prints the tables.

    ``summary.json`` holds ``"<stage>/<callback>/<name>": value`` (null for what is not finite) and under
    ``"details"``, by ``"<stage>/<callback>"``, what stands behind the values: n, intervals, split and prompt
    hashes, classes left out; by ``"<fit|validate|test>/run"`` versions, commit, seed, seconds and samples
    seen, and where ``max_time`` ended a fit, after how much of it. A later stage in the same directory adds
    to the file. While fitting it is renewed at every validation, so that a killed run leaves the latest.
    ``bootstrap.npz`` holds what the intervals were made of (`store_draws`); ``table.md``, ``concepts.png``
    and ``summary.html`` (`write_report`) are what people read.

    Args:
        supervised: JSON file ``{"<concept>": AUROC}`` of the same tower trained on the labels of made pairs,
            a comparison beside figures on such pairs. Or a folder of ``<image size>px.json``, as
            `make supervised` writes it, of which that of the model's own image tower is taken, if there is.
    """

    def __init__(self, supervised: str | None = None) -> None:
        path = None if supervised is None else Path(supervised)
        self._supervised_folder = path if path is not None and path.is_dir() else None
        self.supervised = None if path is None or self._supervised_folder else read_supervised(path)
        self._samples, self._seconds, self._started = 0, 0.0, time.monotonic()
        self._written: tuple[Mapping[str, Any], Path | None] | None = None
        self._went_on = False

    # -------------------------------------------------------------------------------------------------- hooks
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Start the clock, read the comparison, silence Lightning's list of figures: here are tables."""
        self._started = time.monotonic()
        if self._supervised_folder is not None:
            tower = getattr(pl_module, "image_encoder", None)
            self.supervised = supervised_of(self._supervised_folder, tower)
        trainer.validate_loop.verbose = trainer.test_loop.verbose = False

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count samples."""
        self._went_on = True
        self._samples += len(batch[IMAGE]) * trainer.world_size  # training batches are equal on all ranks

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Renew the summary."""
        if not trainer.sanity_checking:
            self._went_on = True
            self._write(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the summary; the figures of a run that was finished before stay."""
        self._write(trainer, keep=not self._went_on)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the summary."""
        self._write(trainer)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Print and draw what was written: only now has the progress bar drawn its last line."""
        if self._written is not None:
            self._show(trainer, *self._written)
            self._written = None

    def state_dict(self) -> dict[str, Any]:
        """Return samples and seconds so far, so that a resumed run counts on."""
        return {"samples": self._samples, "seconds": self._elapsed()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from a resumed run."""
        self._samples, self._seconds = state_dict["samples"], state_dict["seconds"]

    # ------------------------------------------------------------------------------------------------ writing
    def _write(self, trainer: L.Trainer, keep: bool = False) -> None:
        """Write the summary, and with `keep` only how the run went beside the figures that lie there."""
        directory = run_directory(trainer)
        if not trainer.is_global_zero:
            return
        summary = self._document(trainer)
        if directory is not None:
            path, stages = directory / "summary.json", _STAGES[_function(trainer)]
            stages = ("fit",) if keep else stages
            summary = merged(path, summary, stages)
            with written_whole(path) as partial:
                partial.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
            draws, about = self._draws(trainer)
            store_draws(directory / DRAWS, draws, about, stages)
        self._written = summary, directory

    @staticmethod
    def _draws(trainer: L.Trainer) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        draws: dict[str, Any] = {}
        about: dict[str, dict[str, Any]] = {}
        for callback in evaluations(trainer):
            draws |= callback.draws
            for prefix in callback.draws:
                told = {key: callback.details[prefix].get(key) for key in ("n", "split_sha256")}
                about[prefix] = {"seed": callback.seed, "resamples": callback.resamples, **told}
        return draws, about

    def _document(self, trainer: L.Trainer) -> dict[str, Any]:
        fn = _function(trainer)
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        details: dict[str, Any] = {f"{fn}/run": self._circumstances(trainer)}
        for callback in evaluations(trainer):
            figures |= callback.metrics
            details |= callback.details
        stages = _STAGES[fn]
        figures = {name: value for name, value in figures.items() if name.split("/")[0] in stages}
        details = {name: value for name, value in details.items() if name.split("/")[0] in stages}
        if supervised := self._supervised(trainer):
            details |= {f"{stage}/supervised": supervised for stage in stages_of(figures)}
        return {**dict(sorted(figures.items())), "details": details}

    def _circumstances(self, trainer: L.Trainer) -> dict[str, Any]:
        fitting = {
            "samples_seen": self._samples,
            "optimiser_steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            **stopped_early(trainer),
        }
        seed = os.environ.get("PL_GLOBAL_SEED")
        unloaded = trainer.state.fn != "fit" and trainer.ckpt_path is None and trainer.global_step == 0
        return {
            "seconds": round(self._elapsed(), 1) if trainer.state.fn == "fit" else self._since_start(),
            **(fitting if trainer.state.fn == "fit" else {}),
            **({"weights": UNLOADED} if unloaded else {}),
            "seed": None if seed is None else int(seed),
            "world_size": trainer.world_size,
            "git_commit": git_commit(),
            "versions": versions(),
        }

    def _supervised(self, trainer: L.Trainer) -> Mapping[str, Any]:
        """Return the comparison where it holds: it was measured on made pairs, not on real images."""
        return self.supervised if self.supervised is not None and data_facts(trainer).made else {}

    def _since_start(self) -> float:
        return round(time.monotonic() - self._started, 1)

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._started

    def _show(self, trainer: L.Trainer, summary: Mapping[str, Any], directory: Path | None) -> None:
        from rich.console import Console

        stages = stages_of(summary)
        shown = [stage for stage in stages if stage in _STAGES[_function(trainer)]]
        tables = {stage: [concept_table(summary, stage), figure_table(summary, stage)] for stage in stages}
        # Not a terminal: a log file, which has no width that tables would have to fit.
        console = Console(width=None if sys.stdout.isatty() else 200)
        for note in notes(summary):
            console.print(note, highlight=False)
        for table in (table for stage in shown for table in tables[stage] if table is not None):
            console.print(table.rich())
        if directory is None:
            return
        for stage, some in tables.items():
            some.append(strata_table(summary, stage))
        text = [f"**{note}**\n" for note in notes(summary)]
        text += [table.markdown() for some in tables.values() for table in some if table is not None]
        if text:
            with written_whole(directory / "table.md") as partial:
                partial.write_text("\n".join(text))
        panels = {stage: found for stage in stages if (found := bars(summary, stage))}
        if panels:
            figure = concept_bars(
                panels,
                self._supervised(trainer).get("auroc", {}),
                "AUROC by concept, 95 % intervals over patients",
            )
            save_picture(trainer, figure, directory / "concepts.png", "pictures/concepts")
        report = write_report(directory)
        _log(trainer, summary, directory, shown)
        left = [
            name
            for name in ("summary.json", "table.md", "concepts.png", "pictures")
            if (directory / name).exists()
        ]
        console.print(f"{', '.join(left)}: {directory}", soft_wrap=True)
        console.print(f"all of it to look at: {report.absolute().as_uri()}", highlight=False, soft_wrap=True)
        for line in closing_lines(trainer):
            console.print(line, highlight=False, soft_wrap=True)


def _log(trainer: L.Trainer, summary: Mapping[str, Any], directory: Path, stages: Sequence[str]) -> None:
    """Hand tables, files and closing figures to the loggers."""
    for stage in stages:
        for name, (columns, rows) in (
            ("concepts", concept_rows(summary, stage)),
            ("figures", figure_rows(summary, stage)),
        ):
            if rows:
                save_rows(trainer, f"tables/{stage}_{name}", columns, rows)
    kept = [path for name in FILES if (path := directory / name).is_file()]
    figures = {
        key: value
        for key, value in summary.items()
        if key != "details" and value is not None and key.split("/")[0] in stages
    }
    save_files(trainer, kept, figures)


def evaluations(trainer: L.Trainer) -> list[Evaluation]:
    """Return the evaluations among a trainer's callbacks."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, Evaluation)]


def stopped_early(trainer: L.Trainer) -> dict[str, str]:
    """Return ``{"stopped": …}`` if ``max_time`` has ended a fit before its last step, else nothing."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    remaining = [c.time_remaining("train") for c in callbacks if isinstance(c, Timer)]
    over = any(seconds is not None and seconds <= 0 for seconds in remaining)
    if trainer.max_epochs not in (None, -1):
        done = (trainer.fit_loop.total_batch_idx + 1) / max(1, trainer.num_training_batches)
        planned, unit = float(trainer.max_epochs or 0), "epochs"
    else:
        done, planned, unit = float(trainer.global_step), float(trainer.max_steps), "steps"
    if not over or done >= planned or 0 <= trainer.max_steps <= trainer.global_step:
        return {}
    return {"stopped": f"stopped by max_time after {done:.3g} of {planned:.0f} {unit}"}


def _function(trainer: L.Trainer) -> str:
    """``fit``, ``validate`` or ``test``."""
    assert trainer.state.fn is not None
    return trainer.state.fn.value


def versions() -> dict[str, str]:
    """Return versions of Python and of the packages that figures depend on, as far as installed."""
    found = {"python": platform.python_version()}
    for package in ("torch", "lightning", "transformers", "tokenizers", "diffusers", "monai", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of this source tree, with ``-dirty`` if files differ from it; None outside a repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
