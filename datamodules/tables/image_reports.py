"""A user's own image/report pairs: the real-data side of pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datamodules.tables.table_images import TableImages
from datamodules.texts.text_view import full_text
from datamodules.texts.tokenizer import load_tokenizer, store_tokenizer, tokenizer_directory


class ImageReports(TableImages):
    """Image/report pairs of a table, with labels where there are any.

    A row whose report is empty is bad.

    Args:
        tokenizer: Directory (or hub name) of a tokenizer; None trains one on the reports of the training
            split.
        vocab_size: Entries of the trained tokenizer.
        **kwargs: Arguments of `TableImages`.
    """

    reports_required = True
    least_samples_in_step = 2

    def __init__(self, tokenizer: str | None = None, vocab_size: int = 8192, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.columns.texts:
            raise ValueError("columns: no report; name the column of findings, impression or report.")
        self.tokenizer_name = tokenizer
        self.vocab_size = vocab_size

    def prepare_data(self) -> None:
        """Check the table and its images, and train the tokenizer, if one is asked for and not there yet."""
        super().prepare_data()
        if self.tokenizer_name is None:
            store_tokenizer(self.artifacts_dir, self._corpus(), self._texts, self.vocab_size)

    def setup(self, stage: str) -> None:
        """Load the tokenizer.

        Args:
            stage: "fit", "validate", "test" or "predict".
        """
        if self.tokenizer is None:
            trained = tokenizer_directory(self.artifacts_dir, self._corpus(), self.vocab_size)
            self.tokenizer = load_tokenizer(self.tokenizer_name or trained)

    def _corpus(self) -> dict[str, str]:
        """Everything that the texts of the tokenizer depend on."""
        return {"bad_rows": self._bad_rows_file.stem, "split": self.split_sha256("train")}

    def _texts(self) -> Iterator[str]:
        for row, split in enumerate(self._rows.split):
            report = self._rows.report(row)
            if split == "train" and report is not None:
                yield full_text(report)
