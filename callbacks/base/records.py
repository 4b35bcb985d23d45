"""How pictures, tables, charts and files of a run reach its loggers; scalars go by Lightning's own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import lightning as L
from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

from callbacks.base.files import written_whole
from callbacks.drawing.charts import Chart, HistogramChart

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@runtime_checkable
class RecordLogger(Protocol):
    """A logger that takes more than scalars and pictures. `callbacks.WandbRunLogger` is one.

    All is called on rank zero.
    """

    def log_rows(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table.

        Args:
            key: Its name.
            columns: Their names.
            rows: Cells: text, numbers, None, or images ``(height, width)`` in [0, 1].
        """

    def log_chart(self, key: str, chart: Chart) -> None:
        """Log a chart that the logger draws itself.

        Args:
            key: Its name.
            chart: What is on it.
        """

    def log_files(self, files: Sequence[Path], summary: Mapping[str, float]) -> None:
        """Keep files of the run, and its closing figures.

        Args:
            files: Files in the run's directory.
            summary: Figures by full name.
        """

    def closing_lines(self) -> list[str]:
        """Return what is printed at the end of a run: where its record is."""


def save_picture(trainer: L.Trainer, figure: Figure, path: Path, key: str) -> None:
    """Write a figure as PNG and hand it to every logger that takes images. For rank zero.

    Args:
        trainer: Its loggers are served: W&B, TensorBoard and MLflow.
        figure: What was drawn.
        path: The file, made with its folders.
        key: Name with the loggers.
    """
    with written_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=110)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key=key, images=[str(path)])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_figure(key, figure, global_step=trainer.global_step)
        elif isinstance(logger, MLFlowLogger):
            folder = str(Path(key).parent)
            logger.experiment.log_artifact(logger.run_id, str(path), None if folder == "." else folder)


def save_rows(trainer: L.Trainer, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Hand a table to every logger that takes tables. For rank zero; see `RecordLogger.log_rows`."""
    for logger in trainer.loggers:
        if isinstance(logger, RecordLogger):
            logger.log_rows(key, columns, rows)


def save_charts(trainer: L.Trainer, charts: Mapping[str, Chart]) -> None:
    """Hand charts, by key, to every logger that draws charts itself. For rank zero."""
    for logger in trainer.loggers:
        for key, chart in charts.items():
            if isinstance(logger, RecordLogger):
                logger.log_chart(key, chart)
            elif isinstance(logger, TensorBoardLogger) and isinstance(chart, HistogramChart):
                for name, values in chart.values.items():
                    logger.experiment.add_histogram(f"{key}/{name}", values, global_step=trainer.global_step)


def save_files(trainer: L.Trainer, files: Sequence[Path], summary: Mapping[str, float]) -> None:
    """Hand files of the run and its closing figures to every logger that keeps files. For rank zero.

    TensorBoard gets the text of ``config.yaml`` and ``table.md``.
    """
    for logger in trainer.loggers:
        if isinstance(logger, RecordLogger):
            logger.log_files(files, summary)
        elif isinstance(logger, MLFlowLogger):
            for path in files:
                logger.experiment.log_artifact(logger.run_id, str(path))
        elif isinstance(logger, TensorBoardLogger):
            for path in files:
                if path.suffix in (".md", ".yaml"):
                    text = path.read_text()
                    shown = text if path.suffix == ".md" else f"```yaml\n{text}\n```"
                    logger.experiment.add_text(path.name, shown, global_step=trainer.global_step)


def closing_lines(trainer: L.Trainer) -> list[str]:
    """Return what the loggers have to say at the end of a run."""
    return [
        line
        for logger in trainer.loggers
        if isinstance(logger, RecordLogger)
        for line in logger.closing_lines()
    ]
