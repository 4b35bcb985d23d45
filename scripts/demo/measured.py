"""What was measured of an encoder, in a few phrases, from what lies beside its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_FIGURES = {"zero_shot/auroc_macro": "zero-shot AUROC", "retrieval/i2t_hit@10": "image → report R@10"}


def measured(weights: Path) -> list[str]:
    """Return phrases with figures, intervals and n; none if nothing that states them lies there.

    Args:
        weights: A checkpoint in the directory of its run (``summary.json``), or an exported directory with
            its card (``README.md``).
    """
    if (card := weights / "README.md").is_file():
        return list(_of_card(card.read_text("utf-8")))
    if (summary := weights.parent.parent / "summary.json").is_file():
        return list(_of_summary(json.loads(summary.read_text("utf-8"))))
    return []


def _of_summary(summary: Mapping[str, Any]) -> Iterator[str]:
    for figure, words in _FIGURES.items():
        callback, _, name = figure.partition("/")
        value, about = summary.get(f"val/{figure}"), summary.get("details", {}).get(f"val/{callback}", {})
        if value is None:
            continue
        low, high = about.get("intervals", {}).get(name, (None, None))
        span = "" if low is None else f" [{low:.3f}, {high:.3f}]"
        yield f"{words} {value:.3f}{span} (n = {about.get('n', '?')})"


def _of_card(text: str) -> Iterator[str]:
    """Read the card's tables: the first mean of zero-shot AUROC under each heading, and the retrieval."""
    heading, head, told = "", [""], False
    for line in text.splitlines():
        if line.startswith("**"):
            heading, head, told = line.strip("*"), [], False
        elif line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not head:
                head = cells
            elif cells[0].startswith("mean of ") and "zero shot" in head and not told:
                told = True
                value, where = cells[head.index("zero shot")], heading.partition(", n =")[2].strip()
                yield f"{_FIGURES['zero_shot/auroc_macro']}, {cells[0]} concepts, {value} (n = {where})"
            elif cells[0] == "retrieval/i2t_hit@10":
                yield f"{_FIGURES[cells[0]]} {cells[-1]}"
