"""Splits by the hash of the patient: the same on every machine, for any order of the table, for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping


def split_of(patient: str, fractions: Mapping[str, float], salt: str) -> str:
    """Return the split that a patient belongs to.

    Adding patients moves nobody, and a patient is never in two splits.

    Args:
        patient: Any name.
        fractions: Split → expected share of the patients; they sum to 1.
        salt: Other salts, other splits.
    """
    digest = hashlib.sha256(f"{salt}:{patient}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in fractions.items():
        if position < share:
            return split
        position -= share
    return [split for split, share in fractions.items() if share > 0][-1]  # what rounding has left over


def ids_sha256(ids: Iterable[str]) -> str:
    """Return the SHA-256 of a set of ids, one a line, sorted."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def check_fractions(fractions: Mapping[str, float], known: Iterable[str]) -> None:
    """Raise a ValueError unless these are shares of known splits that sum to 1."""
    unknown = [split for split in fractions if split not in known]
    if unknown:
        raise ValueError(f"splits: unknown split {unknown[0]!r}; use {', '.join(known)}.")
    if any(share < 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"splits={dict(fractions)}: must be shares ≥ 0 that sum to 1; correct them.")
