"""Lexicon and cues: malformed files are refused by name."""

import pytest
import yaml

from synthesis.concepts import ConceptCatalog
from synthesis.reports.reading.cues import DEFAULT_CUES, Cues
from synthesis.reports.reading.lexicon import DEFAULT_LEXICON, Lexicon
from synthesis.strict_yaml import YamlError


def put(value, *path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


def drop(key):
    return lambda content: content.pop(key)


BAD_LEXICON = {
    "unknown concept": (put({}, "concepts", "oedema"), ["oedema", "is not a concept", "edema"]),
    "unknown key of a concept": (
        put([], "concepts", "edema", "names"),
        ["concept edema", "names", "unknown key"],
    ),
    "broken expression": (
        put(["(edema"], "concepts", "edema", "terms"),
        ["concept edema", "terms", "(edema"],
    ),
    "grade of another concept": (
        put({"small": ["tiny"]}, "concepts", "edema", "severities"),
        ["concept edema", "small", "unknown key"],
    ),
    "range that is none": (
        put({"small": 3}, "concepts", "nodule", "sizes"),
        ["nodule", "small", "3", "[from, to]"],
    ),
    "structure denies an unknown concept": (
        put(["broken_heart"], "structures", "heart", "denies"),
        ["structure heart", "denies", "broken_heart"],
    ),
    "missing place": (lambda c: c["places"].pop("lingula"), ["places", "lingula", "missing"]),
    "unknown place": (put(["toe"], "places", "toe"), ["places", "toe", "unknown key"]),
    "unknown top-level key": (put([], "colours"), ["colours", "unknown key"]),
    "special of an unknown structure": (
        put([{"structure": "toe", "words": ["intact"], "denies": ["fracture"]}], "special"),
        ["special", "item 1", "structure", "toe"],
    ),
}
BAD_CUES = {
    "missing group": (drop("uncertainty"), ["uncertainty", "missing"]),
    "empty group": (put([], "negation", "before"), ["negation", "before"]),
    "a bare no is false in YAML": (put([False], "negation", "before"), ["negation", "before", "False"]),
    "broken expression": (put(["no ("], "negation", "before"), ["negation", "before", "'no ('", "regular"]),
    "unknown key": (put([], "negation", "behind"), ["negation", "behind", "unknown key"]),
    "unknown top-level key": (put([], "irony"), ["irony", "unknown key"]),
}


def refused(read, shipped, change, named, tmp_path):
    content = yaml.safe_load(shipped.read_text())
    change(content)
    path = tmp_path / "words.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    with pytest.raises(YamlError) as error:
        read(path)
    assert all(part in str(error.value) for part in ["words.yaml", *named]), str(error.value)


@pytest.mark.parametrize("case", BAD_LEXICON)
def test_a_malformed_lexicon_is_refused(case, tmp_path):
    catalog = ConceptCatalog.load()
    refused(lambda path: Lexicon(catalog, path), DEFAULT_LEXICON, *BAD_LEXICON[case], tmp_path)


@pytest.mark.parametrize("case", BAD_CUES)
def test_malformed_cues_are_refused(case, tmp_path):
    refused(Cues, DEFAULT_CUES, *BAD_CUES[case], tmp_path)


@pytest.mark.parametrize(
    ("text", "millimetres"),
    [
        ("12 mm", 12),
        ("1.5 cm", 15),
        ("8 to 15 mm", 11.5),
        ("3-5 cm", 40),
        ("3 and 5 centimetres", 40),
        ("15mm", 15),
    ],
)
def test_sizes_are_read_in_millimetres(text, millimetres):
    ((start, end, size),) = Lexicon(ConceptCatalog.load()).sizes(f"A {text} nodule")
    assert (start, end) == (2, 2 + len(text))
    assert size == pytest.approx(millimetres)


def test_open_bounds_lie_just_beside():
    lexicon = Lexicon(ConceptCatalog.load())
    sizes = [next(lexicon.sizes(text))[2] for text in ("less than 15 mm", "15 mm", "more than 15 mm")]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3
