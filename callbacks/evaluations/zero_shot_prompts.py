"""Prompts of zero-shot classification: the catalogue's, or those of a file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.batch import DataFacts
from synthesis.strict_yaml import read_mapping

Prompts = dict[str, dict[str, list[str]]]
"""Concept → ``{"present": sentences, "absent": sentences}``."""

_SIDES = ("present", "absent")


def catalogue_prompts(facts: DataFacts) -> Prompts:
    """Return the prompts of the data's concepts, from its catalogue, in label order.

    Raises:
        ValueError: If the data names concepts and has no catalogue, or a concept has no present or no absent
            prompts.
    """
    if facts.concept_names and facts.catalog is None:
        raise ValueError(
            f"{type(facts).__name__} has concept_names and no catalog: give it one, prompts "
            "are taken from there"
        )
    prompts: Prompts = {}
    for name in facts.concept_names:
        assert facts.catalog is not None
        concept = facts.catalog[name]
        prompts[name] = {"present": list(concept.prompts_present), "absent": list(concept.prompts_absent)}
        for side, sentences in prompts[name].items():
            if not sentences:
                raise ValueError(
                    f"concept {name!r} has no {side} prompts; write at least one in its catalogue entry"
                )
    return prompts


def prompts_sha256(prompts: Prompts) -> str:
    """Fingerprint of a set of prompts: SHA-256 of their canonical JSON."""
    return hashlib.sha256(json.dumps(prompts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_prompts(path: Path, facts: DataFacts) -> Prompts:
    """Read prompts of the data's concepts from a YAML file, in label order.

    The file holds templates under ``present`` and ``absent``, in which ``{concept}`` stands for the preferred
    name of a concept; under ``concepts``, by name, what to say instead of them; and under ``source`` where
    they come from.

    Args:
        path: The file.
        facts: Of the data: their concepts and catalogue.

    Raises:
        ValueError: If the file is missing or malformed, or names a concept that the catalogue lacks; the
            message names file and key.
    """
    content = read_mapping(path)
    keys = {"source", *_SIDES, "concepts"}
    if set(content) - keys or not content.get("source"):
        raise ValueError(
            f"{path} holds the keys {sorted(map(str, content))}; write source, present, absent and concepts"
        )
    if facts.concept_names and facts.catalog is None:
        raise ValueError(
            f"{type(facts).__name__} has concept_names and no catalog: give it one, names are "
            "taken from there"
        )
    templates = {side: _texts(content, side, str(path)) for side in _SIDES}
    special: Mapping[str, Any] = content.get("concepts") or {}
    if unknown := sorted(name for name in special if facts.catalog is not None and name not in facts.catalog):
        raise ValueError(
            f"{path}, key concepts: {unknown} are not in the data's catalogue; correct or delete them"
        )
    prompts: Prompts = {}
    for name in facts.concept_names:
        assert facts.catalog is not None
        if name in special:
            prompts[name] = {side: _texts(special[name], side, f"{path}, concept {name}") for side in _SIDES}
            continue
        said = facts.catalog[name].preferred_name
        prompts[name] = {
            side: [template.replace("{concept}", said) for template in templates[side]] for side in _SIDES
        }
    return prompts


def share_in_reports(prompts: Prompts, reports: Sequence[str]) -> float:
    """Return the share of the prompts that are sentences of some reports, but for case and full stop.

    Args:
        prompts: The prompts.
        reports: Texts with or without headings.
    """
    said = {_plain(sentence) for report in reports for sentence in re.split(r"[.:]\s", f"{report} ")}
    texts = [text for both in prompts.values() for side in _SIDES for text in both[side]]
    return sum(_plain(text) in said for text in texts) / len(texts) if texts else 0.0


def _plain(sentence: str) -> str:
    return sentence.strip().rstrip(".").lower()


def _texts(entry: Any, side: str, place: str) -> list[str]:
    texts = entry.get(side) if isinstance(entry, Mapping) else None
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
        raise ValueError(f"{place}, key {side}: {texts!r}; give a list of one or more texts")
    return texts
