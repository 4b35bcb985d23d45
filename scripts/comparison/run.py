"""One arm with one seed: trained once, in a directory of its own, on from a checkpoint if it was killed."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from callbacks.run.run_checkpoint import PREVIOUS
from callbacks.run.summary import git_commit
from lightning_modules.checkpoints import CheckpointError, read_checkpoint
from scripts.command_line.resumption import has_ended
from scripts.comparison.configuration import differences, sha256
from scripts.comparison.definition import Arm, Layers
from scripts.comparison.files import read_sealed, write_sealed
from scripts.comparison.fit import fit, fit_apart, takes_several
from scripts.resolved_config import resolved_config

RESUME_MINUTES = 2.0
_START = "start.ckpt"


@dataclass(frozen=True)
class Run:
    """An arm with a seed.

    Attributes:
        arm: The arm.
        seed: Value of `--seed_everything`.
        directory: Where the run goes. It belongs to the run alone.
        args: Arguments after `fit`.
        below: What lies under the arm's own layers when it is tested: base and scale.
        over: What lies over all when it is tested.
        facts: Placeholder → text, for the settings of measures.
    """

    arm: Arm
    seed: int
    directory: Path
    args: tuple[str, ...]
    below: Layers
    over: Layers
    facts: Mapping[str, str]

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"{self.arm.name}, seed {self.seed}"

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint that is measured: the last, so that nothing is chosen."""
        return self.directory / "checkpoints" / "last.ckpt"

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration of training; empty where nothing is trained.

        Raises:
            SystemExit: If the arguments do not parse; the reason is on stderr.
        """
        return resolved_config("fit", *self.args) if self.arm.trained else {}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the resolved configuration: a change of a value, in any file, changes it."""
        return sha256(self.config())

    def fitted(self) -> dict[str, Any] | None:
        """Return what is known of a training that has finished here with this configuration, if any."""
        if not self.arm.trained:
            return {"fingerprint": self.fingerprint()}
        found = read_sealed(self.directory / "fitted.json")
        return found if found.get("fingerprint") == self.fingerprint() else None

    def train(
        self, minutes: float = RESUME_MINUTES, callbacks: Sequence[Mapping[str, Any]] = ()
    ) -> dict[str, Any]:
        """Train, or go on from the last checkpoint, unless this very training has finished here.

        What was trained here with another configuration is moved aside, and the values that differ are named.

        Args:
            minutes: Time between two checkpoints to go on from.
            callbacks: Further ones, as in YAML, that change nothing of what is trained.

        Returns:
            ``global_step``, ``samples``, ``minutes``, ``threads``, ``commit``, ``date``, ``parameters``.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if (done := self.fitted()) is not None:
            return done
        commit = git_commit()  # before results change the tree
        self._set_another_training_aside()
        write_sealed(self.directory / "training.json", {"config": self.config()})
        checkpoint = self._checkpoint_to_go_on_from()
        going_on = [] if checkpoint is None else [f"--ckpt_path={checkpoint}"]
        resume = {
            "class_path": "scripts.comparison.resume_checkpoint.ResumeCheckpoint",
            "init_args": {"directory": str(self.directory / "checkpoints"), "minutes": minutes},
        }
        added = [f"--trainer.callbacks+={json.dumps(callback)}" for callback in (resume, *callbacks)]
        own = [f"--run_dir={self.directory}", *added]
        print(
            f"{self.name}: {f'going on from {checkpoint}' if going_on else f'training in {self.directory}'}"
        )
        train = fit_apart if takes_several(self.config()) else fit
        known = train([*self.args, *own, *going_on], self.directory)
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        facts = {"fingerprint": self.fingerprint(), **known, "commit": commit, "date": date}
        write_sealed(self.directory / "fitted.json", facts)
        for name in ("resume.ckpt", _START):
            (self.directory / "checkpoints" / name).unlink(missing_ok=True)
        return facts

    def _set_another_training_aside(self) -> None:
        path = self.directory / "training.json"
        if not path.exists():
            if any(self.directory.iterdir()):
                self._move_aside("it holds no training.json of a comparison")
                self.directory.mkdir()
            return
        before = read_sealed(path).get("config", {})
        changed = differences(before, json.loads(json.dumps(self.config(), default=str)))
        if changed:
            shown = "; ".join(f"{key}: {old!r} → {new!r}" for key, (old, new) in list(changed.items())[:5])
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            self._move_aside(f"it was trained with other values ({shown}{more})")
            self.directory.mkdir()

    def _move_aside(self, reason: str) -> None:
        names = (self.directory.with_name(f"{self.directory.name}.earlier-{n}") for n in count(1))
        aside = next(name for name in names if not name.exists())
        self.directory.rename(aside)
        print(f"{self.name}: {reason}; the earlier run is now {aside}")

    def _checkpoint_to_go_on_from(self) -> Path | None:
        """Return the checkpoint with the most steps, and make room for what the run writes again.

        One from the very end is left out: it was written before the figures of its validation were.
        """
        steps: dict[Path, int] = {}
        limits = self.config().get("trainer", {})
        for name in ("resume.ckpt", PREVIOUS, "last.ckpt"):  # of equal steps the last: it was validated since
            path = self.directory / "checkpoints" / name
            if not path.exists():
                continue
            try:
                content = read_checkpoint(path, mmap=True)
            except CheckpointError as error:  # the other one may be whole
                rank_zero_warn(f"{error} It is left out.")
                path.rename(path.with_suffix(".unreadable"))
            else:
                if not has_ended(content, limits):
                    steps[path] = content["global_step"]
        if not steps:
            for path in self.directory.iterdir():
                if path.name != "training.json":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            return None
        chosen = max(steps, key=lambda path: (steps[path], path.name == "last.ckpt"))
        for name in (
            "config.yaml",
            "metrics.csv",
        ):  # the run's own would else go to another directory, or away
            if (path := self.directory / name).exists():
                path.rename(path.with_name(f"{path.stem}.before-{steps[chosen]}{path.suffix}"))
        start = chosen.with_name(_START)  # the run writes over the others
        shutil.copyfile(chosen, start)
        return start
