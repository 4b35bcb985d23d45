"""Build the model directory of an encoder for others: `python -m scripts.exports.release --run runs/fit`.

The directory loads by its name, offline: weights as safetensors of 16 bits, tokenizer, configuration, image
processor, a card with what was measured, and checksums. `--push owner/name` also uploads it to the hub of
Hugging Face (log in first: `hf auth login`).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.command_line.errors import exit_code
from scripts.exports.export import export_run
from synthesis.model_files import model_directory

ENCODERS = Path("results/encoders")
"""Where encoders lie that are shipped with the code."""


def main(args: Sequence[str] | None = None) -> Path:
    """Build the directory, and upload it where that is asked for.

    Args:
        args: Arguments as on the command line; the process's own by default.

    Returns:
        The directory.

    Raises:
        SystemExit: If the run has no such checkpoint.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/fit"), help="directory of the training run")
    parser.add_argument("--checkpoint", default="best", help="name of the checkpoint in it: best or last")
    parser.add_argument("--name", default="short", help="of the encoder: the recipe it was trained by")
    parser.add_argument("--to", type=Path, help=f"directory to write; {ENCODERS}/<name> by default")
    parser.add_argument("--full", action="store_true", help="store the weights in 32 bits")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload it to this repository of the hub")
    options = parser.parse_args(args)
    if options.push and not re.fullmatch(r"[\w.-]+/[\w.-]+", options.push):
        parser.error(f"--push={options.push}: give OWNER/NAME, of letters, digits, and the characters . _ -")
    directory: Path = options.to or ENCODERS / options.name
    export_run(options.run, options.checkpoint, directory, half=not options.full)
    model_directory(directory, ("config", "weights", "tokenizer"), argument="directory")
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 2**20
    print(f"{directory}: {size:.1f} MiB, loads by this name")
    if options.push:
        print(f"uploaded: {push(directory, options.push)}")
    return directory


def push(directory: Path, repository: str) -> str:
    """Upload a directory to the hub.

    Args:
        directory: What `main` has written.
        repository: ``owner/name``; made if it is not there, private at first.

    Returns:
        Its address.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repository, private=True, exist_ok=True)
    api.upload_folder(repo_id=repository, folder_path=directory, commit_message="Upload the encoder")
    return f"hub:{repository}"


if __name__ == "__main__":
    sys.exit(exit_code(main))
