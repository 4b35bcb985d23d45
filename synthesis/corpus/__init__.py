"""A corpus on disk: made by many processes, filtered, fingerprinted, described, exported.

``<root>/<split>/`` holds the pairs: a file, its ledger and what the corpus filters look at, for each range of
indices; once all are there, ``manifest.json``, by which `synthesis.cache.PairCache` reads them. Nothing that
is written is rewritten: what corpus filters refuse stays in its file, and the manifest leaves it out.
"""

from synthesis.corpus.card import data_card, write_card
from synthesis.corpus.make import Made, make_corpus
from synthesis.corpus.parquet_export import export_parquet
from synthesis.corpus.plan import CorpusPlan, Part
from synthesis.corpus.webdataset_export import export_webdataset

__all__ = [
    "CorpusPlan",
    "Made",
    "Part",
    "data_card",
    "export_parquet",
    "export_webdataset",
    "make_corpus",
    "write_card",
]
