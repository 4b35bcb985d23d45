from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from synthesis.filters import (
    CorpusFilter,
    ImageEmbedder,
    NearDuplicateImages,
    NearDuplicateReports,
    Thumbnails,
)
from synthesis.pairs import Pair
from tests.made_pairs import kinds, with_image, with_report


def copied(pair: Pair, index: int) -> Pair:
    """A copy as generators and archives make them: other exposure, a little noise, a slightly other frame."""
    rng = np.random.default_rng(index)
    image = F.interpolate(pair.image[None, :, 1:-1, 1:-1].float(), pair.image.shape[1:], mode="bilinear")[0]
    noisy = image * rng.uniform(0.8, 1) + torch.from_numpy(rng.normal(0, 3, tuple(image.shape)))
    return with_image(noisy.clamp(0, 255).round().to(torch.uint8), index)


def test_copies_are_refused_and_other_patients_are_not(pairs: list[Pair]) -> None:
    part = NearDuplicateImages()
    assert isinstance(part, CorpusFilter) and isinstance(part.embedder, ImageEmbedder)
    mixed = [*pairs, *(copied(pair, k) for k, pair in enumerate(pairs[:20]))]
    reasons = part.reject(part.sign(mixed))
    assert kinds(reasons[: len(pairs)]).count("image twice") == 0
    assert kinds(reasons[len(pairs) :]).count("image twice") >= 18  # at 64 px; larger ones differ less


def test_the_first_of_a_chain_stays_however_signatures_were_made(pairs: list[Pair]) -> None:
    part = NearDuplicateImages()
    mixed = [copied(pairs[k // 3], k) for k in range(30)]
    together = part.sign(mixed)
    alone = np.concatenate([part.sign([pair]) for pair in mixed])
    np.testing.assert_allclose(together.astype(float), alone.astype(float), atol=1e-3)
    assert [reason is None for reason in part.reject(together)] == [k % 3 == 0 for k in range(30)]
    assert part.reject(together)[:17] == part.reject(together[:17]), "a corpus may grow"


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    signatures = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float16)
    signatures /= np.linalg.norm(signatures.astype(float), axis=1, keepdims=True).astype(np.float16)
    part = NearDuplicateImages(threshold=0.8)
    whole = part.reject(signatures)
    assert 5 < sum(reason is not None for reason in whole) < 55
    monkeypatch.setattr("synthesis.filters.duplicates._BLOCK", 7)
    assert part.reject(signatures) == whole
    kept: list[int] = []  # the rule, naively
    for i, row in enumerate(signatures.astype(np.float32)):
        if all(row @ signatures[j].astype(np.float32) < 0.8 for j in kept):
            kept.append(i)
    assert kept == [i for i, reason in enumerate(whole) if reason is None]


def test_reports_that_are_alike_may_stay_as_often_as_is_said() -> None:
    long = " ".join(f"word{k}" for k in range(60))
    texts = [long, "Something else entirely is written in this one.", long + " end", long, long.upper()]
    pairs = [with_report(text) for text in texts]
    for copies, refused in ((1, [2, 3, 4]), (2, [3, 4]), (4, [])):
        part = NearDuplicateReports(copies=copies)
        reasons = part.reject(part.sign(pairs))
        assert [k for k, reason in enumerate(reasons) if reason is not None] == refused
        assert set(kinds(reasons)) <= {None, "report again"}


def test_what_has_no_report_is_like_nothing_else() -> None:
    part = NearDuplicateReports()
    pairs = [with_report("", " "), with_report("Clear."), with_report(""), with_report("Clear.")]
    assert kinds(part.reject(part.sign(pairs))) == [None, None, None, "report again"]


def test_minhash_estimates_the_jaccard_index() -> None:
    part = NearDuplicateReports(run=1)
    words = [f"w{k}" for k in range(120)]
    a, b = set(words[:100]), set(words[20:])
    one, two = part.sign([with_report(" ".join(sorted(a))), with_report(" ".join(sorted(b)))])
    assert abs((one == two).mean() - len(a & b) / len(a | b)) < 0.13  # three standard errors


def test_reports_of_the_grammar_are_seldom_alike(pairs: list[Pair]) -> None:
    part = NearDuplicateReports()
    assert sum(reason is not None for reason in part.reject(part.sign(pairs))) <= 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NearDuplicateImages(threshold=0), "threshold=0"),
        (lambda: NearDuplicateReports(threshold=0.5), "threshold=0.5"),
        (lambda: NearDuplicateReports(copies=0), "copies=0"),
        (lambda: Thumbnails(size=4), "size=4"),
    ],
)
def test_impossible_settings_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
