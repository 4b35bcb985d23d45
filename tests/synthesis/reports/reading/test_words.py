"""Whole words as regular expressions."""

from synthesis.reports.reading.words import Words
from synthesis.strict_yaml import Entry

HERE = Entry("words.yaml", {})


def spans(patterns, text, **options):
    return [text[slice(*span)] for span in Words(patterns, HERE, "key", **options).spans(text)]


def test_words_are_whole_words_in_any_case():
    assert spans(["mass"], "Mass, MASS-like, massive, biomass, mass") == ["Mass", "MASS", "mass"]


def test_a_blank_is_any_white_space_or_hyphen_and_plurals_count():
    text = "ground-glass opacities, ground glass  opacity, ground glassopacity"
    assert spans(["ground glass opacit(y|ies)"], text) == ["ground-glass opacities", "ground glass  opacity"]
    assert spans(["mass", "nodule"], "masses and nodules", plural=True) == ["masses", "nodules"]


def test_a_gap_holds_only_its_own_words():
    gap = "(?:is|not|mildly)"
    text = "heart is not mildly enlarged; heart and liver enlarged"
    assert spans(["heart~enlarged"], text, gap=gap) == ["heart is not mildly enlarged"]


def test_only_its_words():
    words = Words(["and", "consistent with"], HERE, "key")
    assert words.only(", and / consistent  with")
    assert words.only("")
    assert not words.only("and then")
