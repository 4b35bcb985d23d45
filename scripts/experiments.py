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
        return _sha256([self.config(), None if self.test is None else resolved_config("test", *self.test)])

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration as `--print_config` shows it; nothing is built.

        Raises:
            SystemExit: If the arguments do not parse; the reason is on stderr.
        """
        return resolved_config("fit", *self.args)

    def run(self) -> dict[str, Any]:
        """Train, unless the very same experiment has finished here before, and return its ``result.json``.

        The result has ``metrics`` (as in ``summary.json``), ``details`` and ``global_step``. Where only the
        test is another one, what was trained is tested again. What else an interrupted attempt left is
        thrown away.
        """
        finished = self.directory / "result.json"
        fingerprint = self.fingerprint
        if finished.exists() and (result := json.loads(finished.read_text()))["fingerprint"] == fingerprint:
            print(f"{self.name}: finished before, in {self.directory}")
            return result
        if self._fitted() is None:
            shutil.rmtree(self.directory, ignore_errors=True)
        print(f"{self.name}: running in {self.directory}")
        result = {"name": self.name, "fingerprint": fingerprint, **self._train()}
        _write_whole(finished, result)
        return result

    def _train(self) -> dict[str, Any]:
        fitted = self._fitted()
        steps = self._fit() if fitted is None else fitted
        summary = json.loads((self.directory / "summary.json").read_text())
        if self.test is not None:
            tested = self._test()
            details = summary.pop("details", {}) | tested.pop("details", {})
            summary = {**summary, **tested, "details": details}
        return {"details": summary.pop("details", {}), "metrics": summary, "global_step": steps}

    def _fitted(self) -> int | None:
        """Return the steps of a fit that has finished here before with this configuration, if any."""
        finished = self.directory / "fitted.json"
        found = json.loads(finished.read_text()) if finished.exists() else {}
        return found["global_step"] if found.get("fingerprint") == _sha256(self.config()) else None

    def _fit(self) -> int:
        """Fit and return the number of steps."""
        line = main(["fit", *self.args, f"--run_dir={self.directory}"])
        if self.test is not None:
            line.datamodule.tokenizer.save_pretrained(self.directory / "tokenizer")
        steps: int = line.trainer.global_step
        content = {"fingerprint": _sha256(self.config()), "global_step": steps}
        _write_whole(self.directory / "fitted.json", content)
        return steps

    def _test(self) -> dict[str, Any]:
        """Test the last checkpoint and return the ``summary.json`` of that."""
        assert self.test is not None
        shutil.rmtree(self.directory / "test", ignore_errors=True)
        checkpoint, tokenizer = self.directory / "checkpoints" / "last.ckpt", self.directory / "tokenizer"
        own = (f"--ckpt_path={checkpoint}", f"--data.init_args.tokenizer.path={tokenizer}")
        main(["test", *self.test, *own, f"--run_dir={self.directory}"])
        summary: dict[str, Any] = json.loads((self.directory / "test" / "summary.json").read_text())
        return summary


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is there only when it is complete."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content, indent=1))
    partial.rename(path)


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
