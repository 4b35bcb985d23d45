"""Pairs on disk: made once by many processes, read many times, never read when stale or damaged.

`StorePlan` says what is made. `fill` makes it: it may be killed at any time and called again, also by several
processes at once. `PairStore` reads the result at random. A cache is a store that training fills for itself
(`fill_cache`); a corpus is one with filters that look at a pair beside the others, a data card and exports.

A directory ``<root>/<split>/`` holds, for each range of indices, the pairs (``….safetensors``), what the
corpus filters look at, and a ledger that is written last; once all are there, ``manifest.json``. Nothing that
is written is rewritten: what corpus filters refuse stays in its file, and the manifest leaves it out.
"""

from synthesis.store.card import data_card, write_card
from synthesis.store.errors import DamagedStoreError, StaleStoreError, StoreError
from synthesis.store.fill import fill, fill_cache
from synthesis.store.ledger import Refused
from synthesis.store.pair_store import PairStore
from synthesis.store.parquet_export import export_parquet
from synthesis.store.plan import Maker, StorePlan, cache_directory
from synthesis.store.share import Share
from synthesis.store.stored_pair import StoredPair
from synthesis.store.webdataset_export import export_webdataset

__all__ = [
    "DamagedStoreError",
    "Maker",
    "PairStore",
    "Refused",
    "Share",
    "StaleStoreError",
    "StoreError",
    "StorePlan",
    "StoredPair",
    "cache_directory",
    "data_card",
    "export_parquet",
    "export_webdataset",
    "fill",
    "fill_cache",
    "write_card",
]
