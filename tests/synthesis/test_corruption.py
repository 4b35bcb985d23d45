from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from synthesis.cases import BalancedCaseSampler
from synthesis.corruption import KINDS, MISPAIRED, ClinicSynthesizer
from synthesis.pairs import Pair, PairSynthesizer
from synthesis.seeding import pair_seed


def clinic(clean: PairSynthesizer, **kwargs: object) -> ClinicSynthesizer:
    return ClinicSynthesizer(clean.sampler, clean.writer, clean.image_maker, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clean_pairs(synthesizer: PairSynthesizer) -> list[Pair]:
    return synthesizer.make(range(40), 0, "train")


@pytest.fixture(scope="module")
def dirty(synthesizer: PairSynthesizer) -> ClinicSynthesizer:
    return clinic(synthesizer, mispaired=0.4, corrupted=0.6)


@pytest.fixture(scope="module")
def dirty_pairs(dirty: ClinicSynthesizer) -> list[Pair]:
    return dirty.make(range(40), 0, "train")


@pytest.mark.parametrize(("mispaired", "corrupted"), [(0.0, 0.0), (0.1, 0.3), (1.0, 1.0)])
def test_the_stated_shares_are_damaged_and_every_kind_occurs(
    synthesizer: PairSynthesizer, mispaired: float, corrupted: float
) -> None:
    n = 1500
    counts = clinic(synthesizer, mispaired=mispaired, corrupted=corrupted).count(range(n), 5, "train")
    spoilt = {kind: counts[kind] for kind in KINDS}
    for share, count in ((mispaired, counts[MISPAIRED]), (corrupted, sum(spoilt.values()))):
        assert abs(count - n * share) <= 4 * math.sqrt(n * share * (1 - share))
    if corrupted:
        assert min(spoilt.values()) > 0.5 * n * corrupted / len(KINDS)


def test_what_is_counted_is_what_is_done(dirty: ClinicSynthesizer, dirty_pairs: list[Pair]) -> None:
    notes = [note for pair in dirty_pairs for note in pair.notes]
    done = Counter(
        note.removeprefix("image: ") if note.startswith("image: ") else MISPAIRED for note in notes
    )
    assert done == dirty.count(range(40), 0, "train")


def test_the_rest_is_the_clean_corpus(clean_pairs: list[Pair], dirty_pairs: list[Pair]) -> None:
    for clean, pair in zip(clean_pairs, dirty_pairs, strict=True):
        assert pair.case == clean.case  # and with it the labels
        spoilt = any(note.startswith("image: ") for note in pair.notes)
        swapped = any(note.startswith(MISPAIRED) for note in pair.notes)
        assert torch.equal(pair.image, clean.image) != spoilt
        assert (pair.report == clean.report) != swapped
    assert sum(not pair.notes for pair in dirty_pairs) >= 3


def test_a_wrong_report_is_that_of_another_case_with_other_concepts(
    dirty: ClinicSynthesizer, dirty_pairs: list[Pair]
) -> None:
    for pair in dirty_pairs:
        other = dirty.damage(pair.index, 0, "train").report_of
        if other is not None:
            case = dirty.sampler.sample(0, "train", other)
            asked = dirty.sampler.sample(0, "train", pair.index)
            assert case.concepts(dirty.catalog) != asked.concepts(dirty.catalog)
            assert pair.report == dirty.writer.write([case], [pair_seed(0, "train", other)])[0]
            assert f"{MISPAIRED}: report of case {other}" in pair.notes


def test_damage_does_not_depend_on_what_a_pair_is_made_with(
    dirty: ClinicSynthesizer, dirty_pairs: list[Pair]
) -> None:
    for pair in dirty.make([31, 2, 17, 8], 0, "train"):
        assert torch.equal(pair.image, dirty_pairs[pair.index].image)
        assert pair.report == dirty_pairs[pair.index].report


def test_held_out_pairs_stay_clean(synthesizer: PairSynthesizer, dirty: ClinicSynthesizer) -> None:
    for a, b in zip(synthesizer.make(range(8), 0, "val"), dirty.make(range(8), 0, "val"), strict=True):
        assert torch.equal(a.image, b.image)
        assert (a.report, a.notes) == (b.report, b.notes)
    assert dirty.count(range(500), 0, "val") == Counter()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_spoils_the_image(kind: str, clean_pairs: list[Pair]) -> None:
    for pair in clean_pairs[:6]:
        before = pair.image.clone()
        image, masks = KINDS[kind](pair.image, pair.masks, np.random.default_rng(pair.index))
        assert torch.equal(pair.image, before), "the image handed in must stay"
        assert image.dtype == torch.uint8 and image.shape == before.shape
        assert (image.int() - before.int()).abs().float().mean() > 2
        assert masks is not None and pair.masks is not None and masks.shape == pair.masks.shape
        assert masks.dtype == torch.bool


@pytest.mark.parametrize("kind", ["rotated", "mirrored", "cropped"])
def test_masks_follow_the_geometry(kind: str) -> None:
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[:, 20:44, 8:40] = True
    image = masks.to(torch.uint8) * 255
    for seed in range(5):
        moved, moved_masks = KINDS[kind](image, masks, np.random.default_rng(seed))
        assert moved_masks is not None
        agree = ((moved > 127) == moved_masks).float().mean()
        assert agree > 0.95, "but for what interpolation does at the edge"
        assert not torch.equal(moved_masks, masks)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_images_without_masks_and_cases_without_findings(kind: str) -> None:
    image = torch.arange(64 * 64).view(1, 64, 64).remainder(256).to(torch.uint8)
    assert KINDS[kind](image, None, np.random.default_rng(0))[1] is None
    none = KINDS[kind](image, torch.zeros(0, 64, 64, dtype=torch.bool), np.random.default_rng(0))[1]
    assert none is not None and none.shape == (0, 64, 64)


def test_kinds_can_be_chosen_and_weighted(synthesizer: PairSynthesizer) -> None:
    counts = clinic(synthesizer, mispaired=0, corrupted=1, kinds={"blank": 3, "rotated": 1}).count(
        range(800), 0, "train"
    )
    assert set(counts) == {"blank", "rotated"}
    assert 2.2 < counts["blank"] / counts["rotated"] < 4.2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"mispaired": 1.1}, "mispaired=1.1 is no share"),
        ({"corrupted": -0.1}, "corrupted=-0.1 is no share"),
        ({"kinds": {"burnt": 1}}, "unknown kind 'burnt'; use some of blurred"),
        ({"kinds": {"blank": -1}}, "blank has weight -1"),
        ({"kinds": {"blank": 0}}, "no kind has a weight above 0"),
    ],
)
def test_impossible_settings_are_refused(
    synthesizer: PairSynthesizer, kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        clinic(synthesizer, **kwargs)


def test_the_fingerprint_tells_damage_apart(synthesizer: PairSynthesizer) -> None:
    prints = {
        synthesizer.fingerprint,
        clinic(synthesizer).fingerprint,
        clinic(synthesizer, mispaired=0.2).fingerprint,
        clinic(synthesizer, corrupted=0.2).fingerprint,
        clinic(synthesizer, kinds={"blank": 1}).fingerprint,
        clinic(synthesizer, splits=["train", "val"]).fingerprint,
    }
    assert len(prints) == 6
    assert isinstance(clinic(synthesizer).sampler, BalancedCaseSampler)
