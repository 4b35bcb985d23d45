"""A user's own images with labels: for probes, zero-shot classification and fine-tuning."""

from __future__ import annotations

from typing import Any

from datamodules.tables.table_images import TableImages


class LabelledImages(TableImages):
    """Images with labels and without reports: see `TableImages` for the arguments."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.labels is None:
            raise ValueError("labels: not given; say which columns hold the labels, and their vocabulary.")
        if self.columns.texts:
            raise ValueError(
                f"columns: {self.columns.texts[0]!r} is report text; use ImageReports for pairs."
            )
