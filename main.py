"""The command line: `python main.py fit|validate|test|predict -c configs/….yaml [--key=value …]`.

Installed, it is `synvlp fit …`, from any directory. Further programs (`synvlp export …`) are named in
`scripts/command_line/words.py`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from scripts.command_line.errors import debugging, exit_code
from scripts.command_line.words import SUBCOMMANDS, WORDS, help_text, run_word

if TYPE_CHECKING:  # Lightning takes seconds to import: not for the help, nor for a program of its own
    from lightning.pytorch.cli import ArgsType

    from scripts.command_line.command_line import CommandLine


def main(args: ArgsType = None) -> CommandLine:
    """Parse the command line and run the subcommand.

    Args:
        args: Arguments as on the command line, for tests and scripts; the process's own by default.

    Returns:
        The command line after the run: its `trainer`, `model`, `datamodule` and `config`.
    """
    from lightning.pytorch import LightningDataModule, LightningModule

    from scripts.command_line.command_line import CommandLine
    from scripts.command_line.noise import quieten
    from scripts.command_line.parser import Parser

    quieten()
    try:
        return CommandLine(
            LightningModule,
            LightningDataModule,
            parser_class=Parser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_kwargs={"parser_mode": "omegaconf+", "help_text": help_text()},
            args=args,
        )
    finally:
        if "wandb" in sys.modules:  # else the next run in this process would be written into this one
            sys.modules["wandb"].finish()


def command() -> int:
    """Run `synvlp` and return its exit code."""
    if debugging():
        os.environ.setdefault("JSONARGPARSE_DEBUG", "1")
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(help_text(), end="")
        return 0
    if not sys.argv[1:]:
        sys.stderr.write(
            f"error: no subcommand; give one: {', '.join(dict.fromkeys([*SUBCOMMANDS, *WORDS]))}\n"
        )
        return 2
    if sys.argv[1] in WORDS:
        return exit_code(lambda: run_word(sys.argv[1], sys.argv[2:]))
    return exit_code(main)


if __name__ == "__main__":
    sys.exit(command())
