"""What somebody meant who typed a name that is not there."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Collection, Iterator
from difflib import SequenceMatcher

PACKAGES = ("lightning_modules", "datamodules", "callbacks", "synthesis")
FOREIGN = ("lightning.pytorch.callbacks", "lightning.pytorch.loggers")


def near(name: str, known: Collection[str], most: int = 3) -> list[str]:
    """Return the known names that are most like a name, best first.

    Capitals and separators do not count; initials (`lr`), parts (`batch`) and beginnings (`temp`) are read.

    Args:
        name: What was typed.
        known: What there is; of dotted names the last part is compared.
        most: How many are returned at most.
    """
    scored = sorted(((_likeness(name, other), other) for other in known), key=lambda pair: -pair[0])
    best = scored[0][0] if scored else 0.0
    return [other for score, other in scored if score >= max(0.6, best - 0.15)][:most]


def _likeness(name: str, other: str) -> float:
    a, b = _letters(name.rsplit(".", 1)[-1]), _letters(other.rsplit(".", 1)[-1])
    if not a or not b:
        return 0.0
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", other.rsplit(".", 1)[-1])
    if len(a) > 1 and a == "".join(word[0] for word in words).lower():
        return 0.9
    if len(a) > 2 and (b.startswith(a) or a.rstrip("s") in [word.lower().rstrip("s") for word in words]):
        return 0.85
    return SequenceMatcher(None, a, b).ratio()


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def classes(base: type | None = None) -> Iterator[type]:
    """Yield the classes that YAML can name, each once: ours, and Lightning's callbacks and loggers.

    Args:
        base: Only its subclasses that can be built.
    """
    seen: set[type] = set()
    for package in (*PACKAGES, *FOREIGN):
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            found = getattr(module, name)
            if not inspect.isclass(found) or found in seen:
                continue
            if base is None or (_is_a(found, base) and not inspect.isabstract(found)):
                seen.add(found)
                yield found


def _is_a(found: type, base: type) -> bool:
    if not getattr(base, "_is_protocol", False):
        return issubclass(found, base)
    asked = [name for name in vars(base) if not name.startswith("_") and callable(getattr(base, name))]
    return bool(asked) and not getattr(found, "_is_protocol", False) and all(hasattr(found, n) for n in asked)


def path_of(found: type) -> str:
    """Return the shortest path by which YAML can name a class: `lightning_modules.SigLIP`."""
    for package in (*PACKAGES, *FOREIGN):
        if getattr(importlib.import_module(package), found.__name__, None) is found:
            return f"{package}.{found.__name__}"
    return f"{found.__module__}.{found.__qualname__}"


def class_named(name: str) -> type | None:
    """Return the class of a dotted path or a bare name, if there is one."""
    module, _, last = name.rpartition(".")
    for package in (module,) if module else (*PACKAGES, *FOREIGN):
        try:
            found = getattr(importlib.import_module(package), last, None)
        except (ImportError, ValueError):
            continue
        if inspect.isclass(found):
            return found
    return None
