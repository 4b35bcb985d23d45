"""Corpus filter: no report more often than it may stand there."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synthesis.pairs import Pair

_WORD = re.compile(r"\w+")
_HASHES, _BANDS = 128, 16
_RNG = np.random.Generator(np.random.PCG64(0))
_FACTORS = _RNG.integers(0, 2**63, _HASHES, np.uint64) * np.uint64(2) + np.uint64(1)
_TERMS = _RNG.integers(0, 2**63, _HASHES, np.uint64)
_NO_TEXT = np.uint32(2**32 - 1)  # no text has this for the least of its hashes, 128 times


class NearDuplicateReports:
    """Refuses a report if enough nearly equal ones with lower indices were kept; no text is like no other.

    Alike is what shares most of its runs of words: their Jaccard index, estimated by MinHash (Broder 1997)
    with 128 hashes (standard error ≤ 0.044), looked for among those that agree in a band of 8 hashes: of
    reports with an index of 0.9, 0.01 % are missed.

    Args:
        threshold: From which Jaccard index on two reports are alike, in [0.8, 1].
        copies: How many reports that are alike may stay, ≥ 1.
        run: Words in a run.
    """

    def __init__(self, threshold: float = 0.9, copies: int = 1, run: int = 3) -> None:
        if not 0.8 <= threshold <= 1:
            raise ValueError(f"threshold={threshold}: less alike ones are not found; give 0.8 to 1.")
        if copies < 1 or run < 1:
            raise ValueError(f"copies={copies}, run={run}: give 1 or more of each.")
        self.threshold = threshold
        self.copies = copies
        self.run = run

    def sign(self, pairs: Sequence[Pair]) -> npt.NDArray[Any]:
        """Return the MinHash of each report, ``(pairs, 128)`` uint32."""
        return np.stack([self._minhash(f"{p.report.findings} {p.report.impression}") for p in pairs])

    def reject(self, signatures: npt.NDArray[Any]) -> list[str | None]:
        """Return for each pair, in the order of the indices, that it is like earlier ones, or None."""
        reasons: list[str | None] = []
        bands = np.ascontiguousarray(signatures).reshape(len(signatures), _BANDS, -1)
        buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
        for i, signature in enumerate(signatures):
            if (signature == _NO_TEXT).all():  # data with labels alone
                reasons.append(None)
                continue
            keys = [(b, band.tobytes()) for b, band in enumerate(bands[i])]
            near = sorted({j for key in keys for j in buckets.get(key, ())})
            share = (signatures[near] == signature).mean(1) if near else np.empty(0)
            alike = share[share >= self.threshold]
            if len(alike) >= self.copies:
                reasons.append(f"report again: like {len(alike)} earlier ones, {alike.max():.2f}")
                continue
            reasons.append(None)
            for key in keys:
                buckets[key].append(i)
        return reasons

    def describe(self) -> dict[str, Any]:
        """Everything the decision depends on."""
        return {"threshold": self.threshold, "copies": self.copies, "run": self.run}

    def _minhash(self, text: str) -> npt.NDArray[Any]:
        words = _WORD.findall(text.lower())
        if not words:
            return np.full(_HASHES, _NO_TEXT, np.uint32)
        runs = {" ".join(words[i : i + self.run]) for i in range(max(1, len(words) - self.run + 1))}
        digests = b"".join(hashlib.blake2b(r.encode(), digest_size=8).digest() for r in sorted(runs))
        values = np.frombuffer(digests, np.uint64)[:, None]
        # Multiply and shift (Dietzfelbinger et al. 1997); the products wrap round on purpose.
        return ((values * _FACTORS + _TERMS) >> np.uint64(32)).min(0).astype(np.uint32)
