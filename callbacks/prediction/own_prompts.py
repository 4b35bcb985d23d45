"""Prompts as a user types them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from callbacks.evaluations.zero_shot_prompts import Prompts
from synthesis.strict_yaml import Entry

SEPARATOR = ";"
AGAINST = "|"


def own_prompts(texts: Sequence[str], templates: str | Path) -> Prompts:
    """Return a user's prompts in the form of the catalogue's.

    Args:
        texts: Each one or several with ``;`` between them. ``a`` is compared with its negation by the
            templates, ``a | b`` with the text ``b``.
        templates: YAML file with templates under ``present`` and ``absent``, ``{concept}`` in each, such as
            ``configs/prompts/zero_shot/chexzero.yaml``.

    Returns:
        Text as typed → its prompts, in the order of the texts.

    Raises:
        ValueError: If a prompt is empty, stands twice, or has more than one ``|``; or of the templates.
    """
    entry, _ = Entry.read(Path(templates))
    sides = {side: entry.texts(side, least=1) for side in ("present", "absent")}
    prompts: Prompts = {}
    for text in (part.strip() for typed in texts for part in typed.split(SEPARATOR)):
        if not text:
            continue
        present, *against = (part.strip() for part in text.split(AGAINST))
        if not present or len(against) > 1 or against == [""]:
            raise ValueError(
                f"prompts: {text!r}: write a text (pleural effusion), or two with {AGAINST} between them "
                f"(enlarged heart {AGAINST} normal heart)"
            )
        if present in prompts:
            raise ValueError(f"prompt {present!r} stands twice: leave one out")
        if against:
            prompts[present] = {"present": [present], "absent": against}
        else:
            prompts[present] = {
                side: [template.replace("{concept}", present) for template in sides[side]] for side in sides
            }
    if texts and not prompts:
        raise ValueError(f"prompts={list(texts)}: all are empty; write a text")
    return prompts


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each prompt a name for files and folders: letters, digits, _ and -, no two alike."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^\w-]+", "_", name.lower()).strip("_")[:60] or "prompt"
        taken, number = plain, 2
        while taken in found.values():
            taken, number = f"{plain}_{number}", number + 1
        found[name] = taken
    return found
