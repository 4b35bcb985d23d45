"""YAML of words that continues another file of words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthesis.strict_yaml import Entry


def read_extended(path: Path, extended_by: tuple[Path, ...] = ()) -> tuple[Entry, bytes]:
    """Return the top-level mapping of a file, continued from the file that it ``extends``, and their bytes.

    Mappings are merged and lists are continued, key by key; the other file is named relative to this one.
    ``drops`` names items to leave out of the other file's lists, by the key of the list.

    Args:
        path: The file.
        extended_by: The files that extend this one, for the message if they go round in a circle.

    Raises:
        YamlError: A file is missing or malformed, the files extend each other, a key stands for a list or
            mapping in one and for something else in the other, or what is dropped is not there.
    """
    root, content = Entry.read(path)
    if "extends" not in root.keys():
        return root, content
    value = root.text("extends")
    other = path.parent / value
    if other.resolve() in {file.resolve() for file in (*extended_by, path)}:
        raise root.error("extends", value, "leads back to this file; extend another one.")
    base, before = read_extended(other, (*extended_by, path))
    merged = {key: base.take(key) for key in base.keys()}
    drops = root.entry("drops", {})
    for key in drops.keys():
        kept, dropped = merged.get(key), drops.texts(key, least=1)
        for item in dropped:
            if not isinstance(kept, list) or item not in kept:
                raise drops.error(key, item, f"is no item of that list in {other}; copy it from there.")
        merged[key] = [item for item in kept or [] if item not in dropped]
    more = {key: root.take(key) for key in root.keys()}
    return Entry(str(path), _continued(merged, more, root, "")), before + content


def _continued(base: Mapping[str, Any], more: Mapping[str, Any], root: Entry, within: str) -> dict[str, Any]:
    """Return one mapping continued by another."""
    merged = dict(base)
    for key, value in more.items():
        here = merged.get(key)
        if key not in merged:
            merged[key] = value
        elif isinstance(here, Mapping) and isinstance(value, Mapping):
            merged[key] = _continued(here, value, root, f"{within}{key}.")
        elif isinstance(here, list) and isinstance(value, list):
            merged[key] = here + value
        else:
            remedy = "cannot continue what the extended file has there; only lists and mappings go on."
            raise root.error(f"{within}{key}", value, remedy)
    return merged
