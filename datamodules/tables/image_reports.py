"""A user's own image/report pairs: the real-data side of pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datamodules.tables.tokenized_table import TokenizedTable
from datamodules.texts.text_view import full_text


class ImageReports(TokenizedTable):
    """Image/report pairs of a table, with labels where there are any.

    A row whose report is empty is bad.

    Args:
        **kwargs: Arguments of `TokenizedTable` and `TableImages`.
    """

    reports_required = True
    least_samples_in_step = 2

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.columns.texts:
            raise ValueError("columns: no report; name the column of findings, impression or report.")

    def tokenizer_texts(self) -> Iterator[str]:
        """Yield the training reports."""
        for row, split in enumerate(self._rows.split):
            report = self._rows.report(row)
            if split == "train" and report is not None:
                yield full_text(report)
