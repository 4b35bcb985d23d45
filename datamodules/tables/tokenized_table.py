"""Tables with texts, and the tokenizer that reads them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from datamodules.tables.table_images import TableImages
from datamodules.texts.tokenizer_options import TokenizerOptions


class TokenizedTable(TableImages):
    """Images of a table with texts.

    Args:
        tokenizer: Which tokenizer reads the texts; without a path one is trained on those of the training
            split.
        **kwargs: Arguments of `TableImages`.
    """

    def __init__(self, tokenizer: TokenizerOptions = TokenizerOptions(), **kwargs: Any) -> None:
        super().__init__(**kwargs)
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

    @abstractmethod
    def tokenizer_texts(self) -> Iterator[str]:
        """Yield the texts of the training split."""
