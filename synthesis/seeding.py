"""Seeds: every random number of a pair comes from (seed, split, index) and a purpose, not from global state.

A pair is therefore the same for any number of workers, ranks, batch size, and after a restart.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np


def pair_seed(seed: int, split: str, index: int) -> int:
    """Return the seed of one pair.

    Args:
        seed: The run's seed, ≥ 0.
        split: Name of the split ("train", "val", "test" …); other splits hold other pairs.
        index: Number of the pair in its split, ≥ 0.

    Returns:
        A number in [0, 2**63): it fits a signed 64-bit tensor and seeds a ``torch.Generator``.

    Raises:
        ValueError: If ``seed`` or ``index`` is negative.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed={seed}, index={index}: a pair has no negative seed or number; give both ≥ 0.")
    sequence = np.random.SeedSequence((seed, crc32(split.encode()), index))
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


def generator(pair_seed: int, purpose: str) -> np.random.Generator:
    """Return the random numbers of one stage of the synthesis for one pair.

    Different purposes get independent streams: drawing more numbers for a report never changes its image.

    Args:
        pair_seed: What `pair_seed` returned, ≥ 0.
        purpose: Name of the stage ("case", "report", "anatomy" …).

    Returns:
        A fresh generator, at the start of that stream.
    """
    # The 32-bit words that numpy would cut both numbers into, in a third of the time.
    words = [pair_seed & 0xFFFFFFFF, pair_seed >> 32] if pair_seed >> 32 else [pair_seed]
    sequence = np.random.SeedSequence(np.array([*words, crc32(purpose.encode())], dtype=np.uint32))
    return np.random.Generator(np.random.PCG64(sequence))
