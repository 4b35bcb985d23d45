"""LightningCLI as this project uses it."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.base.run_directory import check_checkpoint, free_directory
from lightning_modules.checkpoints import read_checkpoint


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
        subcommand = self.config.get("subcommand")
        check_checkpoint(self.config[subcommand].get("ckpt_path"))
        if subcommand != "fit":
            super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Choose the run's directory and hand it to the trainer and to every logger."""
        subcommand = str(self.subcommand)
        config = self.config[subcommand]
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
        step = read_checkpoint(path, mmap=True)["global_step"]
        if step == self.trainer.global_step:
            rank_zero_warn(
                f"nothing was trained: --ckpt_path={path} stands at step {step}, where this configuration "
                "ends. To go on, give more: --trainer.max_epochs, or max_steps or max_time."
            )
