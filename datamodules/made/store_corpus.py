"""A store of `make corpus`, opened to be trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.loading.sample import SampleSource
from datamodules.made.corpus import Corpus, Indices
from datamodules.made.corpus_error import CorpusError
from datamodules.made.pair_source import PairSource
from datamodules.texts.text_view import full_text
from synthesis.concepts import ConceptCatalog
from synthesis.store import PairStore, StoredPair

_CHUNK = 256


class StoreCorpus(Corpus):
    """Pairs with their cases and, where the image maker knew them, exact masks.

    Args:
        directory: Of the finished store.
        catalog: The concepts, in label order.
        image_size: Height and width of the images, in pixels.

    Raises:
        StoreError: If it is not finished, or a file is damaged.
        CorpusError: If it was made with another catalogue or image size.
    """

    made = True

    def __init__(self, directory: Path, catalog: ConceptCatalog, image_size: int) -> None:
        self.store = PairStore(directory)
        self.store.check_catalog(catalog)
        if self.store.manifest.image_size != image_size:
            raise CorpusError(
                f"{directory} holds images of {self.store.manifest.image_size} px, image_size is "
                f"{image_size}: give the model's image tower that size, or make the corpus anew."
            )
        self.catalog = catalog
        self.has_masks = self.store.manifest.has_masks

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.store)

    @property
    def sha256(self) -> str:
        """SHA-256 of the store's manifest."""
        return self.store.manifest.sha256

    def source(self, chosen: Indices, masks: bool) -> SampleSource:
        """See `Corpus.source`."""
        read = _Chosen(self.store, chosen, masks and self.has_masks)
        return PairSource(read, len(chosen), self.catalog, masks)

    def texts(self, chosen: Indices) -> Iterator[str]:
        """See `Corpus.texts`."""
        for start in range(0, len(chosen), _CHUNK):
            places = [int(place) for place in chosen[start : start + _CHUNK]]
            yield from (full_text(pair.report) for pair in self.store.stored(places))


class _Chosen:
    """Reads some pairs of a store by their position among those chosen; can go to another process."""

    def __init__(self, store: PairStore, chosen: Indices, masks: bool) -> None:
        self.store, self.chosen, self.masks = store, chosen, masks

    def __call__(self, indices: Sequence[int]) -> list[StoredPair]:
        return self.store.stored([int(self.chosen[i]) for i in indices], masks=self.masks)
