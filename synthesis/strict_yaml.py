"""Reading domain data from YAML so that every mistake is named: file, place, key, value and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_REQUIRED = object()


class YamlError(ValueError):
    """A YAML file is wrong; the message names file, place, key, value and remedy."""


class Entry:
    """A mapping of a YAML file whose keys are taken one by one.

    Take the known keys, then call `close`: whatever is left is an unknown key, and an error.

    Args:
        where: How errors name this mapping, e.g. "chest_xray.yaml, concept edema".
        content: The mapping as parsed.

    Raises:
        YamlError: If ``content`` is no mapping.
    """

    def __init__(self, where: str, content: object) -> None:
        if not isinstance(content, Mapping):
            raise YamlError(f"{where}: {content!r} is not a mapping; write `key: value` lines.")
        self.where = where
        self._left: dict[str, Any] = dict(content)
        self._taken: list[str] = []

    @classmethod
    def read(cls, path: Path) -> tuple[Entry, bytes]:
        """Return the top-level mapping of a file, and the bytes of the file.

        Raises:
            YamlError: If the file is missing, is not YAML, or holds a key twice.
        """
        if not path.is_file():
            raise YamlError(f"{path}: no such file; give the path of a YAML file.")
        content = path.read_bytes()
        try:
            return cls(str(path), yaml.load(content, Loader=_NoDuplicatesLoader)), content
        except yaml.YAMLError as error:
            raise YamlError(
                f"{path}: not valid YAML: {' '.join(str(error).split())}; correct that line."
            ) from error

    def error(self, key: str, value: object, remedy: str) -> YamlError:
        """Return the error that says what is wrong with the value of a key, and what to do."""
        return YamlError(f"{self.where}, key {key}: {value!r} {remedy}")

    def keys(self) -> tuple[str, ...]:
        """Return the keys not yet taken."""
        return tuple(self._left)

    def take(self, key: str, default: object = _REQUIRED) -> Any:
        """Return the value of a key, or the default; without a default the key must be there."""
        self._taken.append(key)
        if key in self._left or default is not _REQUIRED:
            return self._left.pop(key, default)
        others = ", ".join([*self._taken[:-1], *self._left]) or "none"
        raise YamlError(f"{self.where}, key {key}: missing; add it (other keys here: {others}).")

    def text(self, key: str, allowed: Collection[str] = ()) -> str:
        """Return a non-empty text (white space run together), one of ``allowed`` if any are given."""
        value = self.take(key)
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, value, "is not a text; write one, in quotes if it looks like a number.")
        if allowed:
            self._check_allowed(key, value, allowed)
        return " ".join(value.split())

    def texts(self, key: str, allowed: Collection[str] | None = None, least: int = 0) -> tuple[str, ...]:
        """Return a list of different texts, all in ``allowed`` if given; a missing key is an empty list."""
        values = self.take(key, _REQUIRED if least else [])
        if not isinstance(values, list) or not all(isinstance(v, str) and v.strip() for v in values):
            raise self.error(key, values, "is not a list of texts; write [first, second].")
        if len(values) < least or len(set(values)) < len(values):
            raise self.error(key, values, f"must be at least {least} different texts; add or remove some.")
        for value in values if allowed is not None else ():
            self._check_allowed(key, value, allowed or ())
        return tuple(values)

    def text_or_texts(self, key: str) -> tuple[str, ...]:
        """Return one text, or a list of at least one, as a tuple."""
        return self.texts(key, least=1) if isinstance(self._left.get(key), list) else (self.text(key),)

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Return a number in [low, high]."""
        value = self.take(key, _REQUIRED if default is None else default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.error(key, value, f"is not a number from {low:g} to {high:g}; correct it.")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, value, "is neither true nor false; write one of them.")
        return value

    def entry(self, key: str, default: object = _REQUIRED) -> Entry:
        """Return the mapping under a key."""
        return Entry(f"{self.where}, key {key}", self.take(key, default))

    def named(
        self, key: str, what: str, default: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[str, Entry]]:
        """Yield name and mapping of each item under a key, in file order; errors call them "what name".

        Without a default the key must be there.
        """
        for name, content in self.entry(key, _REQUIRED if default is None else default)._left.items():
            yield name, Entry(f"{self.where}, {what} {name}", content)

    def close(self, optional: Collection[str] = ()) -> None:
        """Raise for keys that nobody took; naming the ``optional`` ones tells users what would be known."""
        known = list(dict.fromkeys([*self._taken, *optional]))
        for key, value in self._left.items():
            near = difflib.get_close_matches(str(key), known, n=1)
            names = ", ".join(known) or "none"
            hint = f"did you mean {near[0]}?" if near else f"remove it (known here: {names})."
            raise self.error(key, value, f"stands under an unknown key; {hint}")

    def _check_allowed(self, key: str, value: str, allowed: Collection[str]) -> None:
        if value not in allowed:
            near = difflib.get_close_matches(value, allowed, n=3) or sorted(allowed)
            raise self.error(key, value, f"is unknown here; use one of: {', '.join(near) or 'none'}.")


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the top-level mapping of a file.

    Raises:
        YamlError: If the file is missing, is no YAML, holds no mapping, or holds a key twice.
    """
    entry, _ = Entry.read(path)
    return {key: entry.take(key) for key in entry.keys()}


class _NoDuplicatesLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: PyYAML takes the last, and a catalogue would lose a concept.

    What ``<<: *name`` merges in gives way to the keys beside it, as YAML has it.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                problem = f"key {key!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
