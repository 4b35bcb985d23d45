"""The gallery page of a corpus: pairs that it holds, and drawings that filters refused, a sheet a reason."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from callbacks.drawing.pictures import PicturedPair, pair_sheet
from synthesis.files import replaced, write_atomically
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.store import PairStore, Refused

_Item = TypeVar("_Item")


def write_gallery(out: Path, store: PairStore, synthesizer: PairSynthesizer, examples: int = 6) -> None:
    """Write ``README.md`` and its pictures.

    What was refused is not stored: it is drawn again, as each attempt is a pure function of its number.

    Args:
        out: Directory of the page.
        store: The pairs held.
        synthesizer: What they were made by.
        examples: Pictures of each kind, ≥ 1, spread over the corpus.
    """
    out.mkdir(parents=True, exist_ok=True)
    lines = ["# Gallery", "", f"{len(store):,} pairs held.", "", "![held](held.jpg)", ""]
    held = store.pairs(_spread(range(len(store)), examples), masks=False)
    save_sheet([pictured(pair, f"pair {pair.index}") for pair in held], "held", out / "held.jpg")
    kinds: dict[str, list[Refused]] = defaultdict(list)
    for entry in store.refused():
        kinds[entry.kind].append(entry)
    chosen = {kind: _spread(entries, examples) for kind, entries in kinds.items()}
    drawn = _drawn_again(store, synthesizer, [entry for entries in chosen.values() for entry in entries])
    for kind, entries in sorted(kinds.items(), key=lambda item: -len(item[1])):
        missing = sum(entry.missing for entry in entries)
        name = f"refused-{re.sub(r'[^a-z0-9]+', '-', kind.lower()).strip('-')}.jpg"
        shown = [
            pictured(drawn[entry], f"pair {entry.index}, drawing {entry.attempt + 1}: {entry.reason}")
            for entry in chosen[kind]
        ]
        save_sheet(shown, kind, out / name)
        words = f"{len(entries):,} drawings refused; {missing:,} pairs are missing for it."
        lines += [f"## {kind}", "", words, "", f"![{kind}]({name})", ""]
    write_atomically(out / "README.md", "\n".join(lines))


def _drawn_again(
    store: PairStore, synthesizer: PairSynthesizer, refused: Sequence[Refused]
) -> dict[Refused, Pair]:
    """Draw what was refused, in one call an attempt: a language model is slow with one report at a time."""
    drawn: dict[Refused, Pair] = {}
    for attempt in sorted({entry.attempt for entry in refused}):
        entries = [entry for entry in refused if entry.attempt == attempt]
        indices = [entry.index for entry in entries]
        pairs = synthesizer.draw(indices, store.manifest.recipe["seed"], store.manifest.split, attempt)
        drawn |= zip(entries, pairs, strict=True)
    return drawn


def pictured(pair: Pair, title: str) -> PicturedPair:
    """Make a pair what the contact sheets show."""
    return PicturedPair(pair.image[0].numpy() / 255, pair.report.text, title[:90])


def save_sheet(pairs: Sequence[PicturedPair], heading: str, path: Path) -> None:
    """Write pairs as one picture, two pairs a row."""
    with replaced(path) as temporary:
        pair_sheet(pairs, heading).savefig(temporary, dpi=90, format=path.suffix[1:])


def _spread(items: Sequence[_Item], count: int) -> list[_Item]:
    """Return some items, evenly spread: the first ones would all be of one place."""
    step = max(1, len(items) / count)
    return [items[int(k * step)] for k in range(min(count, len(items)))]
