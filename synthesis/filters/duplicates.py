"""Filters that look at a pair beside the others of its corpus: near-duplicate images and reports."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from synthesis.filters.similarity import ImageEmbedder, Thumbnails
from synthesis.identity import identity
from synthesis.pairs import Pair, Rejection

_BLOCK = 1024  # images compared at once
_WORD = re.compile(r"\w+")
_HASHES, _BANDS = 128, 16
_RNG = np.random.Generator(np.random.PCG64(0))
_FACTORS = _RNG.integers(0, 2**63, _HASHES, np.uint64) * np.uint64(2) + np.uint64(1)
_TERMS = _RNG.integers(0, 2**63, _HASHES, np.uint64)
_NO_TEXT = np.uint32(2**32 - 1)  # no text has this for the least of its hashes, 128 times


@runtime_checkable
class CorpusFilter(Protocol):
    """Says which pairs of a corpus are bad beside the others.

    It compares signatures, and the signature of a pair is a pure function of the pair. Whether a pair is
    rejected depends only on its own signature and on those with lower indices. So the answer is the same
    however many processes made the corpus, and in whichever order; and a corpus that grows loses no pair.
    """

    def sign(self, pairs: Sequence[Pair]) -> npt.NDArray[Any]:
        """Return the signature of each pair: an array ``(pairs, …)`` of numbers."""
        ...

    def reject(self, signatures: npt.NDArray[Any]) -> list[Rejection | None]:
        """Return for each pair, in the order of the indices, why it is rejected, or None."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on, as a JSON-able dict, for the fingerprint of a corpus."""
        ...


class NearDuplicateImages:
    """Rejects an image that is nearly the same as an accepted one with a lower index.

    Args:
        embedder: Says how alike two images are; None compares thumbnails.
        threshold: From which product of two vectors on they are the same image, in (0, 1]. Of 300 simulated
            radiographs the two most alike had 0.86. Of copies in another frame, exposure and noise half had
            at least 0.92 at 64 px, all at least 0.89 at 128 px.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(self, embedder: ImageEmbedder | None = None, threshold: float = 0.88) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold}: a product of unit vectors; give one above 0, up to 1.")
        self.embedder = embedder or Thumbnails()
        self.threshold = threshold

    def sign(self, pairs: Sequence[Pair]) -> npt.NDArray[Any]:
        """Return the vector of each image, ``(pairs, dim)`` float16."""
        images = torch.stack([pair.image[:1] for pair in pairs]).float() / 255
        return self.embedder.embed_images(images).numpy().astype(np.float16)

    def reject(self, signatures: npt.NDArray[Any]) -> list[Rejection | None]:
        """Return for each pair, in the order of the indices, that it is like an earlier one, or None."""
        reasons: list[Rejection | None] = [None] * len(signatures)
        kept = np.empty_like(signatures, dtype=np.float32)
        count = 0
        for start in range(0, len(signatures), _BLOCK):
            block = signatures[start : start + _BLOCK].astype(np.float32)
            before = (block @ kept[:count].T).max(1) if count else np.full(len(block), -1, np.float32)
            within = np.tril(block @ block.T, -1)
            left = np.zeros(len(block), bool)
            for i in range(len(block)):
                nearest = max(float(before[i]), float(within[i, :i][left[:i]].max(initial=-1)))
                left[i] = nearest < self.threshold
                if not left[i]:
                    reasons[start + i] = Rejection("image twice", f"like an earlier one, {nearest:.3f}")
            chosen = block[left]
            kept[count : count + len(chosen)] = chosen
            count += len(chosen)
        return reasons

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
        return {"embedder": identity(self.embedder), "threshold": self.threshold}


class NearDuplicateReports:
    """Rejects a report that nearly equals ``copies`` accepted ones with lower indices, or more.

    A pair without a report is never rejected.

    How alike two reports are is the Jaccard index of their runs of words, estimated by MinHash (Broder 1997)
    with 128 hashes (standard error ≤ 0.044). Only reports that agree in a band of 8 hashes are compared; of
    those with an index of 0.9, this misses 0.01 %.

    Args:
        threshold: From which Jaccard index on two reports are alike, in [0.8, 1].
        copies: How many reports that are alike may stay, ≥ 1.
        run: Number of words in a run, ≥ 1.
    """

    version: int = 1  # of the results, see synthesis.identity

    def __init__(self, threshold: float = 0.9, copies: int = 1, run: int = 3) -> None:
        if not 0.8 <= threshold <= 1:
            raise ValueError(f"threshold={threshold}: the search misses less similar ones; give 0.8 to 1.")
        if copies < 1 or run < 1:
            raise ValueError(f"copies={copies}, run={run}: give 1 or more of each.")
        self.threshold = threshold
        self.copies = copies
        self.run = run

    def sign(self, pairs: Sequence[Pair]) -> npt.NDArray[Any]:
        """Return the MinHash of each report, ``(pairs, 128)`` uint32."""
        return np.stack([self._minhash(f"{p.report.findings} {p.report.impression}") for p in pairs])

    def reject(self, signatures: npt.NDArray[Any]) -> list[Rejection | None]:
        """Return for each pair, in the order of the indices, that it is like earlier ones, or None."""
        reasons: list[Rejection | None] = []
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
                likeness = f"like {len(alike)} earlier ones, {alike.max():.2f}"
                reasons.append(Rejection("report again", likeness))
                continue
            reasons.append(None)
            for key in keys:
                buckets[key].append(i)
        return reasons

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on."""
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
