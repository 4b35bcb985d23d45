"""A run at Weights & Biases: online where one is logged in there, else offline."""

from __future__ import annotations

import os
import re
import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import yaml
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from callbacks.drawing.charts import Chart, LineChart
from callbacks.run.summary import git_commit

_STAGES = ("validate", "test", "predict")
_TAG = 64  # letters that W&B takes in a tag


class WandbRunLogger(WandbLogger):
    """Lightning's logger of Weights & Biases, which knows what a run of this project is.

    It records online where W&B is logged in (a key in ``WANDB_API_KEY``, or `wandb login`) and can be
    reached, else offline, to be uploaded later by `wandb sync`; ``WANDB_API_KEY`` set to nothing means
    offline, and so does a server that cannot be reached or refuses the key, with a warning. ``WANDB_MODE``
    and W&B's agent are obeyed.

    The run at W&B has the name of the run's directory, the group of the training run that it belongs to
    (``runs/fit`` for ``runs/fit/test``), its stage as job type, tags that say layers and version of the code,
    and the whole configuration (``config.yaml``). ``WANDB_NAME`` and ``WANDB_RUN_GROUP`` are obeyed, and
    ``WANDB_TAGS`` are added: comparisons and sweeps say in them which arm this is. A run that goes on in the
    same directory goes on at W&B, too.

    Args:
        save_dir: The run's directory.
        project: W&B's project.
        entity: W&B's user or team; None for one's own.
        tags: Further words to find the run by; the command line adds the layers of the configuration.
    """

    def __init__(
        self,
        save_dir: str = ".",
        project: str = "synvlp",
        entity: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        directory = Path(save_dir)
        stage = re.sub(r"-\d+$", "", directory.name)
        trained, job = (directory.parent, stage) if stage in _STAGES else (directory, "fit")
        given = os.environ.get("WANDB_NAME")
        further = [tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",")]
        super().__init__(
            save_dir=save_dir,
            project=project,
            id=earlier_id(directory),
            name=_shown(directory) if not given else given if job == "fit" else f"{given}, {job}",
            entity=entity,
            group=os.environ.get("WANDB_RUN_GROUP") or _shown(trained),
            job_type=job,
            tags=[tag[:_TAG] for tag in dict.fromkeys([*tags, *further, _code()]) if tag],
        )

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of the package `wandb`; begun when it is first asked for."""
        if self._experiment is None and "mode" not in self._wandb_init:
            import wandb

            Path(self.save_dir or ".").mkdir(parents=True, exist_ok=True)  # else it writes to a temporary one
            self._wandb_init["mode"] = mode = connection()
            self._wandb_init["settings"] = wandb.Settings(silent=mode == "offline")
        return super().experiment

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Log the whole configuration where there is one; `params` are the arguments of the model alone."""
        super().log_hyperparams(self._configuration() or params)

    def _configuration(self) -> dict[str, Any]:
        path = Path(self.save_dir or ".") / "config.yaml"
        return yaml.safe_load(path.read_text()) if path.is_file() else {}

    @rank_zero_only
    def log_rows(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table, see `callbacks.base.records.RecordLogger`."""
        import wandb

        def cell(value: Any) -> Any:
            return wandb.Image(_grey(value)) if isinstance(value, np.ndarray) else value

        self.log_table(key, columns=list(columns), data=[[cell(value) for value in row] for row in rows])

    @rank_zero_only
    def log_chart(self, key: str, chart: Chart) -> None:
        """Log a chart that W&B draws, see `callbacks.base.records.RecordLogger`."""
        import wandb

        if not isinstance(chart, LineChart):
            histograms = {f"{key}/{name}": wandb.Histogram(values) for name, values in chart.values.items()}
            self.experiment.log(histograms)
            return
        points = [[name, float(x), float(y)] for name, line in chart.lines.items() for x, y in line]
        table = wandb.Table(columns=["class", "fpr", "tpr"], data=points)
        drawn = wandb.plot_table(
            data_table=table,
            vega_spec_name="wandb/area-under-curve/v0",  # that of wandb.plot.roc_curve
            fields={"x": "fpr", "y": "tpr", "class": "class"},
            string_fields={"title": chart.title, "x-axis-title": chart.x, "y-axis-title": chart.y},
        )
        self.experiment.log({key: drawn})

    @rank_zero_only
    def log_files(self, files: Sequence[Path], summary: Mapping[str, float]) -> None:
        """Keep files and closing figures, see `callbacks.base.records.RecordLogger`."""
        if self.experiment.disabled:  # by WANDB_MODE: there is no place for files
            return
        super().log_hyperparams(self._configuration())  # also of models without arguments
        for path in files:
            copy = Path(self.experiment.dir) / path.name
            shutil.copyfile(path, copy)
            self.experiment.save(str(copy), base_path=self.experiment.dir, policy="now")
        self.experiment.summary.update(dict(summary))

    def closing_lines(self) -> list[str]:
        """Return where the record is, and how to upload one that was made offline."""
        if self._experiment is None or self._experiment.disabled:
            return []
        place = Path(self._experiment.dir).parent
        if self._experiment.offline:
            return [f"Weights & Biases, offline: {place}", f"to upload it: wandb sync {place}"]
        return [f"Weights & Biases: {self._experiment.url}"]


PATIENCE = 25.0
"""Seconds that W&B gets to say who is logged in."""


def connection() -> str | None:
    """Return W&B's mode: ``WANDB_MODE``, else ``online`` or ``offline``; None where W&B's agent decides.

    Takes at most `PATIENCE` seconds where there is a key but no network.
    """
    if mode := os.environ.get("WANDB_MODE"):
        return {"dryrun": "offline", "run": "online"}.get(mode, mode)  # the names of old
    if os.environ.get("WANDB_SWEEP_ID"):
        return None
    if os.environ.get("WANDB_API_KEY") == "":  # how a secret that is absent comes
        return "offline"
    answer: list[str] = ["no answer from W&B"]
    asking = Thread(target=_ask, args=(answer,), daemon=True)  # a login can hang for minutes
    asking.start()
    asking.join(PATIENCE)
    if answer[-1] not in ("online", "offline"):
        rank_zero_warn(f"Weights & Biases records offline: {answer[-1]}")
        return "offline"
    return answer[-1]


def _ask(answer: list[str]) -> None:
    """Append ``online``, ``offline`` (nobody is logged in), or why W&B cannot be reached."""
    import wandb

    try:
        answer.append("online" if wandb.login(prompt=False, verify=True) else "offline")
    except wandb.Error as error:
        answer.append(str(error))


def earlier_id(directory: Path) -> str | None:
    """Return the id of the W&B run that was begun in a directory last; None if there is none.

    Args:
        directory: That of a run; W&B's own lie in ``wandb/[offline-]run-<date>_<time>-<id>``.
    """
    name = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-(.+)")
    found = [match for path in directory.glob("wandb/*") if (match := name.fullmatch(path.name))]
    return max(((match[1], match[2]) for match in found), default=("", None))[1]


def _code() -> str:
    """The version of this code as a tag: W&B itself looks for a commit in the working directory alone."""
    if (commit := git_commit()) is not None:
        return f"code {commit[:7]}{'-dirty' if commit.endswith('-dirty') else ''}"
    try:
        return f"code {version('synvlp')}"
    except PackageNotFoundError:
        return ""


def _shown(directory: Path) -> str:
    """A directory's name at W&B: as below the working directory; elsewhere no more than two names tell."""
    absolute = Path(os.path.abspath(directory))
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else "/".join(absolute.parts[-2:])


def _grey(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
