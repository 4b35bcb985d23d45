"""What is wrong with a table."""

from __future__ import annotations


class TableError(ValueError):
    """A table cannot be used as it is; the message names file, row or column, value and remedy."""


class MissingFileError(TableError):
    """A file or folder of a data set is not there."""
