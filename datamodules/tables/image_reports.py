"""A user's own image/report pairs: the real-data side of pre-training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datamodules.tables.table_images import TableImages
from datamodules.texts.text_view import full_text
from datamodules.texts.tokenizer_options import TokenizerOptions


class ImageReports(TableImages):
    """Image/report pairs of a table, with labels where there are any.

    A row whose report is empty is bad.

    Args:
        tokenizer: Which tokenizer reads the reports; without a path one is trained on those of the training
            split.
        **kwargs: Arguments of `TableImages`.
    """

    reports_required = True
    least_samples_in_step = 2

    def __init__(self, tokenizer: TokenizerOptions = TokenizerOptions(), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.columns.texts:
            raise ValueError("columns: no report; name the column of findings, impression or report.")
        self.tokenizer_options = tokenizer

    def prepare_data(self) -> None:
        """Check the table and its images, and train the tokenizer, if one is asked for and not there yet."""
        super().prepare_data()
        self.tokenizer_options.store(self.artifacts_dir, self.tokenizer_recipe(), self.tokenizer_texts)

    def setup(self, stage: str) -> None:
        """Load the tokenizer.

        Args:
            stage: "fit", "validate", "test" or "predict".
        """
        super().setup(stage)
        if self.tokenizer is None:
            self.tokenizer = self.tokenizer_options.load(self.artifacts_dir, self.tokenizer_recipe())

    def tokenizer_recipe(self) -> dict[str, Any]:
        """Return everything that the texts of the tokenizer depend on."""
        return {"bad_rows": self._bad_rows_file.stem, "split": self.split_sha256("train")}

    def tokenizer_texts(self) -> Iterator[str]:
        """Yield the training reports."""
        for row, split in enumerate(self._rows.split):
            report = self._rows.report(row)
            if split == "train" and report is not None:
                yield full_text(report)
