"""The YAML files named on a command line: read strictly, and searched for where a key stands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import yaml

from scripts.command_line.suggestions import near

GIVEN: ContextVar[tuple[str, ...]] = ContextVar("GIVEN", default=())
"""The words of the command line that is being parsed; the parsers of subcommands see only their share."""

LAST: ContextVar[tuple[str, ...]] = ContextVar("LAST", default=())
"""The words of the command line that was parsed last, for errors of what is built and run by it."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


# What else lies in configs/, by a key at its top.
_OTHERS = {
    "program": "it is a sweep: give it to `synvlp sweep`.",
    "arms": "it is a comparison: give it to `synvlp compare`.",
    "concepts": "it is a catalogue of concepts: name it where a class takes `catalog`.",
}


class LayerError(ValueError):
    """A YAML file cannot be a layer; the message names file, line and remedy."""


def layers(words: Sequence[str]) -> list[Path]:
    """Return the YAML files that a command line names, as layers or as values, in their order."""
    values = [word.partition("=")[2] if word.startswith("-") and "=" in word else word for word in words]
    return [Path(value) for value in values if value.endswith((".yaml", ".yml")) and Path(value).is_file()]


def check_layer(path: Path, known: Collection[str] = (), option: str = "") -> None:
    """Refuse a file that the parser would misread.

    Args:
        path: The file.
        known: What may stand at its top; empty: anything.
        option: What it was given to, as ``--data.init_args.catalog``; empty for a layer.

    Raises:
        LayerError: If it is not text, not YAML, not one mapping, or holds a key twice or an unknown one.
    """
    named = f"{option}={path}" if option else str(path)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except UnicodeDecodeError as error:
        raise LayerError(f"{named}: not UTF-8 at byte {error.start}; save it as UTF-8 text.") from error
    except OSError as error:
        raise LayerError(
            f"{named}: cannot be read ({error.strerror}); correct the path or its rights."
        ) from error
    except yaml.YAMLError as error:
        raise LayerError(
            f"{named}{_line(error)}: not valid YAML: {_problem(error)}; correct it.{_shown(error, path)}"
        ) from error
    if not isinstance(node, yaml.MappingNode):
        found = "nothing" if node is None else "a list" if isinstance(node, yaml.SequenceNode) else "text"
        raise LayerError(
            f"{named}: holds {found}; write `key: value` lines"
            + (", such as it is documented with." if option else ", as trainer: {max_epochs: 2}.")
        )
    tops = [str(key.value) for key, _ in node.value]
    for (key, _), top in zip(node.value, tops, strict=True):
        if known and top not in known:
            kind = next((words for mark, words in _OTHERS.items() if mark in tops), "")
            alike = near(top, known, most=1)
            hint = kind or (
                f"did you mean {alike[0]}?" if alike else f"known are {', '.join(sorted(known))}."
            )
            line = key.start_mark.line + 1
            raise LayerError(f"{path}, line {line}: {top} is no key of a configuration; {hint}")
    _check_keys(path, node, "")


def _check_keys(path: Path, node: yaml.Node, place: str) -> None:
    """Refuse keys that stand twice or are no text, at any depth."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(path, item, place)
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        line = node.start_mark.line + 1
        raise LayerError(f"{path}, line {line}: {place} has the tag {tag}; write a plain value.")
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(path, node, place)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise LayerError(f"{path}, line {line}: a key is a list or a mapping; write a plain name.")
        if not key.value:
            raise LayerError(f"{path}, line {line}: {place or 'the file'} has an empty key; give it a name.")
        name = f"{place}.{key.value}".lstrip(".")
        if key.value in seen and key.value != "<<":
            raise LayerError(
                f"{path}, line {line}: key {name} stands twice, first in line {seen[key.value]}; "
                "keep one, or put what is under both together."
            )
        seen[key.value] = line
        _check_keys(path, value, name)


def _check_scalar(path: Path, node: yaml.ScalarNode, place: str) -> None:
    """Refuse what YAML reads otherwise than it looks: numbers to the base of sixty, and escapes in paths."""
    where = f"{path}, line {node.start_mark.line + 1}: {place}"
    if node.tag.endswith((":int", ":float")) and ":" in node.value:
        raise LayerError(
            f'{where}: YAML reads {node.value} as a number to the base of 60; write "{node.value}".'
        )
    control = re.search(r"[\x00-\x08\x0b-\x1f\x7f]", node.value)
    if control:
        raise LayerError(
            f"{where}: {node.value!r} holds the control character {control[0]!r}; in double quotes a "
            "backslash begins an escape: write single quotes, or /."
        )


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _shown(error: yaml.YAMLError, path: Path) -> str:
    """Return the line at which YAML stumbled, below the message."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    line = lines[mark.line].strip() if mark is not None and mark.line < len(lines) else ""
    return f"\n  {shortened(line)}" if line else ""


def _problem(error: yaml.YAMLError) -> str:
    return getattr(error, "problem", None) or " ".join(str(error).split())


def shortened(word: str) -> str:
    """Return an argument, without its end where it is long."""
    return word if len(word) <= 160 else f"{word[:157]}…"


def place(key: str, words: Sequence[str]) -> str | None:
    """Return what last set a key: the argument itself, or file and line; None if nothing here did.

    Args:
        key: Dotted, with or without `init_args`: it is left out where it is compared.
        words: The command line.
    """
    wanted = _plain(key)
    for word in reversed(words):
        option = word.partition("=")[0]
        if option.startswith("--") and _plain(option[2:].rstrip("+")) == wanted:
            return shortened(word)
    for path in reversed(layers(words)):
        line = _line_of(path, wanted)
        if line is not None:
            text = path.read_text(encoding="utf-8").splitlines()[line - 1]
            return f"{path}, line {line}: {shortened(text.strip())}"
    return None


@dataclass(frozen=True)
class Given:
    """A value, and what set it.

    Attributes:
        key: Dotted, as it was written.
        value: As text.
        place: The argument itself, or file, line and key.
    """

    key: str
    value: str
    place: str


def givens(words: Sequence[str]) -> list[Given]:
    """Return every plain value that a command line and its layers set, the last to be set first."""
    found = []
    for path in layers(words):
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        for parts, line, value in _flat(node):
            key = ".".join(parts)
            for inner in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                if isinstance(inner, yaml.ScalarNode):
                    found.append(Given(key, inner.value, f"{path}, line {line}: {key}"))
    for word in words:
        option, equals, text = word.partition("=")
        if option.startswith("--") and equals:
            found.append(Given(option[2:].rstrip("+"), text, shortened(word)))
    return found[::-1]


def flat_keys(words: Sequence[str]) -> list[str]:
    """Return every dotted key that the layers of a command line hold."""
    keys: dict[str, None] = {}
    for path in layers(words):
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        keys |= dict.fromkeys(
            ".".join(parts) for parts, _, _ in _flat(node) if parts[-1] not in ("class_path", "init_args")
        )
    return list(keys)


def _line_of(path: Path, wanted: list[str]) -> int | None:
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    lines = [line for parts, line, _ in _flat(node) if _plain(".".join(parts)) == wanted]
    return lines[-1] if lines else None


def _flat(
    node: yaml.Node | None, parts: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], int, yaml.Node]]:
    """Yield path, line and value of every key; the items of a list stand under the key of the list."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _flat(item, parts)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*parts, str(key.value))
            yield below, key.start_mark.line + 1, value
            yield from _flat(value, below)


def _plain(key: str) -> list[str]:
    return [part for part in key.split(".") if part not in ("init_args", "class_path")]
