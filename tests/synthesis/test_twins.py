from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from synthesis.corruption import ClinicSynthesizer
from synthesis.counterparts import TwinKind
from synthesis.images.image_maker import MadeImages
from synthesis.pairs import Pair, PairSynthesizer, Rejection
from synthesis.reports.report import Report
from synthesis.reports.report_writer import ReportWriter
from synthesis.seeding import pair_seed
from synthesis.store import StorePlan, fill_cache
from synthesis.twins import TwinSynthesizer

COUNT = 16


@pytest.fixture(scope="module")
def pairs(synthesizer: PairSynthesizer) -> list[Pair]:
    return synthesizer.make(range(COUNT), 3, "train")


@pytest.fixture(scope="module")
def twins(synthesizer: PairSynthesizer) -> list[Pair]:
    return TwinSynthesizer(synthesizer).make(range(COUNT), 3, "train")


def same(a: Pair, b: Pair) -> bool:
    return (a.index, a.case, a.report, a.notes) == (b.index, b.case, b.report, b.notes) and torch.equal(
        a.image, b.image
    )


def test_a_twin_lacks_one_finding_and_nothing_else(
    synthesizer: PairSynthesizer, pairs: list[Pair], twins: list[Pair]
) -> None:
    switched = 0
    for pair, twin in zip(pairs, twins, strict=True):
        assert twin.index == pair.index and twin.masks is None
        if not pair.case.findings:
            assert twin.case == pair.case and torch.equal(twin.image, pair.image)
            assert twin.notes == ("no twin: nothing to switch off",)
            continue
        switched += 1
        (off,) = set(pair.case.findings) - set(twin.case.findings)
        assert twin.case == pair.case.without(pair.case.findings.index(off))
        assert twin.notes == (f"switched off: {off.concept}",)
        changed = (twin.image != pair.image)[0]
        assert pair.masks is not None
        mask = pair.masks[pair.case.findings.index(off)]
        assert changed.any() and not (changed & ~mask).any(), "the picture differs where the finding was"
        before, after = pair.case.labels(synthesizer.catalog), twin.case.labels(synthesizer.catalog)
        assert twin.report != pair.report and (before != after).any()
    assert switched > COUNT / 2


def test_a_twin_is_a_pure_function_of_its_number(synthesizer: PairSynthesizer, twins: list[Pair]) -> None:
    order = [7, 2, 11]
    again = TwinSynthesizer(synthesizer).make(order, 3, "train")
    assert all(same(twin, twins[k]) for twin, k in zip(again, order, strict=True))
    other = TwinSynthesizer(synthesizer).make(order, 4, "train")
    assert not any(torch.equal(twin.image, twins[k].image) for twin, k in zip(other, order, strict=True))


@pytest.mark.parametrize("kind", ["swap", "side"])
def test_a_twin_shows_as_much_in_another_way(
    kind: TwinKind, synthesizer: PairSynthesizer, pairs: list[Pair]
) -> None:
    maker, catalog, changed = TwinSynthesizer(synthesizer, kind), synthesizer.catalog, 0
    for pair, twin in zip(pairs, maker.make(range(COUNT), 3, "train"), strict=True):
        if twin.case == pair.case:
            assert twin.notes[-1].startswith("no twin") and torch.equal(twin.image, pair.image)
            continue
        changed += 1
        assert len(twin.case.findings) == len(pair.case.findings) and not twin.case.contradictions(catalog)
        ((i, (old, new)),) = (
            (i, both)
            for i, both in enumerate(zip(pair.case.findings, twin.case.findings, strict=True))
            if both[0] != both[1]
        )
        assert catalog[old.concept].is_device == catalog[new.concept].is_device
        if kind == "side":
            assert old.concept == new.concept and {old.laterality, new.laterality} == {"left", "right"}
            assert (old.severity, old.certainty) == (new.severity, new.certainty)
        else:
            assert old.concept != new.concept and new.concept not in pair.case.concepts(catalog)
        drawn = synthesizer.image_maker.make([twin.case], None, [pair_seed(3, "train", pair.index)])
        assert torch.equal(drawn.images[0].mul(255).round().to(torch.uint8), twin.image)
        assert pair.masks is not None and drawn.masks is not None
        outside = ~(pair.masks[i] | drawn.masks[0][i])
        difference = (twin.image != pair.image)[0]
        assert difference.any() and not (difference & outside).any() and twin.report != pair.report
    assert changed > COUNT / 3


