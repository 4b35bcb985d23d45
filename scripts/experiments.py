"""Training runs that scripts line up: each in its own directory, done once, repeated only when changed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from main import main


@dataclass(frozen=True)
class Experiment:
    """One call of `main.py fit`, and the `test` of its last checkpoint if that is wanted.

    Attributes:
        name: What a table calls it.
        args: Arguments after `fit`, such as ``("-c", "configs/pretrain.yaml", "--seed_everything=1")``.
        directory: Where the run goes. It belongs to the experiment alone.
        test: Arguments after `test`, if the last checkpoint is to be tested as well (not the best, so
            that nothing is chosen). The data may be other than the training's; the tokenizer is the model's.
    """

    name: str
    args: tuple[str, ...]
    directory: Path
    test: tuple[str, ...] | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the resolved configuration: any change of a value, in whichever file, changes it."""
        configs = [self.config(), None if self.test is None else resolved_config("test", *self.test)]
        return hashlib.sha256(json.dumps(configs, sort_keys=True).encode()).hexdigest()

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration as `--print_config` shows it; nothing is built.

        Raises:
            SystemExit: If the arguments do not parse; the reason is on stderr.
        """
        return resolved_config("fit", *self.args)

    def run(self) -> dict[str, Any]:
        """Train, unless the very same experiment has finished here before, and return its ``result.json``.

        The result has ``metrics`` (as in ``summary.json``), ``details`` and ``global_step``. What an
        interrupted attempt left is thrown away.
        """
        finished = self.directory / "result.json"
        fingerprint = self.fingerprint
        if finished.exists() and (result := json.loads(finished.read_text()))["fingerprint"] == fingerprint:
            print(f"{self.name}: finished before, in {self.directory}")
            return result
        shutil.rmtree(self.directory, ignore_errors=True)
        print(f"{self.name}: running in {self.directory}")
        result = {"name": self.name, "fingerprint": fingerprint, **self._train()}
        partial = finished.with_suffix(".part")
        partial.write_text(json.dumps(result, indent=1))
        partial.rename(finished)
        return result

    def _train(self) -> dict[str, Any]:
        line = main(["fit", *self.args, f"--run_dir={self.directory}"])
        steps = line.trainer.global_step
        summary = json.loads((self.directory / "summary.json").read_text())
        if self.test is not None:
            checkpoint, tokenizer = self.directory / "checkpoints" / "last.ckpt", self.directory / "tokenizer"
            line.datamodule.tokenizer.save_pretrained(tokenizer)
            own = (f"--ckpt_path={checkpoint}", f"--data.init_args.tokenizer={tokenizer}")
            main(["test", *self.test, *own, f"--run_dir={self.directory}"])
            tested = json.loads((self.directory / "test" / "summary.json").read_text())
            details = summary.pop("details", {}) | tested.pop("details", {})
            summary = {**summary, **tested, "details": details}
        return {"details": summary.pop("details", {}), "metrics": summary, "global_step": steps}


def resolved_config(subcommand: str, *args: str) -> dict[str, Any]:
    """Return what the real parser makes of these arguments, with every default and interpolation filled in.

    Args:
        subcommand: ``"fit"``, ``"test"`` …
        args: What stands after it.

    Raises:
        SystemExit: If they do not parse; the reason is on stderr.
    """
    config: dict[str, Any] = yaml.safe_load(_printed_config(subcommand, *args))
    return config


@cache  # parsing takes a second, and files do not change while a script runs
def _printed_config(*args: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            main([*args, "--print_config"])
        except SystemExit as exit_:
            if exit_.code not in (0, None):
                raise
    return printed.getvalue()
