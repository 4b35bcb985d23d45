"""The parser: shipped paths are found from any directory."""

from __future__ import annotations

import ast
import itertools
import json
import re
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser
from omegaconf.errors import OmegaConfBaseException

import callbacks  # noqa: F401  imported so that YAML and `--model.help` find the classes by name
import datamodules  # noqa: F401
import lightning_modules  # noqa: F401
from scripts.command_line.errors import debugging
from scripts.command_line.layers import GIVEN, LAST, LayerError, check_layer, layers
from scripts.command_line.memo import memo_key
from scripts.command_line.refusal import refusal, unresolved
from synthesis.configuration import located_layers, located_values

# Lets `${data.init_args.x}` be written from the top of the file although a subcommand is the parser's root.
# Given even where it adds nothing, the list of modules that no value may name (os, subprocess …) is obeyed.
set_parsing_settings(omegaconf_absolute_to_relative_paths=True, import_path_denylist=[])


class Parser(LightningArgumentParser):
    """Takes paths in `configs/` and `results/` that are not in the working directory from what is shipped.

    Layers are looked up before they are read; what stands in YAML, when classes are built from it, so that a
    saved configuration holds the paths as they were written.

    Args:
        help_text: What `--help` prints in place of the list of options.
        options: As of the base class.
    """

    def __init__(self, *args: Any, help_text: str = "", **options: Any) -> None:
        options.setdefault("allow_abbrev", False)  # `--trainer.max_epoch` is a mistake, not max_epochs
        super().__init__(*args, **options)
        self.help_text = help_text
        self.layers: list[Path] = []  # the files that were named last
        self._remembered: dict[Hashable, Any] = {}  # of the parser of one class

    def format_help(self, *formatter: Any) -> str:
        """Return what `--help` prints."""
        return self.help_text or super().format_help(*formatter)

    def parse_args(self, args: Any = None, *more: Any, **options: Any) -> Any:
        """Parse arguments, the process's own by default."""
        words: Sequence[str] = sys.argv[1:] if args is None else args
        if not self.exit_on_error:  # the parser of one class: the words are no command line
            return super().parse_args([_as_yaml(word) for word in words], *more, **options)
        try:
            words = located_layers(words)
            token = GIVEN.set(tuple(words))
            LAST.set(tuple(words))
            known = {option.partition(".")[0] for option in self._options()}
            for path in _after_config(words):
                check_layer(path, known | set(self.subcommands()))
            self.layers = layers(words)
            for path in self.layers:
                check_layer(path, option=_option_of(path, words))
        except (FileNotFoundError, LayerError) as error:
            self.refuse(str(error))
        try:
            return super().parse_args(words, *more, **options)
        except OmegaConfBaseException as error:
            self.refuse(unresolved(error, words))
        finally:
            GIVEN.reset(token)

    def parse_object(
        self, obj: Any, namespace: Any = None, env: Any = None, defaults: bool = True, **options: Any
    ) -> Any:
        """Parse the arguments of a class; the same ones again give what they gave the first time."""
        key = None if self.exit_on_error else memo_key("parse", obj, namespace, env, defaults, options)
        if key is None:
            return super().parse_object(obj, namespace, env, defaults, **options)
        if key not in self._remembered:
            self._remembered[key] = super().parse_object(obj, namespace, env, defaults, **options)
        return self._remembered[key].clone()

    def dump(self, *args: Any, **options: Any) -> str:
        """Return a configuration as YAML; that of the arguments of a class is made once."""
        if "skip_none" in options:  # Lightning: the name of before jsonargparse 4.49, of which it warns
            options["skip_unset"] = options.pop("skip_none")
        key = None if self.exit_on_error else memo_key("dump", args, options)
        if key is None:
            return str(super().dump(*args, **options))
        if key not in self._remembered:
            self._remembered[key] = super().dump(*args, **options)
        return str(self._remembered[key])

    def instantiate_classes(self, cfg: Any, **options: Any) -> Any:
        """Build everything that a configuration names."""
        try:
            config = located_values(cfg)
        except FileNotFoundError as error:
            self.refuse(str(error))
        return self.instantiate(config, **options)  # under the name of before jsonargparse 4.49 it warns

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong in a few lines and exit with code 2."""
        if not self.exit_on_error or debugging():
            super().error(message, ex)
        self.refuse(refusal(message, GIVEN.get(), called(), self._options))

    def refuse(self, text: str) -> NoReturn:
        """Print an error and exit with code 2."""
        sys.stderr.write(f"error: {text}\n")
        self.exit(2)

    def _apply_actions(
        self, cfg: Any, parent_key: str = "", prev_cfg: Namespace | None = None, skip_fn: Any = None
    ) -> Namespace:
        """Let a list of a later layer take the place of the earlier one.

        jsonargparse fills the entries of a list as long as the one before with the arguments that stood at
        their places: another `ModelCheckpoint` would get the monitor of the first. The method is private in
        jsonargparse; `tests/scripts/command_line/test_lists.py` pins what it is for.
        """
        if prev_cfg is not None and skip_fn is None:
            prev_cfg = prev_cfg.clone()
            for key, value in list(prev_cfg.items()):
                if isinstance(value, list) and isinstance(_found(cfg, key), list):
                    prev_cfg.pop(key)
        return super()._apply_actions(cfg, parent_key=parent_key, prev_cfg=prev_cfg, skip_fn=skip_fn)

    def subcommands(self) -> dict[str, LightningArgumentParser]:
        """Return the parsers of `fit`, `validate`, `test` and `predict`."""
        return getattr(getattr(self, "_subcommands_action", None), "choices", None) or {}

    def _options(self) -> list[str]:
        """Return the dotted options of this parser, or of the subcommand that is called."""
        own = self.subcommands()
        parser = next((own[word] for word in GIVEN.get() if word in own), self)
        return [name[2:] for name in parser._option_string_actions if re.fullmatch(r"--[a-z][\w.]*", name)]


def _found(cfg: Any, key: str) -> Any:
    """Return what stands under a dotted key of nested mappings, if anything does."""
    for part in key.split("."):
        if isinstance(cfg, Namespace):
            cfg = vars(cfg)
        cfg = cfg.get(part) if isinstance(cfg, dict) else None
    return cfg


def called() -> str:
    """Return how this program is called, for the hints in messages."""
    return "synvlp" if Path(sys.argv[0]).name == "synvlp" else "python main.py"


def _as_yaml(word: str) -> str:
    """Return `--key=value` with the value in YAML, where jsonargparse has put it into Python's notation.

    It parses the value of `--model.init_args.encoder.init_args.path=null`, and writes `--path=None` for the
    parser of the inner class, which reads a text.
    """
    key, equal, value = word.partition("=")
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return word
    return f"{key}{equal}{json.dumps(parsed)}" if isinstance(parsed, dict | list | None) else word


def _option_of(path: Path, words: Sequence[str]) -> str:
    """Return the option that a file was given to, as typed; empty for a layer."""
    options = [word.partition("=") for word in words if word.startswith("--") and word.endswith(f"={path}")]
    return next((option for option, _, _ in options if option != "--config"), "")


def _after_config(words: Sequence[str]) -> list[Path]:
    """Return the files after `-c` and `--config`."""
    after = [word for before, word in itertools.pairwise(words) if before in ("-c", "--config")]
    equal = [word.partition("=")[2] for word in words if word.startswith("--config=")]
    return [Path(word) for word in [*after, *equal] if Path(word).exists()]
