"""What a language model wraps around a text, taken off: headings, list marks, quotation marks, breaks."""

from __future__ import annotations

import re

_HEADING = re.compile(r"^\W*(findings?|impression|report|answer|assistant)\W*:\W*", re.IGNORECASE)
_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+|[*_`#]+", re.MULTILINE)


def plain_text(answer: str) -> str:
    """Return an answer as running text on one line.

    Args:
        answer: What the model said, e.g. ``**FINDINGS:** "There is a nodule."``.

    Returns:
        The text without heading, list marks, emphasis or quotation marks around it; lines that end without a
        full stop keep doing so, for nothing is made up.
    """
    text = _HEADING.sub("", _MARK.sub("", answer))
    return " ".join(text.split()).strip("\"'“”")