def test_kinds_of_twins_are_different_data(synthesizer: PairSynthesizer) -> None:
    told = [TwinSynthesizer(synthesizer, kind).describe() for kind in ("without", "swap", "side")]
    assert "kind" not in told[0] and told[1] != told[2] != told[0]  # stores of the first kind stay good


def test_twins_go_through_the_cache(synthesizer: PairSynthesizer, twins: list[Pair], tmp_path: Path) -> None:
    maker = TwinSynthesizer(synthesizer)
    plan = StorePlan(maker, COUNT, 3)
    store = fill_cache(tmp_path, plan, progress=False)
    assert all(same(a, b) for a, b in zip(store.pairs(range(COUNT)), twins, strict=True))
    assert not store.manifest.has_masks and store.manifest.concept_names == synthesizer.catalog.names
    other = StorePlan(synthesizer, COUNT, 3).recipe()
    assert plan.recipe() != other, "another fingerprint, so another directory"


class Refuse:
    """Refuses the first drawing of every second pair."""

    def reject(self, pairs: Any) -> list[Rejection | None]:
        return [Rejection("for the test") if p.index % 2 and not p.attempt else None for p in pairs]

    def describe(self) -> dict[str, Any]:
        return {}


def test_a_pair_drawn_again_has_the_twin_of_what_it_came_to(synthesizer: PairSynthesizer) -> None:
    filtered = PairSynthesizer(
        synthesizer.sampler, synthesizer.writer, synthesizer.image_maker, filters=[Refuse()]
    )
    for pair, twin in zip(
        filtered.make(range(6), 3, "train"), TwinSynthesizer(filtered).make(range(6), 3, "train"), strict=True
    ):
        assert pair.attempt == twin.attempt == pair.index % 2
        assert twin.notes[-1].startswith("switched off" if pair.case.findings else "no twin: nothing")


def test_a_damaged_pair_has_no_twin(synthesizer: PairSynthesizer) -> None:
    parts = (synthesizer.sampler, synthesizer.writer, synthesizer.image_maker)
    clinic = ClinicSynthesizer(*parts, mispaired=0.5, corrupted=0.5)
    kept = 0
    for pair, twin in zip(
        clinic.make(range(COUNT), 3, "train"),
        TwinSynthesizer(clinic).make(range(COUNT), 3, "train"),
        strict=True,
    ):
        if pair.notes and pair.case.findings:
            assert twin.notes == (*pair.notes, "no twin: drawn or written otherwise than the pair says")
            assert twin.case == pair.case and torch.equal(twin.image, pair.image)
        kept += twin.case != pair.case
    assert kept > 0


class Noting:
    """Writes as another does, with a note, and says nothing of a patient without findings."""

    def __init__(self, writer: ReportWriter) -> None:
        self.writer = writer

    def write(self, cases: Any, seeds: Any) -> list[Report]:
        return [
            replace(report, notes=("noted",)) if case.findings else Report("", "", ("noted",))
            for report, case in zip(self.writer.write(cases, seeds), cases, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        return {}


def test_a_twin_whose_report_is_dropped_is_none(synthesizer: PairSynthesizer) -> None:
    noting = PairSynthesizer(synthesizer.sampler, Noting(synthesizer.writer), synthesizer.image_maker)
    pairs, twins = (
        noting.make(range(COUNT), 3, "train"),
        TwinSynthesizer(noting).make(range(COUNT), 3, "train"),
    )
    first = [(p, t) for p, t in zip(pairs, twins, strict=True) if p.notes == ("noted",)]  # the case asked for
    assert {len(pair.case.findings) == 1 for pair, _ in first} == {True, False}
    for pair, twin in first:
        if len(pair.case.findings) == 1:
            assert twin.case == pair.case and "no twin" in twin.notes[-1]
        else:
            assert twin.notes[-1].startswith("switched off") and not twin.report.dropped


class Flat:
    """An image maker that knows nothing of findings."""

    image_size = 64

    def make(self, cases: Any, reports: Any, seeds: Any) -> MadeImages:
        return MadeImages(torch.zeros(len(cases), 1, 64, 64), None, tuple(cases))

    def describe(self) -> dict[str, Any]:
        return {}


def test_an_image_maker_without_twins_is_refused(synthesizer: PairSynthesizer) -> None:
    flat = PairSynthesizer(synthesizer.sampler, synthesizer.writer, Flat())
    with pytest.raises(TypeError, match=r"Flat cannot\. Take the simulator"):
        TwinSynthesizer(flat)
