"""Write the data layer for a folder of images and a table: `synvlp init-data FOLDER TABLE.csv`.

The columns are looked at: which names the images, the patients, the views, the splits, the reports and the
labels. The file says what was assumed; read it, correct it, train with it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from datamodules.tables.table import read_frame
from datamodules.tables.table_error import TableError
from scripts.command_line.errors import exit_code
from scripts.tables.table_guess import TableGuess, guess_table
from synthesis.concepts import ConceptCatalog
from synthesis.files import write_atomically


def main(args: Sequence[str] | None = None) -> Path:
    """Write the layer.

    Args:
        args: Arguments as on the command line; the process's own by default.

    Returns:
        The file.

    Raises:
        SystemExit: If the file is there already, or the table cannot be understood.
    """
    parser = argparse.ArgumentParser(
        "synvlp init-data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the images are, in folders under it or not")
    parser.add_argument("table", type=Path, help="CSV or Parquet, a row an image")
    parser.add_argument("--to", type=Path, help="file to write; TABLE's name with .yaml, here, by default")
    options = parser.parse_args(args)
    path: Path = options.to or Path(f"{options.table.name.split('.')[0]}.yaml")
    if path.exists():
        parser.error(f"{path} is there already; give another file with --to, or delete it")
    if not options.folder.is_dir():
        parser.error(f"{options.folder}: no such folder; give the one of the images, then the table")
    try:
        frame = read_frame(options.table)
        guess = guess_table(frame, options.table, options.folder, ConceptCatalog.load())
    except TableError as error:
        parser.error(str(error))
    write_atomically(path, layer(guess, options.folder, options.table, path))
    print("\n".join([f"{path}: written. Assumed:", *(f"  {line}" for line in guess.assumed), "Train with:"]))
    print(f"  {command(guess, path)}")
    return path


def layer(guess: TableGuess, folder: Path, table: Path, path: Path) -> str:
    """Return the YAML of a guess, with what was assumed above it.

    Args:
        guess: What the columns are.
        folder: Where the images are.
        table: The table.
        path: Where the layer will be.
    """
    kind = "ImageReports" if guess.has_reports else "LabelledImages"
    arguments: dict[str, Any] = {
        "table": str(table.absolute()),
        "image_root": str(folder.absolute()),
        "image_size": "${model.init_args.image_encoder.init_args.image_size}",
        **guess.arguments,
        "on_bad": "set_aside",
        "loader": {"epoch_size": None, "echo": 1},
    }
    lines = [f"# {table.name} and the images under {folder.name}. What synvlp init-data assumed:"]
    lines += [f"# - {line}" for line in guess.assumed]
    lines += [f"#   {command(guess, path)}", "data:", f"  class_path: datamodules.{kind}", "  init_args:"]
    lines += [f"    {key}: {_inline(value)}" for key, value in arguments.items()]
    return "\n".join(lines) + "\n"


def command(guess: TableGuess, path: Path) -> str:
    """Return the command that trains on a layer: pairs with labels, pairs without, labels alone."""
    base = "synvlp fit -c configs/pretrain.yaml"
    if not guess.has_reports:
        return f"{base} -c configs/tasks/fine_tune.yaml -c {path}"
    return (
        f"{base} -c {path}"
        if guess.arguments.get("labels")
        else f"{base} -c configs/objectives/clip.yaml -c {path}"
    )


def _inline(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    plain = text.removesuffix("\n").removesuffix("\n...")
    return f'"{plain}"' if plain.startswith("${") else plain


if __name__ == "__main__":
    sys.exit(exit_code(main))
