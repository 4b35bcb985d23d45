"""Lists of which only some are there: "of edema, effusion and mass, only the mass is real"."""

from __future__ import annotations

from collections.abc import Sequence

from synthesis.reports.reading.name import Name
from synthesis.reports.reading.words import Words
from synthesis.strict_yaml import Entry


class ExclusiveLists:
    """Finds the members of a list that a sentence leaves out, which it thereby denies.

    Args:
        entry: Mapping of "lists" to what opens a list at the start of a sentence, "marks" to what picks
            out of a list before it, and "sole" to what picks out of a list after it.
    """

    def __init__(self, entry: Entry) -> None:
        self._lists = Words(entry.texts("lists", least=1), entry, "lists")
        self._marks = Words(entry.texts("marks", least=1), entry, "marks")
        self._sole = Words(entry.texts("sole", least=1), entry, "sole")
        entry.close()

    def left_out(self, sentence: str, names: Sequence[Name]) -> tuple[list[int], list[int]]:
        """Return which names are left out, and which merely repeat in the list what is picked.

        Args:
            sentence: The sentence.
            names: Its names, in order.
        """
        for start, end in self._marks.spans(sentence):
            listed = [i for i, name in enumerate(names) if name.end <= start]
            picked = [i for i, name in enumerate(names) if name.start >= end]
            opened = self._lists.at(sentence, 0) or sentence[start] in ":;–-"
            if opened and len(listed) > 1 and picked:
                return _parted(names, listed, picked)
        for start, end in self._sole.spans(sentence):
            listed = [i for i, name in enumerate(names) if name.start >= end]
            picked = [i for i, name in enumerate(names) if name.end <= start]
            if len(listed) > 1 and picked:
                return _parted(names, listed, picked)
        return [], []


def _parted(
    names: Sequence[Name], listed: Sequence[int], picked: Sequence[int]
) -> tuple[list[int], list[int]]:
    chosen = {names[i].asserts for i in picked}
    return [i for i in listed if names[i].asserts not in chosen], [
        i for i in listed if names[i].asserts in chosen
    ]
