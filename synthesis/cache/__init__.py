"""Pairs on disk: made once, read many times, never read when stale or damaged.

``<root>/<first 16 hex digits of the fingerprint>/<split>/`` holds shards of a fixed number of pairs and, once
all are there, ``manifest.json``. A shard appears whole or not at all, and its name carries its range and the
start of its SHA-256, so that a filling that was killed goes on where it was: only unfinished shards are made
again.
"""

from synthesis.cache.fill import fill, recipe, split_directory
from synthesis.cache.manifest import CacheError, DamagedCacheError, StaleCacheError
from synthesis.cache.pair_cache import PairCache

__all__ = [
    "CacheError",
    "DamagedCacheError",
    "PairCache",
    "StaleCacheError",
    "fill",
    "recipe",
    "split_directory",
]
