"""Every mistake in a YAML file is named with its place and a remedy."""

import pytest

from synthesis.strict_yaml import Entry, YamlError


def read(tmp_path, text):
    path = tmp_path / "data.yaml"
    path.write_text(text)
    return Entry.read(path)[0]


def test_values_come_back_and_a_fully_read_mapping_closes(tmp_path):
    entry = read(
        tmp_path, "a: two\n  words\nb: [x, y]\nc: 0.5\nd: true\ne: {f: z}\ng: one\nh: {p: {q: r}}\ni: [s]\n"
    )
    assert entry.text("a") == "two words"
    assert entry.texts("b", allowed=("x", "y"), least=1) == ("x", "y")
    assert entry.texts("missing") == ()
    assert entry.number("c", 0, 1) == 0.5
    assert entry.flag("d", default=False) is True
    assert entry.entry("e").text("f", allowed=("z",)) == "z"
    assert entry.text_or_texts("g") == ("one",)
    assert entry.text_or_texts("i") == ("s",)
    ((name, item),) = entry.named("h", "thing")
    assert (name, item.text("q")) == ("p", "r")
    entry.close()


@pytest.mark.parametrize(
    ("text", "take", "parts"),
    [
        ("a: 1", lambda e: e.text("a"), ["key a", "1 is not a text", "in quotes"]),
        ("a: ' '", lambda e: e.text("a"), ["key a", "' ' is not a text"]),
        ("b: x", lambda e: e.text("a"), ["key a: missing", "other keys here: b"]),
        ("a: lft", lambda e: e.text("a", ("left", "right")), ["'lft' is unknown", "use one of: left"]),
        ("a: x", lambda e: e.texts("a"), ["'x' is not a list", "write [first, second]"]),
        ("a: [x, x]", lambda e: e.texts("a"), ["['x', 'x']", "different texts"]),
        ("a: [x]", lambda e: e.texts("a", least=2), ["at least 2"]),
        ("a: [x]", lambda e: e.texts("a", allowed=()), ["'x' is unknown", "use one of: none"]),
        ("a: 2", lambda e: e.number("a", 0, 1), ["2 is not a number from 0 to 1"]),
        ("a: true", lambda e: e.number("a", 0, 1), ["True is not a number"]),
        ("a: .nan", lambda e: e.number("a", 0, 1), ["nan is not a number"]),
        ("a: yeah", lambda e: e.flag("a", default=False), ["'yeah' is neither true nor false"]),
        ("a: x", lambda e: e.entry("a"), ["key a: 'x' is not a mapping"]),
        (
            "a: x\ncolor: y",
            lambda e: (e.text("a"), e.close()),
            ["key color: 'y'", "unknown key", "known here: a"],
        ),
        (
            "text: x\ntxt: y",
            lambda e: (e.text("text"), e.close()),
            ["key txt", "unknown key", "did you mean text?"],
        ),
    ],
)
def test_mistakes_are_named(tmp_path, text, take, parts):
    entry = read(tmp_path, text)
    with pytest.raises(YamlError) as error:
        take(entry)
    for part in ["data.yaml", *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: 1\nb: 2\na: 3\n", ["'a' stands twice", "line 3"]),
        ("x: &x {a: 1}\ny: {<<: *x, b: 2, b: 3}\n", ["'b' stands twice", "line 2"]),
        ("a: [1\nb: 2\n", ["not valid YAML", "line 2"]),
        ("- a\n- b\n", ["is not a mapping"]),
        ("", ["None is not a mapping"]),
    ],
)
def test_files_that_are_no_mapping_are_refused(tmp_path, text, parts):
    with pytest.raises(YamlError) as error:
        read(tmp_path, text)
    for part in ["data.yaml", *parts]:
        assert part in str(error.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(YamlError, match=r"nowhere\.yaml: no such file; give the path"):
        Entry.read(tmp_path / "nowhere.yaml")


def test_what_is_merged_in_gives_way_to_what_stands_beside_it(tmp_path):
    entry = read(tmp_path, "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n")
    assert entry.take("y") == {"a": 1, "b": 3}
