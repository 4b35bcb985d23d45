"""What is wrong with an image file."""

from __future__ import annotations


class ImageFileError(ValueError):
    """An image file cannot be used; the message says why and what to do.

    Args:
        message: What is wrong, with the file and the remedy.
        kind: What such files are counted by, e.g. "colour".
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind
