"""A checkpoint as a generator directory: `python -m scripts.exports.export_generator CHECKPOINT DIRECTORY`.

What `callbacks.GeneratorExport` writes when training ends, for any checkpoint: the averaged weights.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import lightning_modules  # noqa: F401  the checkpoint names its class
from callbacks.run.generator_export import export
from lightning_modules.checkpoints import load_model
from scripts.command_line.errors import exit_code


def main(args: list[str] | None = None) -> None:
    """Read the command line and write the directory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args(args)
    try:
        export(load_model(options.checkpoint), options.directory)
    except TypeError as error:
        raise ValueError(f"{options.checkpoint}: {error}") from error
    print(f"exported to {options.directory}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
