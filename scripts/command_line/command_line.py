"""LightningCLI as this project uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.base.run_directory import check_checkpoint, free_directory, leave_free, run_directory
from lightning_modules.checkpoints import read_checkpoint
from scripts.command_line.layer_names import layer_names
from scripts.command_line.parser import Parser

UNTRAINED = "untrained"
"""`--ckpt_path=untrained`: judge the weights that the model is built with."""

# What Lightning takes though it cannot be meant: the option, the least that can, what else may stand there.
_TRAINER = {
    "gradient_clip_val": (0, ()),
    "log_every_n_steps": (0, ()),
    "accumulate_grad_batches": (1, ()),
    "check_val_every_n_epoch": (1, ()),
    "num_sanity_val_steps": (0, (-1,)),
    "num_nodes": (1, ()),
}


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
        path = self.config[subcommand].get("ckpt_path")
        check_checkpoint(None if path == UNTRAINED and subcommand != "fit" else path)
        if subcommand != "fit":
            super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Choose the run's directory and hand it to the trainer and to every logger.

        Raises:
            ValueError: If an option of the trainer, or what is to be judged, cannot be meant.
        """
        subcommand = str(self.subcommand)
        config = self.config[subcommand]
        check_trainer(config.trainer)
        if not config.run_dir:
            raise ValueError("--run_dir is empty: give the directory of the run, such as runs/fit")
        if subcommand != "fit":
            config.ckpt_path = judged(subcommand, config.get("ckpt_path"), config.get("model"))
        directory = str(free_directory(Path(config.run_dir, "" if subcommand == "fit" else subcommand)))
        config.trainer.default_root_dir = directory
        files = self.parser.layers if isinstance(self.parser, Parser) else []
        loggers = config.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            if "save_dir" in getattr(logger, "init_args", {}):
                logger.init_args.save_dir = directory
            if "tags" in getattr(logger, "init_args", {}):  # those of a saved configuration stay
                logger.init_args.tags = list(dict.fromkeys([*logger.init_args.tags, *layer_names(files)]))

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; if it fails before it has left anything, leave its directory free for the next try."""
        try:
            super()._run_subcommand(subcommand)
        except BaseException:
            directory = run_directory(self.trainer) if self.trainer.is_global_zero else None
            if directory is not None:
                leave_free(directory)
            raise

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


def check_trainer(options: Mapping[str, Any]) -> None:
    """Refuse options of the trainer that Lightning takes though they cannot be meant.

    Args:
        options: The trainer's, as parsed.

    Raises:
        ValueError: Naming option, value and range.
    """
    for name, (low, also) in _TRAINER.items():
        value = options.get(name)
        if value is not None and value < low and value not in also:
            raise ValueError(f"trainer.{name}={value}: give {low} or more")
    interval = options.get("val_check_interval")
    if isinstance(interval, int | float) and interval <= 0:
        raise ValueError(
            f"trainer.val_check_interval={interval}: give a share of an epoch, or steps, above 0"
        )


def judged(subcommand: str, path: str | None, model: Any) -> str | None:
    """Return the checkpoint that an evaluation loads.

    Args:
        subcommand: `validate`, `test` or `predict`.
        path: Value of `--ckpt_path`.
        model: The model as parsed.

    Returns:
        The path; None where the weights that the model is built with are meant.

    Raises:
        ValueError: If nothing says which weights are meant: they would be random.
    """
    if path == UNTRAINED:
        return None
    if path is None and not any(value for key, value in _entries(model) if key in ("weights", "pretrained")):
        raise ValueError(
            f"{subcommand}: no --ckpt_path, so random weights would be judged; give "
            f"--ckpt_path=runs/fit/checkpoints/best.ckpt, or --ckpt_path={UNTRAINED} if that is meant"
        )
    return path


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of nested mappings and lists."""
    if isinstance(value, list):
        for entry in value:
            yield from _entries(entry)
    elif isinstance(value, Mapping) or hasattr(value, "__dict__"):
        for key, entry in (value if isinstance(value, Mapping) else vars(value)).items():
            yield key, entry
            yield from _entries(entry)
