"""The interface of image makers: from a case to its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from synthesis.cases import Case
from synthesis.reports.report import Report


@dataclass
class MadeImages:
    """Images, where their findings are, and what they show.

    Attributes:
        images: float32 ``(batch, 1, height, width)`` in [0, 1], air dark, the patient's right on the viewer's
            left.
        masks: For each image a bool tensor ``(finding, height, width)``, in the order of the findings of its
            entry in ``cases``; None if the maker knows no masks.
        cases: What each image shows: the case asked for, less the findings that could not be made visible.
    """

    images: Tensor
    masks: list[Tensor] | None
    cases: tuple[Case, ...]


@runtime_checkable
class ImageMaker(Protocol):
    """Draws cases.

    A maker is a pure function of its configuration, the case, the report and the seed: an image does not
    depend on the batch it is made in (bit for bit where the maker is deterministic, else within a tolerance
    that it states), on what was made before, or on any global random state.

    Attributes:
        image_size: Height and width of the images, in pixels.
    """

    image_size: int

    def make(
        self, cases: Sequence[Case], reports: Sequence[Report] | None, seeds: Sequence[int]
    ) -> MadeImages:
        """Draw one image a case.

        Args:
            cases: What to show.
            reports: The report of each case, for makers that are conditioned on text; None if there is none.
            seeds: The pair seed of each case (see `synthesis.seeding.pair_seed`), as many as ``cases``.

        Returns:
            The images in the order of ``cases``.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return everything the image depends on, as a JSON-able dict, for the fingerprint of a corpus."""
        ...


@runtime_checkable
class TwinImageMaker(ImageMaker, Protocol):
    """Draws cases, and the same pictures with one finding switched off."""

    def twins(
        self, cases: Sequence[Case], seeds: Sequence[int], which: Sequence[int]
    ) -> tuple[MadeImages, Tensor]:
        """Draw cases and their counterfactual twins.

        Args:
            cases: What to show.
            seeds: The pair seed of each case.
            which: Index of the finding of each case to switch off, counted in the case shown.

        Returns:
            The images as `make` gives them, and the twins ``(batch, 1, height, width)``.
        """
        ...


@runtime_checkable
class RevisitingImageMaker(ImageMaker, Protocol):
    """Draws cases, and the same patients at another visit."""

    def revisit(self, cases: Sequence[Case], seeds: Sequence[int], visits: Sequence[int]) -> MadeImages:
        """Draw patients at another visit: the same anatomy, another exposure and noise.

        Args:
            cases: What to show.
            seeds: The pair seed of each patient.
            visits: Seed of each visit.

        Returns:
            The images in the order of ``cases``.
        """
        ...


@runtime_checkable
class RerenderingImageMaker(ImageMaker, Protocol):
    """Draws cases, and other radiographs of the same patients with the same findings."""

    def rerender(self, cases: Sequence[Case], seeds: Sequence[int], visits: Sequence[int]) -> MadeImages:
        """Draw patients once more: everything anew that is neither the patient's nor a finding's.

        Args:
            cases: What to show.
            seeds: The pair seed of each patient.
            visits: Seed of exposure, detector, processing, positioning and overlay.

        Returns:
            The images in the order of ``cases``.
        """
        ...


@runtime_checkable
class OrganImageMaker(ImageMaker, Protocol):
    """Draws cases, and knows where the organs are in them."""

    def organs(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Tensor]:
        """Return where the organs are in the images that `make` draws.

        Args:
            cases: What the images show.
            seeds: The pair seed of each case.

        Returns:
            Of each image the masks of `synthesis.organ_names.ORGANS`, bool ``(organ, height, width)``.
        """
        ...
