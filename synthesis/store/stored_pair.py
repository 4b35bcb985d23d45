"""A pair of a store of which only what is asked for is read."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from synthesis.cases import Case, View
from synthesis.concepts import ConceptCatalog
from synthesis.reports.report import Report
from synthesis.store.shard import Shard


class StoredPair:
    """What training asks of a `Pair`; report, case and masks are read, and unpacked, when they are asked for.

    Args:
        shard: The file.
        position: Number of the pair in it.
        has_masks: Whether its masks may be read; else they are None.
    """

    def __init__(self, shard: Shard, position: int, has_masks: bool) -> None:
        self._shard, self._position, self._has_masks = shard, position, has_masks

    @property
    def index(self) -> int:
        """Number of the pair in its split."""
        return self._shard.indices[self._position]

    @property
    def view(self) -> View:
        """Projection."""
        return self._shard.views[self._position]

    @property
    def image(self) -> Tensor:
        """The image, uint8 ``(1, height, width)``, as it lies in the file: to be copied, not changed."""
        return self._shard.image(self._position)

    @cached_property
    def report(self) -> Report:
        """The report."""
        return self._shard.report(self._position)

    @cached_property
    def case(self) -> Case:
        """What the image shows."""
        return self._shard.case(self._position)

    @cached_property
    def masks(self) -> Tensor | None:
        """See `Pair.masks`."""
        return self._shard.masks(self._position) if self._has_masks else None

    def labels(self, catalog: ConceptCatalog) -> Tensor:
        """See `Pair.labels`; the catalogue is that of the store."""
        return self._shard.labels(self._position, catalog)
