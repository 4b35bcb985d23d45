"""Pairs, and what was retrieved for them, as rows of a table with images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callbacks.drawing.pictures import PicturedPair, Retrieved


def pair_rows(pairs: Sequence[PicturedPair]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of a table of pairs."""
    return ["pair", "image", "text"], [[pair.title, pair.image, pair.text] for pair in pairs]


def retrieved_rows(strips: Sequence[Retrieved]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of a table of queries and what was retrieved for them, best first."""
    width = max((len(strip.found) for strip in strips), default=0)
    columns = ["image", "own report", "its rank", "of", *(f"retrieved {i + 1}" for i in range(width))]
    rows: list[list[Any]] = []
    for strip in strips:
        found = [f"{similarity:.2f}: {text}" for similarity, text, _ in strip.found]
        found += [""] * (width - len(found))
        rows.append([strip.query.image, strip.query.text, strip.rank, strip.candidates, *found])
    return columns, rows
