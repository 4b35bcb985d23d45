"""Splits by the hash of the patient: the same on every machine, for any order of the table, for ever."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

log = logging.getLogger(__name__)


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


def official_splits(
    values: Sequence[str],
    patients: Sequence[str],
    official: Mapping[str, Sequence[str]],
    shares: Mapping[str, float],
    salt: str,
) -> list[str]:
    """Return the split of each image where a data set has splits of its own.

    Args:
        values: What the data set says of each image, e.g. "validate".
        patients: Patient of each image.
        official: Split → the values that belong to it. Patients of a value that belongs to several are dealt
            out among these by the hash of their name.
        shares: Split → share, for values that belong to several.
        salt: Other salts, other splits of such values.

    Raises:
        ValueError: If a value belongs to no split, or to several that have no share.
    """
    dealt = {
        value: {split: shares.get(split, 0) for split, named in official.items() if value in named}
        for value in set(values)
    }
    for value, chosen in sorted(dealt.items()):
        if not chosen:
            count = sum(other == value for other in values)
            raise ValueError(
                f"{value!r} ({count:,} rows) belongs to no split of {dict(official)}; add it to `official`, "
                f"or leave its rows out with `where`."
            )
        if len(chosen) > 1 and not sum(chosen.values()):
            raise ValueError(
                f"{value!r} belongs to {list(chosen)}, which have no share in `splits`: give one."
            )
    found = []
    for value, patient in zip(values, patients, strict=True):
        chosen, total = dealt[value], sum(dealt[value].values())
        scaled = {split: share / total for split, share in chosen.items()} if len(chosen) > 1 else {}
        found.append(split_of(patient, scaled, salt) if scaled else next(iter(chosen)))
    _warn_of_shared_patients(patients, found)
    return found


def _warn_of_shared_patients(patients: Sequence[str], splits: Sequence[str]) -> None:
    of_patient: dict[str, set[str]] = defaultdict(set)
    for patient, split in zip(patients, splits, strict=True):
        of_patient[patient].add(split)
    shared = sorted(patient for patient, where in of_patient.items() if len(where) > 1)
    if shared:
        log.warning(
            "the data set's own splits share %d patients, the first %r: figures on them are not held out",
            len(shared),
            shared[0],
        )


def ids_sha256(ids: Iterable[str]) -> str:
    """Return the SHA-256 of a set of ids, one a line, sorted."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def check_fractions(fractions: Mapping[str, float], known: Iterable[str]) -> None:
    """Raise a ValueError unless these are shares of known splits that sum to 1."""
    unknown = [split for split in fractions if split not in known]
    if unknown:
        raise ValueError(f"splits: unknown split {unknown[0]!r}; use {', '.join(known)}.")
    if not all(share >= 0 for share in fractions.values()) or not abs(sum(fractions.values()) - 1) < 1e-6:
        raise ValueError(f"splits={dict(fractions)}: must be shares ≥ 0 that sum to 1; correct them.")


def check_official(official: Mapping[str, Sequence[str]], column: str | None, known: Iterable[str]) -> None:
    """Raise a ValueError unless a data set's own splits are known and have a column, or neither is there."""
    unknown = [split for split in official if split not in known]
    if unknown:
        raise ValueError(f"official: unknown split {unknown[0]!r}; use {', '.join(known)}.")
    if bool(official) != bool(column):
        raise ValueError(
            f"official={dict(official)}, columns.split={column!r}: a data set's own splits need both, the "
            f"column and what its values mean; give both or neither."
        )
