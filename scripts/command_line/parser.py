"""The parser: shipped paths are found from any directory."""

from __future__ import annotations

import sys
from typing import Any

from jsonargparse import set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser

import callbacks  # noqa: F401  imported so that YAML and `--model.help` find the classes by name
import datamodules  # noqa: F401
import lightning_modules  # noqa: F401
from synthesis.configuration import located_layers, located_values

# Lets `${data.init_args.x}` be written from the top of the file although a subcommand is the parser's root.
set_parsing_settings(omegaconf_absolute_to_relative_paths=True)


class Parser(LightningArgumentParser):
    """Takes paths in `configs/` and `results/` that are not in the working directory from what is shipped.

    Layers are looked up before they are read; what stands in YAML, when classes are built from it, so that a
    saved configuration holds the paths as they were written.

    Args:
        listed: Lines for the end of `--help`, printed as they are.
        options: As of the base class.
    """

    def __init__(self, *args: Any, listed: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.listed = listed

    def format_help(self, *formatter: Any) -> str:
        """Return what `--help` prints."""
        return super().format_help(*formatter) + self.listed

    def parse_args(self, args: Any = None, *more: Any, **options: Any) -> Any:
        """Parse arguments, the process's own by default."""
        try:
            words = located_layers(sys.argv[1:] if args is None else args)
        except FileNotFoundError as error:
            self.error(str(error))
        return super().parse_args(words, *more, **options)

    def instantiate_classes(self, cfg: Any, **options: Any) -> Any:
        """Build everything that a configuration names."""
        try:
            config = located_values(cfg)
        except FileNotFoundError as error:
            self.error(str(error))
        return self.instantiate(config, **options)  # under the name of before jsonargparse 4.49 it warns
