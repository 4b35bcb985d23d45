from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest

from synthesis.filters import EntityAgreement, Inversion, Mirroring, StandardFilters
from synthesis.filters.standard import STANDARD
from synthesis.identity import identity
from synthesis.pairs import Pair, PairFilter
from synthesis.reports.report import Report
from tests.made_pairs import kinds


def test_a_pair_gets_the_reason_that_the_first_of_the_filters_gives_it(
    pairs: list[Pair], spoilt: Callable[[str], list[Pair]]
) -> None:
    mixed = [*pairs[:6], *spoilt("inverted")[:6], *spoilt("rotated")[:6], *spoilt("blank")[:6]]
    mixed += [replace(pair, report=Report("", "")) for pair in spoilt("noisy")[:6]]
    standard = StandardFilters()
    assert isinstance(standard, PairFilter)
    every = [part().reject(mixed) for part in STANDARD]
    expected = [next((r for r in reasons if r is not None), None) for reasons in zip(*every, strict=True)]
    assert standard.reject(mixed) == pickle.loads(pickle.dumps(standard)).reject(mixed) == expected
    assert len(set(kinds(expected))) >= 4 and expected[:6] == [None] * 6
    assert standard.reject([]) == []


def test_one_of_them_may_be_left_out(spoilt: Callable[[str], list[Pair]]) -> None:
    inverted = spoilt("inverted")[:6]
    assert kinds(StandardFilters().reject(inverted)) == ["inverted"] * 6
    without = StandardFilters(without=["Inversion"])
    assert "inverted" not in kinds(without.reject(inverted))
    assert [type(part) for part in without.filters] == [part for part in STANDARD if part is not Inversion]
    with pytest.raises(ValueError, match=r"without=\['Sharp'\].*Sharpness"):
        StandardFilters(without=["Sharp"])


def test_the_fingerprint_holds_that_of_each() -> None:
    content = StandardFilters(without=["Mirroring"]).describe()["filters"]
    assert content[0] == identity(EntityAgreement()) and identity(Mirroring()) not in content
    assert len(content) == len(STANDARD) - 1
