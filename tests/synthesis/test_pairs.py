from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthesis.cases import BalancedCaseSampler, Case, UniformCaseSampler
from synthesis.corruption import ClinicSynthesizer
from synthesis.identity import json_sha256
from synthesis.images.image_maker import MadeImages
from synthesis.pairs import NO_REPORT, Pair, PairFilter, PairSynthesizer, Rejection
from synthesis.reports.grammar import GrammarWriter
from synthesis.reports.report import Report
from synthesis.seeding import pair_seed


class Shade:
    """The simplest image maker: grey of its seed; the last finding of a case cannot be made visible."""

    image_size = 4

    def make(
        self, cases: Sequence[Case], reports: Sequence[Report] | None, seeds: Sequence[int]
    ) -> MadeImages:
        images = torch.tensor([(seed % 256) / 255 for seed in seeds]).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
        shown = tuple(case.without(len(case.findings) - 1) if case.findings else case for case in cases)
        return MadeImages(images, [torch.ones(len(case.findings), 4, 4) > 0 for case in shown], shown)

    def describe(self) -> dict[str, object]:
        return {}


BRIGHT = Rejection("bright", "too much so")


class Darker:
    """A filter: refuses what is brighter than a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def reject(self, pairs: Sequence[Pair]) -> list[Rejection | None]:
        return [BRIGHT if int(pair.image.max()) > self.limit else None for pair in pairs]

    def describe(self) -> dict[str, int]:
        return {"limit": self.limit}


def shaded(filters: Sequence[PairFilter] = (), attempts: int = 16) -> PairSynthesizer:
    return PairSynthesizer(UniformCaseSampler(), GrammarWriter(), Shade(), filters, attempts)


def assert_same(a: Pair, b: Pair) -> None:
    for field in ("index", "case", "report", "notes", "attempt", "rejections", "unwritten"):
        assert getattr(a, field) == getattr(b, field)
    assert a.image.dtype == torch.uint8
    assert torch.equal(a.image, b.image)
    assert a.masks is not None and b.masks is not None
    assert a.masks.dtype == torch.bool and torch.equal(a.masks, b.masks)


@pytest.fixture(scope="module")
def first(synthesizer: PairSynthesizer) -> list[Pair]:
    return synthesizer.make(range(24), seed=3, split="train")


def test_pairs_have_one_mask_a_finding_and_the_shape_of_the_maker(
    synthesizer: PairSynthesizer, first: list[Pair]
) -> None:
    size = synthesizer.image_size
    for i, pair in enumerate(first):
        assert pair.index == i
        assert pair.image.shape == (1, size, size)
        assert pair.masks is not None and pair.masks.shape == (len(pair.case.findings), size, size)
        assert pair.report.findings or pair.report.impression
    assert len({pair.image.numpy().tobytes() for pair in first}) == len(first)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indices=st.lists(st.integers(0, 23), min_size=1, max_size=6))
def test_a_pair_does_not_depend_on_what_it_is_made_with(
    synthesizer: PairSynthesizer, first: list[Pair], indices: list[int]
) -> None:
    for pair in synthesizer.make(indices, seed=3, split="train"):
        assert_same(pair, first[pair.index])


def test_a_fresh_synthesizer_of_the_same_configuration_makes_the_same_pairs(first: list[Pair]) -> None:
    from synthesis.images.simulator import Simulator

    size = first[0].image.shape[-1]
    again = PairSynthesizer(BalancedCaseSampler(), GrammarWriter(), Simulator(image_size=size))
    for pair in again.make([20, 7], seed=3, split="train"):
        assert_same(pair, first[pair.index])


@pytest.mark.parametrize(("seed", "split"), [(4, "train"), (3, "val")])
def test_other_seed_or_split_other_pairs(
    synthesizer: PairSynthesizer, first: list[Pair], seed: int, split: str
) -> None:
    others = synthesizer.make(range(6), seed, split)
    assert not any(torch.equal(a.image, b.image) for a, b in zip(others, first, strict=False))


def test_no_global_random_state_is_used_or_changed(synthesizer: PairSynthesizer, first: list[Pair]) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    pair = synthesizer.make([2], seed=3, split="train")[0]
    assert torch.equal(before, torch.get_rng_state())
    assert_same(pair, first[2])


def test_the_report_is_of_the_case_shown_where_a_finding_could_not_be_made_visible() -> None:
    synthesizer = shaded()
    pairs = synthesizer.make(range(40), 0, "train")
    dropped = 0
    for pair in pairs:
        asked = synthesizer.sampler.sample(0, "train", pair.index)
        dropped += pair.case != asked
        seed = pair_seed(0, "train", pair.index)
        assert pair.report == synthesizer.writer.write([pair.case], [seed])[0]
    assert dropped > 20


def test_a_refused_pair_is_drawn_again_for_the_same_case_and_says_why() -> None:
    plain, filtered = shaded(), shaded([Darker(180)])
    before, after = (s.make(range(60), 0, "train") for s in (plain, filtered))
    refused = [k for k, pair in enumerate(before) if pair.image.max() > 180]
    assert 5 < len(refused) < 40
    for k, (old, new) in enumerate(zip(before, after, strict=True)):
        assert new.image.max() <= 180
        assert new.case == old.case
        if k in refused:
            assert new.attempt == len(new.rejections) > 0 and set(new.rejections) == {BRIGHT}
        else:
            assert_same(new, old)
    for pair in filtered.make([refused[1]], 0, "train"):  # alone as in company
        assert_same(pair, after[refused[1]])


def test_filters_that_nothing_pleases_are_named() -> None:
    with pytest.raises(
        RuntimeError,
        match=r"pair 5 of 'val' \(seed 1\) .* attempt: (bright: too much so(; )?){3}\..*attempts",
    ):
        shaded([Darker(-1)], attempts=3).make([5], 1, "val")


def test_refused_drawings_can_be_looked_at_and_hopeless_pairs_done_without() -> None:
    filtered = shaded([Darker(180)], attempts=2)
    pairs, refused = filtered.offer(range(60), 0, "train")
    assert 1 < len(refused) < 20
    with pytest.raises(RuntimeError, match=f"pair {refused[0]} of 'train'"):
        filtered.make(range(60), 0, "train")
    for k, pair in enumerate(pairs):
        for attempt, why in enumerate(pair.rejections):
            assert why == BRIGHT
            assert filtered.draw([k], 0, "train", attempt)[0].image.max() > 180
        assert (len(pair.rejections) == 2) == (k in refused)
        if k not in refused:
            assert_same(filtered.draw([k], 0, "train", pair.attempt)[0], replace(pair, rejections=()))


def test_notes_tell_what_was_done_to_each_drawing() -> None:
    clinic = ClinicSynthesizer(
        UniformCaseSampler(),
        GrammarWriter(),
        Shade(),
        [Darker(180)],
        mispaired=0,
        corrupted=1,
        kinds={"inverted": 1},
    )
    pairs = clinic.make(range(40), 0, "train")
    assert all(pair.notes == ("image: inverted",) * (pair.attempt + 1) for pair in pairs)
    assert any(pair.attempt for pair in pairs)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((2, 1, 4, 4), float("nan")), "values from nan"),
        (
            torch.full((2, 1, 4, 4), 1.5),
            r"values from 1.5 to 1.5 in 16 of 16 pixels of pair 0; they must be in \[0, 1\]",
        ),
        (torch.zeros(2, 3, 4, 4), r"shape \(2, 3, 4, 4\) for 2 cases"),
    ],
)
def test_a_broken_maker_is_refused(
    images: torch.Tensor, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = lambda self, cases, reports, seeds: MadeImages(images, None, tuple(cases))  # noqa: E731
    monkeypatch.setattr(Shade, "make", broken)
    with pytest.raises(ValueError, match=message):
        shaded().make([0, 1], 0, "train")


def test_images_without_masks_make_pairs_without_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(self: Shade, cases: Sequence[Case], reports: object, seeds: Sequence[int]) -> MadeImages:
        return MadeImages(torch.full((len(cases), 1, 4, 4), 0.5), None, tuple(cases))

    monkeypatch.setattr(Shade, "make", make)
    pair = shaded().make([0], 0, "train")[0]
    assert pair.masks is None
    assert pair.image.unique().tolist() == [128]


def test_the_fingerprint_names_the_configuration_and_nothing_else() -> None:
    assert shaded().fingerprint == shaded().fingerprint
    assert shaded().fingerprint != shaded([Darker(3)]).fingerprint != shaded([Darker(4)]).fingerprint
    warmer = PairSynthesizer(UniformCaseSampler(ap_rate=0.41), GrammarWriter(), Shade())
    assert warmer.fingerprint != shaded().fingerprint
    described = shaded().describe()
    assert described == json.loads(json.dumps(described))
    assert described["catalog"] == shaded().catalog.sha256
    assert described["image_maker"]["name"] == f"{__name__}.Shade"
    assert json_sha256({"a": 1, "b": [2]}) == json_sha256({"b": (2,), "a": 1})


def test_zero_attempts_are_refused() -> None:
    with pytest.raises(ValueError, match="attempts=0"):
        shaded(attempts=0)


def test_a_pair_is_plain_data(first: list[Pair]) -> None:
    assert {field.name for field in dataclasses.fields(first[0])} == {
        "index", "case", "report", "image", "masks", "notes", "attempt", "rejections", "unwritten",
    }  # fmt: skip


class Fussy:
    """A writer that drops every report in which its concept leads, and notes what it does."""

    def __init__(self, concept: str | None) -> None:
        self.concept = concept
        self.grammar = GrammarWriter()

    def write(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Report]:
        reports = []
        for case, report in zip(cases, self.grammar.write(cases, seeds), strict=True):
            lead = case.findings[0].concept if case.findings else None
            refused = self.concept in (lead, "everything")
            reports.append(
                Report("", "", (f"dropped {lead}",))
                if refused
                else dataclasses.replace(report, notes=(f"wrote {lead}",))
            )
        return reports

    def describe(self) -> dict[str, object]:
        return {"concept": self.concept}


def test_a_dropped_report_gives_way_to_another_case_and_the_reason_stays() -> None:
    from synthesis.images.simulator import Simulator

    sampler = UniformCaseSampler(normal_rate=0.0)
    plain = PairSynthesizer(sampler, GrammarWriter(), Simulator(image_size=64))
    fussy = PairSynthesizer(sampler, Fussy("nodule"), Simulator(image_size=64))
    indices = range(24)
    leads = {i: sampler.sample(1, "train", i).findings[0].concept for i in indices}
    assert "nodule" in leads.values()
    pairs = fussy.make(indices, 1, "train")
    for pair, usual in zip(pairs, plain.make(indices, 1, "train"), strict=True):
        assert not pair.report.dropped and pair.report.notes == ()
        if leads[pair.index] == "nodule":
            assert pair.notes[0] == "dropped nodule"
            assert pair.case != usual.case and "wrote" in pair.notes[-1]
        else:
            assert (pair.case, pair.report) == (usual.case, usual.report)
            assert torch.equal(pair.image, usual.image)
    again = fussy.make([i for i in indices if leads[i] == "nodule"], 1, "train")
    assert [pair.notes for pair in again] == [p.notes for p in pairs if leads[p.index] == "nodule"]


def test_an_index_for_which_nothing_can_be_written_is_given_up_and_the_others_are_not() -> None:
    """After as many cases as attempts, and no more: a language model that cannot do it is slow to say so."""

    class Reluctant(Fussy):
        """Drops the reports of one index."""

        asked = 0

        def write(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Report]:
            hopeless = {pair_seed(0, "val", 4), pair_seed(0, "val/again-1", 4)}
            self.asked += sum(seed in hopeless for seed in seeds)
            reports = self.grammar.write(cases, seeds)
            return [
                Report("", "", ("dropped",)) if seed in hopeless else report
                for report, seed in zip(reports, seeds, strict=True)
            ]

    writer = Reluctant(None)
    synthesizer = PairSynthesizer(UniformCaseSampler(), writer, Shade(), attempts=3)
    pairs, refused = synthesizer.offer([3, 4, 5], 0, "val")
    assert refused == [1] and writer.asked == 3
    assert pairs[1].notes == ("dropped",) * 3 and pairs[1].unwritten
    assert pairs[1].rejections == (NO_REPORT,) and not pairs[0].unwritten
    assert [pair.report.dropped for pair in pairs] == [False, True, False]
    with pytest.raises(RuntimeError, match=r"pair 4 of 'val' .*: no report \(notes: dropped; .*a fallback"):
        synthesizer.make([4], 0, "val")


def test_a_report_dropped_because_the_maker_changed_the_case_has_the_pair_drawn_again() -> None:
    class OnlyWhole(Fussy):
        """Drops the reports of cases without findings: those that `Shade` left empty."""

        def write(self, cases: Sequence[Case], seeds: Sequence[int]) -> list[Report]:
            return [
                report if case.findings else Report("", "", ("dropped",))
                for case, report in zip(cases, self.grammar.write(cases, seeds), strict=True)
            ]

    sampler = UniformCaseSampler(findings_per_case=[1.0], device_rate=0.0)  # so `Shade` empties every case
    with pytest.raises(RuntimeError, match=r": no report; no report \(notes: dropped; dropped\)\. Loosen"):
        PairSynthesizer(sampler, OnlyWhole(None), Shade(), attempts=2).make(range(3), 0, "train")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1.3, -0.1])
def test_pixels_that_are_no_grey_values_are_named_not_cast(bad: float) -> None:
    class Broken(Shade):
        def make(
            self, cases: Sequence[Case], reports: Sequence[Report] | None, seeds: Sequence[int]
        ) -> MadeImages:
            made = super().make(cases, reports, seeds)
            made.images = made.images.clone()
            made.images[1, 0, 2, 3] = bad
            return made

    broken = PairSynthesizer(UniformCaseSampler(), GrammarWriter(), Broken())
    with pytest.raises(ValueError, match=r"1 of 16 pixels of pair 8; .*float32"):
        broken.make([7, 8], 0, "train")
