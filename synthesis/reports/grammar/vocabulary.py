"""The words that reports are made of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from synthesis.concepts import ConceptCatalog
from synthesis.reports.grammar import DEFAULT_PHRASES
from synthesis.strict_yaml import Entry

_WORD = re.compile(r"[^\W\d_]{3,}")


class Vocabulary:
    """The words of the catalogue (names, definitions, prompts) and of the phrase bank, and those added.

    A small language model invents diseases ("bronzoid asthma"), and any model may name one that the catalogue
    does not hold: the entity check cannot see either. A word that is none of these gives them away.

    Args:
        catalog: The concepts.
        more: Texts whose words are known too.
    """

    def __init__(self, catalog: ConceptCatalog, more: Iterable[str] = ()) -> None:
        root, _ = Entry.read(DEFAULT_PHRASES)
        texts = [text for key in root.keys() for text in _texts(root.take(key))]
        for concept in catalog:
            texts += [concept.preferred_name, concept.definition, *concept.synonyms]
            texts += [*concept.prompts_present, *concept.prompts_absent]
            texts += [*concept.severities, *(place.name for place in concept.locations)]
            for side in concept.lateralities:  # as the bank writes {laterality}, {laterality}ward
                texts += [side, f"{side}ward", f"{side}ly"]
        self._stems = {_stem(word) for text in (*texts, *more) for word in _words(text)}

    @property
    def sha256(self) -> str:
        """SHA-256 of the words."""
        return hashlib.sha256("\n".join(sorted(self._stems)).encode()).hexdigest()

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text, in order, that are not known; endings of number do not matter.

        Words of one or two letters, and numbers, are always known.
        """
        return [word for word in _words(text) if _stem(word) not in self._stems]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _stem(word: str) -> str:
    return re.sub(r"(?<=\w{3})(es|s)$", "", word)


def _texts(content: Any) -> Iterator[str]:
    """Yield the texts in a YAML value, keys left out."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        yield from (text for value in content.values() for text in _texts(value))
    elif isinstance(content, list):
        yield from (text for value in content for text in _texts(value))
