"""What data sets call the projection of a radiograph."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from datamodules.batch import UNKNOWN_VIEW, VIEWS

_WORDS = {"PA": "PA", "POSTEROANTERIOR": "PA", "AP": "AP", "ANTEROPOSTERIOR": "AP"}
_PARTS = re.compile(r"[A-Z]+")
_IN_TWO = re.compile(r"\b(POSTERO|ANTERO)[\s\-_/]+(?=ANTERIOR|POSTERIOR)")
_ASIDE = frozenset("LATERAL LAT LL RL L OBLIQUE LAO RAO LPO RPO".split())  # also "AP LATERAL"


def view_code(text: str) -> int:
    """Return the code of a projection: its place in `VIEWS`, or `UNKNOWN_VIEW`.

    "AP Supine", "pa erect", "AP_horizontal", "Antero-posterior" and the like are known by their word. What
    names neither direction, or both, or another view, is unknown.
    """
    words = _PARTS.findall(_IN_TWO.sub(r"\1", text.upper()))
    named = {_WORDS[word] for word in words if word in _WORDS}
    return UNKNOWN_VIEW if len(named) != 1 or _ASIDE.intersection(words) else VIEWS.index(named.pop())


def unknown_views(texts: Iterable[str]) -> Counter[str]:
    """Count the projections that have a name but no code."""
    return Counter(text for text in texts if text and view_code(text) == UNKNOWN_VIEW)
