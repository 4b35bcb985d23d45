"""The command line: `python main.py fit|validate|test|predict -c configs/….yaml [--key=value …]`.

Installed, it is `synvlp fit …`, from any directory.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from jsonargparse import set_parsing_settings
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_warn

import callbacks  # noqa: F401  imported so that YAML and `--model.help` find the classes by name
import datamodules  # noqa: F401
import lightning_modules  # noqa: F401
from callbacks.base.run_directory import check_checkpoint, free_directory
from synthesis.configuration import located_layers, located_values

# Lets `${data.init_args.x}` be written from the top of the file although a subcommand is the parser's root.
set_parsing_settings(omegaconf_absolute_to_relative_paths=True)

# Warnings about what is meant here.
HARMLESS = (
    "LightningCLI's args parameter is intended",  # tests and scripts call main([...])
    "Experiment logs directory .* exists and is not empty",  # config.yaml is written there first
    "The dirpath has changed from",  # an evaluation writes to a directory of its own
)


class Parser(LightningArgumentParser):
    """Takes paths in `configs/` and `results/` that are not in the working directory from what is shipped.

    Layers are looked up before they are read; what stands in YAML, when classes are built from it, so that a
    saved configuration holds the paths as they were written.
    """

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
        return super().instantiate_classes(config, **options)


class CommandLine(LightningCLI):
    """LightningCLI with one directory per run.

    `fit` writes to `--run_dir`, the other subcommands to `<run_dir>/<subcommand>`; where a run already lies
    there, the next free name (`runs/fit-2`) is taken. So nothing is overwritten, and a saved configuration
    can be given back as it is: `test -c runs/fit/config.yaml --ckpt_path=runs/fit/checkpoints/best.ckpt`.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `--run_dir`.

        Args:
            parser: The parser of one subcommand.
        """
        parser.add_argument(
            "--run_dir",
            type=str,
            default="runs/fit",
            help="Where this run's config.yaml, metrics.csv, checkpoints/, summary.json and pictures go.",
        )

    def _parse_ckpt_path(self) -> None:
        """Take the model's hyper-parameters from `--ckpt_path`, but never in `fit`.

        A checkpoint says what was trained, so evaluation obeys it. When training goes on from one, the
        configuration must win: Lightning would run `fit --model.init_args.lr=… --ckpt_path=…` with the old
        value, without a word. The method is private in Lightning; `tests/test_cli.py` pins both behaviours.
        """
        if self.config.get("subcommand") != "fit":
            super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Choose the run's directory and hand it to the trainer and to every logger."""
        subcommand = str(self.subcommand)
        config = self.config[subcommand]
        check_checkpoint(config.get("ckpt_path"))
        directory = str(free_directory(Path(config.run_dir, "" if subcommand == "fit" else subcommand)))
        config.trainer.default_root_dir = directory
        loggers = config.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if "save_dir" in getattr(logger, "init_args", {}):
                logger.init_args.save_dir = directory

    def after_fit(self) -> None:
        """Warn if `--ckpt_path` was of a finished run: Lightning then trains nothing, without a word."""
        path = self.config["fit"].get("ckpt_path")
        if path is None or not Path(path).is_file():
            return
        step = torch.load(path, map_location="cpu", mmap=True, weights_only=True)["global_step"]
        if step == self.trainer.global_step:
            rank_zero_warn(
                f"nothing was trained: --ckpt_path={path} stands at step {step}, where this configuration "
                "ends. To go on, give more: --trainer.max_epochs, or max_steps or max_time."
            )


def main(args: ArgsType = None) -> CommandLine:
    """Parse the command line and run the subcommand.

    Weights & Biases records offline unless `WANDB_API_KEY` is set (or its agent started this process, or
    `WANDB_MODE` says otherwise), so that nothing here needs a network or an account.

    Args:
        args: Arguments as on the command line, for tests and scripts; the process's own by default.

    Returns:
        The command line after the run: its `trainer`, `model`, `datamodule` and `config`.
    """
    if not {"WANDB_API_KEY", "WANDB_SWEEP_ID"} & os.environ.keys():
        os.environ.setdefault("WANDB_MODE", "offline")
        os.environ.setdefault("WANDB_SILENT", "true")
    for harmless in HARMLESS:
        warnings.filterwarnings("ignore", message=harmless)
    try:
        return CommandLine(
            LightningModule,
            LightningDataModule,
            parser_class=Parser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_kwargs={"parser_mode": "omegaconf+"},
            args=args,
        )
    finally:
        if "wandb" in sys.modules:  # else the next run in this process would be written into this one
            sys.modules["wandb"].finish()


def command() -> int:
    """Run `synvlp` and return its exit code."""
    main()
    return 0


if __name__ == "__main__":
    command()
