"""Telling a report that says nothing."""

from __future__ import annotations

import re

_SIGNS = re.compile(r"[\W\d_]+")
_SAYS_NOTHING = frozenset(
    "na nan nat nil none nul null void empty blank missing unknown unavailable undefined ref value div name "
    "findings impression findingsimpression report "
    "notavailable notapplicable nodata noreport notext noresult tbd todo".split()
)


def said(text: str) -> str:
    """Return a text stripped; empty if it says nothing.

    That is so of text without letters ("...", "___", "1."), of what programs write for a missing value
    ("nan", "None", "N/A", "#REF!"), and of what de-identification leaves of everything ("XXXX").
    """
    letters = _SIGNS.sub("", text).casefold()
    return "" if letters in _SAYS_NOTHING or not letters.strip("x") else text.strip()
