"""A pair, and the composition that makes it: cases → reports → images → filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from synthesis.cases import Case, CaseSampler, View
from synthesis.concepts import ConceptCatalog
from synthesis.identity import identity, json_sha256
from synthesis.images.image_maker import ImageMaker, MadeImages
from synthesis.reports.report import Report
from synthesis.reports.report_writer import ReportWriter
from synthesis.seeding import pair_seed


@dataclass(frozen=True)
class Rejection:
    """Why a drawing of a pair was rejected.

    Attributes:
        kind: What rejections are counted by, e.g. "blurred".
        detail: The figures or words behind it; may be empty.
    """

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


_MOST_ATTEMPTS = 10_000

NO_REPORT = Rejection("no report")
"""Why a drawing is rejected whose report the writer dropped."""


@dataclass
class Pair:
    """A radiograph, its report and the truth about both.

    Attributes:
        index: Number of the pair in its split.
        case: What the image shows. Labels come from here.
        report: The report.
        image: uint8 ``(1, height, width)``: 255 times the intensity, rounded.
        masks: bool ``(finding, height, width)`` in the order of ``case.findings``; None if the maker knows
            none.
        notes: What was done to the pair, over all its drawings, for people to read: what of a language model
            was not accepted, how it was damaged on purpose. No program reads them.
        attempt: Which drawing this is, from 0: each is made from another stream of random numbers.
        rejections: Why the drawings before this one were rejected, in their order; of a pair that was
            rejected on every attempt, this one too.
        unwritten: Whether the writer dropped every case that was drawn, so that there is no report.
    """

    index: int
    case: Case
    report: Report
    image: Tensor
    masks: Tensor | None
    notes: tuple[str, ...] = ()
    attempt: int = 0
    rejections: tuple[Rejection, ...] = ()
    unwritten: bool = False

    @property
    def view(self) -> View:
        """Projection."""
        return self.case.view

    def labels(self, catalog: ConceptCatalog) -> Tensor:
        """Return the labels ``(concept,)``, float32: see `Case.labels`."""
        return torch.from_numpy(self.case.labels(catalog))


@runtime_checkable
class PairFilter(Protocol):
    """Says which pairs are bad. A pure function of its configuration and the pair."""

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        """Return for each pair why it is rejected, or None."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return everything the decision depends on, as a JSON-able dict, for the fingerprint of a corpus."""
        ...


