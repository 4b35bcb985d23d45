"""The innermost of the messages that jsonargparse nests."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from textwrap import dedent

from scripts.command_line.suggestions import class_named


@dataclass(frozen=True)
class Leaf:
    """The innermost of jsonargparse's nested messages.

    Attributes:
        text: The message.
        key: Dotted key that it is about, as YAML writes it.
        owner: Class path whose options were being read; empty at the top.
        outer: The one around it.
        value: What was given, as the message prints it.
    """

    text: str
    key: str = ""
    owner: str = ""
    outer: str = ""
    value: str | None = None


def innermost(text: str, key: str = "", owner: str = "", outer: str = "") -> Leaf:
    """Return the message inside `Parser key …`, `Problem with given class_path …` and unions of types."""
    first, _, rest = text.strip("\n").partition("\n")
    first, body = first.strip(), dedent(rest)
    if match := re.fullmatch(r'Parser key "(.+?)"(?: element \d+)?:(.*)', first):
        return innermost(match[2] or body, f"{key}.{match[1]}".lstrip("."), owner, outer)
    if match := re.fullmatch(r"Problem with given class_path '(.*?)':", first):
        plain = dataclasses.is_dataclass(class_named(match[1]))  # a group of options
        return innermost(body, key if plain else f"{key}.init_args", match[1], owner)
    if first.startswith("Does not validate against any of the Union"):
        return _most_telling(body, key, owner, outer)
    if first.startswith("- Expected a path but"):
        return innermost(dedent(re.sub(r"^(\s*)- ", r"\1", rest, count=1)), key, owner, outer)
    return Leaf(text.strip(), key, owner, outer, _given(text))


def _most_telling(body: str, key: str, owner: str, outer: str) -> Leaf:
    """Return the deepest of the messages about the members of a union, or all of them as one."""
    errors, _, given = body.partition("\nGiven value type:")
    value = _plain_value(given.partition("Given value: ")[2].strip()) or None
    bullets = re.split(r"^- ", dedent(errors.partition("Errors:\n")[2]), flags=re.MULTILINE)[1:]
    leaves = [innermost(bullet.replace("\n  ", "\n"), key, owner, outer) for bullet in bullets]
    deepest = max(len(leaf.key) for leaf in leaves)
    if deepest > len(key):
        return next(leaf for leaf in leaves if len(leaf.key) == deepest)
    types = ("Expected a <class", "Expected a typing", "Expected a collections", "Not a valid subclass")
    telling = [leaf for leaf in leaves if not leaf.text.startswith(types)]
    if telling:
        return telling[0] if telling[0].value is not None else dataclasses.replace(telling[0], value=value)
    return Leaf("\n".join(leaf.text.partition("\n")[0] for leaf in leaves), key, owner, outer, value)


def _plain_value(text: str) -> str:
    return re.sub(r"^NestedArg\(key='.*?', val=(.*)\)$", r"\1", text, flags=re.DOTALL)


def _given(text: str) -> str | None:
    return text.partition("Got value: ")[2].partition("\nSubclass types expect")[0].strip() or None
