"""LightningCLI as this project uses it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_warn

from callbacks.base.run_directory import free_directory, leave_free, run_directory
from callbacks.run.atomic_checkpoint_io import AtomicCheckpointIO
from callbacks.run.interruption import Interruption
from callbacks.run.model_size import ModelSize
from callbacks.run.non_finite_guard import NonFiniteGuard
from callbacks.run.progress_lines import ProgressLines
from callbacks.run.wandb_run_logger import earlier_id
from lightning_modules.checkpoints import ArchitectureError, CheckpointError, read_checkpoint
from scripts.command_line.blanks import check_blanks
from scripts.command_line.judged_weights import UNTRAINED, judged
from scripts.command_line.layer_names import layer_names
from scripts.command_line.parser import Parser
from scripts.command_line.resumption import Resumption, claim, readable, release, was_requeued
from scripts.command_line.trainer_options import check_trainer
from scripts.command_line.words import SUBCOMMANDS

_LARGEST_SEED = 2**32 - 1
_LIMITS = ("max_epochs", "max_steps", "limit_train_batches")


class CommandLine(LightningCLI):
    """LightningCLI with one directory per run.

    `fit` writes to `--run_dir`, the other subcommands to `<run_dir>/<subcommand>`; where a run already lies
    there, the next free name (`runs/fit-2`) is taken. So nothing is overwritten, and a saved configuration
    can be given back as it is: `test -c runs/fit/config.yaml --ckpt_path=runs/fit/checkpoints/best.ckpt`.

    `fit --resume` goes on with the run in `--run_dir`, in its files; so does a job that SLURM has put back
    into the queue. Every fit writes its checkpoints whole, stops at numbers that are not finite, and saves
    when it is asked to stop.

    Attributes:
        resumption: How an earlier run goes on; None for a new one.
    """

    resumption: Resumption | None = None
    _begun_at: int | None = None

    def __init__(self, model: type, data: type, args: ArgsType = None, **options: Any) -> None:
        self._called = called_among(self.subcommands(), sys.argv[1:] if args is None else args)
        super().__init__(model, data, args=args, **options)

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **options: Any
    ) -> LightningArgumentParser:
        """Build the parser of a subcommand that is called, and a bare one for each of the others.

        Private in Lightning; `tests/scripts/command_line/test_subcommands.py` pins what it is for.
        """
        options["description"] = SUBCOMMANDS[subcommand]
        if subcommand in self._called:
            return super()._prepare_subcommand_parser(klass, subcommand, **options)
        return self.init_parser(**options)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `--run_dir` and `--resume`.

        Args:
            parser: The parser of one subcommand.
        """
        parser.add_argument(
            "--run_dir",
            type=str,
            default="runs/fit",
            help="Where this run's config.yaml, metrics.csv, checkpoints/, summary.json and pictures go.",
        )
        parser.add_argument(
            "--resume",
            type=bool,
            nargs="?",
            const=True,
            default=False,
            help="Of fit: go on with the run in --run_dir from its last checkpoint.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the command line, and refuse a seed that NumPy does not take.

        Raises:
            ValueError: If the seed is out of bounds.
        """
        super().parse_arguments(parser, args)
        seed = self.config[str(self.config.get("subcommand"))].get("seed_everything")
        if isinstance(seed, int) and not 0 <= seed <= _LARGEST_SEED:
            raise ValueError(f"seed_everything={seed}: give a whole number from 0 to {_LARGEST_SEED}")

    def _parse_ckpt_path(self) -> None:
        """Take the model's hyper-parameters from `--ckpt_path`, but never in `fit`.

        A checkpoint says what was trained, so evaluation obeys it. When training goes on from one, the
        configuration must win: Lightning would run `fit --model.init_args.lr=… --ckpt_path=…` with the old
        value, without a word. The method is private in Lightning; `tests/test_cli.py` pins both behaviours.
        """
        subcommand = str(self.config.get("subcommand"))
        config = self.config[subcommand]
        path = config.get("ckpt_path")
        if path == "":
            raise SystemExit(
                "--ckpt_path='' is empty: give a checkpoint, such as runs/fit/checkpoints/last.ckpt"
            )
        try:
            if path is not None and path not in ("best", "last", "hpc", UNTRAINED):
                if subcommand == "fit":
                    config.ckpt_path = readable(path)
                else:
                    read_checkpoint(path, mmap=True)
        except CheckpointError as error:
            raise SystemExit(f"--ckpt_path={error}") from error
        if subcommand != "fit":
            super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Choose the run's directory and hand it to the trainer and to every logger.

        Raises:
            ValueError: If an option of the trainer, or what is to be judged, cannot be meant.
        """
        subcommand = str(self.subcommand)
        config = self.config[subcommand]
        check_blanks(config)
        check_trainer(config.trainer)
        if config.run_dir in (None, "", "null"):
            shown = config.run_dir or ("null" if config.run_dir is None else "''")
            raise ValueError(f"--run_dir={shown} is no place: give a directory, such as runs/fit")
        if config.get("ckpt_path") == "best":
            raise ValueError(
                "--ckpt_path=best: nothing is trained yet; give a file: runs/fit/checkpoints/best.ckpt"
            )
        if subcommand != "fit":
            if config.resume:
                raise SystemExit(f"--resume: only fit goes on with a run; leave it out of {subcommand}")
            config.ckpt_path = judged(subcommand, config.get("ckpt_path"), config.get("model"))
        directory = str(self._directory(subcommand, config))
        config.trainer.default_root_dir = directory
        files = self.parser.layers if isinstance(self.parser, Parser) else []
        loggers = config.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            arguments: Any = getattr(logger, "init_args", {})
            if "save_dir" in arguments:
                arguments.save_dir = directory
            if "tags" in arguments:  # those of a saved configuration stay
                arguments.tags = list(dict.fromkeys([*arguments.tags, *layer_names(files)]))
            if (
                self.resumption is not None and "id" in arguments and arguments.id is None
            ):  # Lightning's for W&B
                arguments.id = earlier_id(Path(directory))

    def _directory(self, subcommand: str, config: Any) -> Path:
        wanted = Path(config.run_dir, "" if subcommand == "fit" else subcommand)
        if subcommand != "fit":
            return free_directory(wanted)
        requeued = was_requeued(wanted)
        if config.resume or requeued:
            self._go_on(wanted, config)
        directory = wanted if config.resume or requeued else free_directory(wanted)
        config.run_dir = str(directory)
        return directory

    def _go_on(self, directory: Path, config: Any) -> None:
        if config.resume and config.ckpt_path is not None:
            raise SystemExit(
                f"--resume takes the last checkpoint of {directory}; leave out "
                f"--ckpt_path={config.ckpt_path}, or leave out --resume for a run of its own"
            )
        try:
            self.resumption = Resumption.of(directory, config.trainer)
        except CheckpointError as error:
            raise SystemExit(f"--resume: {error}") from error
        if self.resumption is not None:
            config.ckpt_path = str(self.resumption.checkpoint)
        elif config.resume and not any((directory / "checkpoints").glob("*.ckpt")):
            raise SystemExit(
                f"--resume: no checkpoint in {directory / 'checkpoints'}: give the --run_dir of the run that "
                "is to go on, or start one without --resume"
            )
        # config.yaml stays what the run began with.
        self.save_config_kwargs = {"config_filename": "config.resumed.yaml", "overwrite": True}

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Build the trainer, with what makes a run safe."""
        options = self._get(self.config_init, "trainer")
        if options.get("enable_progress_bar") is False:
            options.callbacks = _without_bars(options.callbacks)
        plugins = options.get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            kwargs["plugins"] = [*plugins, AtomicCheckpointIO()]
        own: list[L.Callback] = [ProgressLines()]
        if options.get("enable_model_summary") is not False:
            own.append(ModelSize())
        if self.subcommand == "fit":
            own += [NonFiniteGuard(), Interruption()]
        self.trainer_defaults = {"callbacks": own}
        trainer = super().instantiate_trainer(**kwargs)
        if self.resumption is not None:
            self.resumption.continue_figures(trainer)
        return trainer

    def before_fit(self) -> None:
        """Note that the run has begun, and where `--ckpt_path` stands: the run may write over that file."""
        claim(Path(self.config["fit"].run_dir))
        path = self.config_init["fit"].get("ckpt_path")
        if path is not None and Path(path).is_file():
            self._begun_at = read_checkpoint(path, mmap=True)["global_step"]

    def after_instantiate_classes(self) -> None:
        """Leave out an argument of W&B that Lightning hands over, and that W&B warns of."""
        for logger in self.trainer.loggers:
            arguments = getattr(logger, "_wandb_init", {})
            if arguments.get("anonymous", True) is None:
                del arguments["anonymous"]

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; if it fails before it has left anything, leave its directory free for the next try."""
        try:
            super()._run_subcommand(subcommand)
        except BaseException as error:
            directory = run_directory(self.trainer) if self.trainer.is_global_zero else None
            if directory is not None:
                leave_free(directory)
            if isinstance(error, ArchitectureError):
                raise ValueError(f"--ckpt_path={self.config[subcommand].ckpt_path}: {error}") from error
            raise

    def after_fit(self) -> None:
        """Warn if nothing was trained: Lightning then ends without a word.

        So it does where ``--ckpt_path`` is of a finished run, and where a limit is 0.
        """
        release(Path(self.config["fit"].run_dir))
        if self._begun_at is None and self.trainer.global_step == 0 and self.resumption is None:
            options = self.config_init["fit"].trainer
            limits = [f"trainer.{name}=0" for name in _LIMITS if options.get(name) == 0]
            rank_zero_warn(
                f"nothing was trained: {' and '.join(limits) or 'there was no batch'}. Give 1 "
                "or more to train."
            )
        if self._begun_at == self.trainer.global_step:
            path = self.config_init["fit"].ckpt_path
            rank_zero_warn(
                f"nothing was trained: --ckpt_path={path} stands at step {self._begun_at}, where this "
                "configuration ends. To go on, give more: --trainer.max_epochs, or max_steps or max_time."
            )


def called_among(subcommands: Iterable[str], args: ArgsType) -> set[str]:
    """Return the subcommands whose options have to be known.

    Args:
        subcommands: All of them.
        args: The words of the command line, or a configuration.

    Returns:
        Those that stand among the words; all of them if none does.
    """
    return set(subcommands) & set(map(str, args or ())) or set(subcommands)


def _without_bars(callbacks: Any) -> list[L.Callback]:
    """Return callbacks without the bars of the layers: Lightning refuses them where no bar is wanted."""
    those = callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []
    return [one for one in those if not isinstance(one, ProgressBar)]