class PairSynthesizer:
    """Makes pair ``i`` of a split as a pure function of (configuration, seed, split, i).

    A pair that a filter rejects is drawn again from another seed for the same case, so that every index has a
    pair and the balance of the cases stays. Where the writer drops a report, the index gets another case: the
    balance shifts towards what the writer can say. Reasons are in `Pair.rejections`.

    Args:
        sampler: Draws the case of each index.
        writer: Writes the report of a case.
        image_maker: Draws the case (or the report).
        filters: Reject bad pairs, in this order.
        attempts: How often a case is drawn before its pair is given up, 1 to 10,000.

    Attributes:
        version: Of how sampler, writer, image maker and filters are put together, see `synthesis.identity`.
    """

    version: int = 1

    def __init__(
        self,
        sampler: CaseSampler,
        writer: ReportWriter,
        image_maker: ImageMaker,
        filters: Sequence[PairFilter] = (),
        attempts: int = 16,
    ) -> None:
        if not 1 <= attempts <= _MOST_ATTEMPTS:
            raise ValueError(
                f"attempts={attempts}: how often a case is drawn before it is given up; give 1 to "
                f"{_MOST_ATTEMPTS}."
            )
        self.sampler = sampler
        self.writer = writer
        self.image_maker = image_maker
        self.filters = tuple(filters)
        self.attempts = attempts

    @property
    def catalog(self) -> ConceptCatalog:
        """The concepts, in label order."""
        return self.sampler.catalog

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.image_maker.image_size

    def make(self, indices: Sequence[int], seed: int, split: str) -> list[Pair]:
        """Make the pairs of some indices; what else is asked for in the same call changes nothing.

        Args:
            indices: Numbers of the pairs in their split, ≥ 0, in any order.
            seed: The seed of the corpus, ≥ 0.
            split: Name of the split; other splits hold other pairs.

        Returns:
            The pairs in the order of ``indices``.

        Raises:
            RuntimeError: If an index gets no report, or the filters reject it, ``attempts`` times.
        """
        pairs, refused = self.offer(indices, seed, split)
        if refused:
            worst = pairs[refused[0]]
            drawings = "; ".join(map(str, worst.rejections))
            noted = f" (notes: {'; '.join(worst.notes)})" if worst.notes else ""
            raise RuntimeError(
                f"pair {worst.index} of {split!r} (seed {seed}) was rejected on every attempt: {drawings}"
                f"{noted}. Loosen that filter, give the writer a better model or a fallback, or raise "
                "attempts."
            )
        return pairs

    def offer(self, indices: Sequence[int], seed: int, split: str) -> tuple[list[Pair], list[int]]:
        """Make pairs like `make`, but without an error for those that get no report or are always rejected.

        Returns:
            A pair for each index, and the positions of those that were rejected on every attempt.
        """
        pairs = self._draw(indices, seed, split)
        refused = self._refuse(pairs, range(len(pairs)))
        for attempt in range(1, self.attempts):
            waiting = [k for k in refused if not pairs[k].unwritten]
            if not waiting:
                break
            redrawn = self._draw([pairs[k].index for k in waiting], seed, split, attempt)
            for k, pair in zip(waiting, redrawn, strict=True):
                pair.notes = pairs[k].notes + pair.notes
                pair.rejections = pairs[k].rejections
                pairs[k] = pair
            still = set(self._refuse(pairs, waiting))
            refused = [k for k in refused if k in still or k not in waiting]
        return pairs, refused

    def draw(self, indices: Sequence[int], seed: int, split: str, attempt: int = 0) -> list[Pair]:
        """Draw pairs without asking the filters: `Pair.rejections` ``[k]`` is about attempt ``k``."""
        return self._draw(indices, seed, split, attempt)

    def describe(self) -> dict[str, Any]:
        """Return everything a pair depends on besides seed, split and index, as a JSON-able dict."""
        return {
            "catalog": self.catalog.sha256,
            "sampler": identity(self.sampler),
            "writer": identity(self.writer),
            "image_maker": identity(self.image_maker),
            "filters": [identity(part) for part in self.filters],
            "attempts": self.attempts,
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its `identity` as canonical JSON: equal fingerprints, equal pairs."""
        return json_sha256(identity(self))

    def _draw(self, indices: Sequence[int], seed: int, split: str, attempt: int = 0) -> list[Pair]:
        seeds = [pair_seed(seed, drawing_stream(split, attempt), i) for i in indices]
        cases, reports, notes, unwritten = self._write(indices, seeds, seed, split)
        made = self.image_maker.make(cases, reports, seeds)
        _check(made, len(cases))
        changed = [k for k, case in enumerate(cases) if made.cases[k] != case and not reports[k].dropped]
        rewritten = self.writer.write([made.cases[k] for k in changed], [seeds[k] for k in changed])
        for k, report in zip(changed, rewritten, strict=True):
            reports[k] = report
            notes[k] += report.notes
        images = grey_levels(made.images, indices)
        masks = None if made.masks is None else [mask.cpu() for mask in made.masks]
        texts = [replace(report, notes=()) for report in reports]
        return [
            Pair(
                index=i,
                case=made.cases[k],
                report=texts[k],
                image=images[k],
                masks=masks[k] if masks else None,
                notes=notes[k],
                attempt=attempt,
                unwritten=k in unwritten,
            )
            for k, i in enumerate(indices)
        ]

    def _write(
        self, indices: Sequence[int], seeds: Sequence[int], seed: int, split: str
    ) -> tuple[list[Case], list[Report], list[tuple[str, ...]], frozenset[int]]:
        """Draw the cases and have them written; one whose report is dropped gives way to another.

        One whose every case is dropped keeps its last, and its position is among those returned last.
        """
        cases: dict[int, Case] = {}
        reports: dict[int, Report] = {}
        notes: list[tuple[str, ...]] = [()] * len(indices)
        waiting = list(range(len(indices)))
        for again in range(self.attempts):
            stream = f"{split}/case-{again}" if again else split
            cases |= {k: self.sampler.sample(seed, stream, indices[k]) for k in waiting}
            written = self.writer.write([cases[k] for k in waiting], [seeds[k] for k in waiting])
            reports |= zip(waiting, written, strict=True)
            for k in waiting:
                notes[k] += reports[k].notes
            waiting = [k for k in waiting if reports[k].dropped]
            if not waiting:
                break
        places = sorted(cases)
        return [cases[k] for k in places], [reports[k] for k in places], notes, frozenset(waiting)

    def _refuse(self, pairs: list[Pair], candidates: Sequence[int]) -> list[int]:
        """Say on each refused candidate why, and return the positions of the refused."""
        accepted = [k for k in candidates if not pairs[k].report.dropped]
        refused = [k for k in candidates if pairs[k].report.dropped]
        for k in refused:
            pairs[k].rejections += (NO_REPORT,)
        for part in self.filters:
            reasons = part.reject([pairs[k] for k in accepted]) if accepted else []
            for k, reason in zip(accepted, reasons, strict=True):
                if reason is not None:
                    pairs[k].rejections += (reason,)
                    refused.append(k)
            accepted = [k for k, reason in zip(accepted, reasons, strict=True) if reason is None]
        return sorted(refused)


def grey_levels(images: torch.Tensor, indices: Sequence[int] = ()) -> torch.Tensor:
    """Return images in [0, 1] as the uint8 of `Pair.image`, on the CPU.

    Args:
        images: As a maker returns them.
        indices: Number of each image's pair, for messages.

    Raises:
        ValueError: If a value is NaN or outside [0, 1]: it would become an arbitrary grey value.
    """
    least, greatest = torch.aminmax(images) if images.numel() else (images, images)
    if images.numel() and not (least >= 0 and greatest <= 1):  # NaN, too
        wrong = ~((images >= 0) & (images <= 1))
        position = int(wrong.flatten(1).any(1).nonzero()[0])
        low, high = torch.aminmax(images[position])
        raise ValueError(
            f"the image maker returned values from {low.item():g} to {high.item():g} in "
            f"{int(wrong[position].sum()):,} of {wrong[position].numel():,} pixels"
            f"{f' of pair {indices[position]}' if indices else ''}; they must be in [0, 1]. Its weights are "
            f"damaged, or its numbers overflow: train or export it again, or give it dtype float32."
        )
    return images.mul(255).round().to(torch.uint8).cpu()


def drawing_stream(split: str, attempt: int) -> str:
    """Return the stream that an attempt at the pairs of a split draws from, for `pair_seed`."""
    return f"{split}/again-{attempt}" if attempt else split


def _check(made: MadeImages, count: int) -> None:
    """Raise if a maker returns another shape."""
    shape = tuple(made.images.shape)
    if shape[:2] != (count, 1) or len(shape) != 4:
        raise ValueError(
            f"the image maker returned shape {shape} for {count} cases; give ({count}, 1, height, width)."
        )
