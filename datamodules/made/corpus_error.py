"""What is wrong with a corpus."""

from __future__ import annotations


class CorpusError(ValueError):
    """A corpus cannot be used as it is; the message names file, row or column, value and remedy."""
