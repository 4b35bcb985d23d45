"""At the end of training: the generator as a directory that image makers and plain libraries open."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lightning as L

from callbacks.base.run_directory import run_directory
from callbacks.run.non_finite_guard import NonFiniteError, non_finite_weights
from synthesis.checksums import write_checksums

EXPORT = "export"


class GeneratorExport(L.Callback):
    """Writes ``<run directory>/export`` when training ends, whole or not at all.

    List it after the callback that averages the weights, so that the average is what is written.
    `scripts/exports/export_generator.py` does the same for any checkpoint.
    """

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the directory, on rank zero."""
        directory = run_directory(trainer)
        if directory is not None and trainer.is_global_zero:
            export(pl_module, directory / EXPORT)


def export(module: Any, directory: Path) -> None:
    """Have a module write itself to a directory, in place of what an earlier export left there.

    Args:
        module: Anything with ``export(directory)``.
        directory: Where it goes.

    Raises:
        TypeError: If the module cannot be exported.
        NonFiniteError: If weights are NaN or infinite. What stands there stays.
    """
    if not hasattr(module, "export"):
        raise TypeError(
            f"GeneratorExport: {type(module).__name__} has no export(directory); it is no "
            "generator: leave GeneratorExport out"
        )
    if wrong := non_finite_weights(module):
        raise NonFiniteError(
            f"{wrong}: nothing is exported, and {directory} is as it was. Export an earlier checkpoint with "
            "scripts.exports.export_generator, or train again with a lower learning rate"
        )
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    module.export(partial)
    write_checksums(partial)
    shutil.rmtree(directory, ignore_errors=True)
    partial.rename(directory)
