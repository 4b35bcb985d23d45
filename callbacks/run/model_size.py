"""How large the model is, in one line."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.utilities.model_summary.model_summary import get_human_readable_count

from synthesis.progress import write_line


class ModelSize(ModelSummary):
    """Writes the parameters of each part, in place of Lightning's table, whose FLOPs are 0 here."""

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        *sizes: Any,
        **options: Any,
    ) -> None:
        """Write the line.

        Args:
            summary_data: Lightning's columns, each with its name.
            total_parameters: Of the model.
            trainable_parameters: Of those.
            sizes: Not used.
            options: Not used.
        """
        columns = dict(summary_data)
        parts = ", ".join(
            f"{name} {count.strip()}" for name, count in zip(columns["Name"], columns["Params"], strict=True)
        )
        total, trained = (
            get_human_readable_count(n).strip() for n in (total_parameters, trainable_parameters)
        )
        write_line(f"{total} parameters, {trained} trained: {parts}")
