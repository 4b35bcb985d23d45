"""Templates: what they become in a context, and what is refused."""

import random

import pytest

from synthesis.reports.grammar.phrases import Grammar, count, read_slots, say
from synthesis.strict_yaml import Entry, YamlError

FEATURES = {"severity": ["small", "large"], "side": ["left", "right"]}


def grammar(**slots):
    return Grammar(read_slots(Entry("bank.yaml", slots), FEATURES), Entry("bank.yaml", {}))


def texts(options):
    """Every text that the options can become, by trying choices out."""
    found, draw = set(), random.Random(0).random
    for _ in range(500):
        pieces = []
        say(options, draw, pieces)
        found.add("".join(pieces))
    return found


def test_choices_nest_and_may_be_empty():
    options = grammar(s=["a[b|c[d|]|]e"]).compile("s", {})
    assert texts(options) == {"abe", "acde", "ace", "ae"}
    assert count(options) == 4


def test_count_multiplies_along_a_template_and_adds_over_alternatives():
    options = grammar(s=["[a|b]{t}", "c"], t=["1", "2", "3"]).compile("s", {})
    assert count(options) == 2 * 3 + 1 == len(texts(options))


def test_guards_choose_by_context():
    slots = grammar(
        s=["x"],
        size=[
            {"when": {"severity": "small"}, "any": ["tiny"]},
            {"when": {"severity": ["large"]}, "any": ["big"]},
        ],
        none=[{"when": {"severity": None}, "any": ["plain"]}],
    )
    assert texts(slots.compile("size", {"severity": "small"})) == {"tiny"}
    assert texts(slots.compile("size", {"severity": "large"})) == {"big"}
    assert slots.compile("size", {}) == []
    assert texts(slots.compile("none", {"side": "left"})) == {"plain"}


def test_a_template_without_its_slot_does_not_exist():
    slots = grammar(s=["on the {side}", "somewhere"], side=[{"when": {"side": "left"}, "any": ["left"]}])
    assert texts(slots.compile("s", {"side": "left"})) == {"on the left", "somewhere"}
    assert texts(slots.compile("s", {"side": "right"})) == {"somewhere"}


def test_guards_of_a_group_hold_for_the_groups_inside():
    inner = {"when": {"side": "left"}, "any": ["both"]}
    slots = grammar(s=[{"when": {"severity": "small"}, "any": [inner, "one"]}])
    assert texts(slots.compile("s", {"severity": "small", "side": "left"})) == {"both", "one"}
    assert texts(slots.compile("s", {"severity": "small", "side": "right"})) == {"one"}
    assert slots.compile("s", {"severity": "large", "side": "left"}) == []


def test_slots_that_depend_on_fewer_features_are_compiled_once():
    slots = grammar(
        s=["{seen}{size}"],
        seen=["[seen|noted]"],
        size=[
            {"when": {"severity": "small"}, "any": ["1", "2"]},
            {"when": {"severity": "large"}, "any": ["3", "4"]},
        ],
    )
    small, large = (slots.compile("s", {"severity": s, "side": "left"})[0] for s in ("small", "large"))
    assert small[0] is large[0]
    assert small[1] is not large[1]
    assert slots.compile("s", {"severity": "small", "side": "right"})[0] is small


@pytest.mark.parametrize(
    ("slots", "named"),
    [
        ({"s": ["a {nowhere}"]}, ["slots.s", "{nowhere}", "unknown slot", "use one of"]),
        ({"s": ["{t}"], "t": ["{s}"]}, ["s → t → s", "never ends"]),
        ({"s": ["a [b|c"]}, ["key s", "'a [b|c'", "not closed"]),
        ({"s": ["a b]"]}, ["key s", "'a b]'", "unpaired"]),
        ({"s": ["a | b"]}, ["key s", "'a | b'", "unpaired"]),
        ({"s": ["a {b"]}, ["key s", "'a {b'", "unpaired"]),
        ({"s": "no list"}, ["key s", "'no list'", "not a list"]),
        (
            {"s": [{"when": {"colour": "red"}, "any": ["a"]}]},
            ["key colour", "'red'", "unknown feature", "severity"],
        ),
        ({"s": [{"when": {"severity": "huge"}, "any": ["a"]}]}, ["key severity", "'huge'", "small, large"]),
        ({"s": [{"when": {"severity": "small"}}]}, ["key s", "key any", "missing"]),
        ({"s": [{"when": {}, "any": ["a"], "or": ["b"]}]}, ["key s", "key or", "unknown key"]),
    ],
)
def test_malformed_slots_are_named(slots, named):
    with pytest.raises(YamlError) as error:
        grammar(**slots)
    assert all(part in str(error.value) for part in ["bank.yaml", *named]), str(error.value)
