"""The shipped phrase bank has words for everything; a bank that does not fit is refused by name."""

from itertools import product

import pytest
import yaml

from synthesis.cases import Finding
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.reports.grammar import DEFAULT_PHRASES
from synthesis.reports.grammar.phrase_bank import PhraseBank
from synthesis.strict_yaml import YamlError

CATALOG = ConceptCatalog()
BANK = PhraseBank(DEFAULT_PHRASES, CATALOG)
CONCEPTS = [c.name for c in CATALOG if c.sampled and c.name != NO_FINDING]


def findings(name):
    """Every finding that the catalogue allows for a concept, also without place and severity."""
    concept = CATALOG[name]
    for side in concept.lateralities or (None,):
        places = [*concept.places(side), None]
        for place, severity in product(places, [*concept.severities, None]):
            for certainty in ("definite",) if concept.is_device else ("definite", "possible"):
                yield Finding(name, side, place, severity, certainty)


def options(finding, style, section):
    prefix = "possible_" if finding.certainty == "possible" else ""
    return BANK.finding(finding, style, section, prefix + section)


@pytest.mark.parametrize("name", CONCEPTS)
def test_every_finding_can_be_said_in_every_style_and_section(name):
    for finding in findings(name):
        for style in BANK.styles:
            for section in ("findings", "impression"):
                assert options(finding, style.name, section), (finding, style.name, section)
            assert BANK.finding(finding, style.name, "impression", "np")


def texts(phrasings):
    """Every text that phrasings can become."""
    found = set()
    for phrasing in phrasings:
        begun = {""}
        for part in phrasing:
            ends = {part} if isinstance(part, str) else texts(part)
            begun = {begin + end for begin in begun for end in ends}
        found |= begun
    return found


@pytest.mark.parametrize("name", CONCEPTS)
def test_every_finding_has_hundreds_of_distinct_sentences(name):
    concept = CATALOG[name]
    side = (concept.lateralities or (None,))[0]
    for severity in concept.severities or (None,):
        finding = Finding(name, side, (concept.places(side) or (None,))[0], severity)
        spoken = (texts(options(finding, style.name, "findings")) for style in BANK.styles)
        assert len({" ".join(text.split()) for group in spoken for text in group}) >= 150, finding


@pytest.mark.parametrize("name", [n for n in CATALOG.names if n != NO_FINDING])
def test_every_concept_can_be_denied(name):
    assert BANK.wordings[name].grammar.compile("absent", {})


def test_every_normal_statement_can_be_said():
    for statements in BANK.normals.values():
        for statement in statements:
            for side in ("left", "right") if statement.one_sided else (None,):
                assert BANK.shared.compile(statement.slot, {"laterality": side})


def test_styles_are_picked_by_weight():
    total = sum(style.weight for style in BANK.styles)
    picks = [BANK.pick_style((i + 0.5) / 1100).name for i in range(1100)]
    for style in BANK.styles:
        assert picks.count(style.name) == pytest.approx(1100 * style.weight / total, abs=1)


def drop(*path):
    def change(bank):
        for key in path[:-1]:
            bank = bank[key]
        del bank[path[-1]]

    return change


def put(value, *path):
    def change(bank):
        for key in path[:-1]:
            bank = bank[key]
        bank[path[-1]] = value

    return change


BAD = {
    "missing concept": (drop("concepts", "edema"), ["concepts", "edema", "missing", "add"]),
    "unknown concept": (put({}, "concepts", "oedema"), ["concepts", "oedema", "is not a concept", "edema"]),
    "normal studies need no wording": (put({}, "concepts", "no_finding"), ["no_finding", "is not a concept"]),
    "unknown key": (put(1, "concepts", "edema", "importence"), ["concept edema", "importence", "importance"]),
    "missing key": (drop("concepts", "edema", "region"), ["concept edema", "region", "missing"]),
    "unknown region": (
        put("legs", "concepts", "edema", "region"),
        ["concept edema", "region", "legs", "lungs"],
    ),
    "number out of range": (
        put(99, "concepts", "edema", "importance"),
        ["concept edema", "importance", "99", "10"],
    ),
    "unknown slot": (
        put(["{severity} {colour} edema"], "concepts", "edema", "slots", "mass"),
        ["concept edema", "slots.mass", "{colour}", "unknown slot"],
    ),
    "unknown slot in a normal statement": (
        put(["the {organ} is clear"], "normals", "lungs", "lungs_clear", "any"),
        ["lungs_clear", "{organ}", "unknown slot"],
    ),
    "unknown feature": (
        put([{"when": {"colour": "red"}, "any": ["a"]}], "concepts", "edema", "slots", "mass"),
        ["concept edema", "colour", "red", "severity"],
    ),
    "unknown severity": (
        put([{"when": {"severity": "huge"}, "any": ["a"]}], "concepts", "edema", "slots", "mass"),
        ["concept edema", "severity", "huge", "moderate"],
    ),
    "unbalanced bracket": (
        put(["[mild|severe edema"], "concepts", "edema", "slots", "mass"),
        ["concept edema", "mass", "[mild|severe edema", "not closed"],
    ),
    "denies an unknown concept": (
        put(["oedema"], "normals", "vessels", "vessels", "denies"),
        ["statement vessels", "denies", "oedema", "edema"],
    ),
    "order without a region": (put([["lungs"]], "orders"), ["orders", "lungs", "each region once"]),
    "chance above one": (put(1.5, "styles", "terse", "opening"), ["style terse", "opening", "1.5", "0 to 1"]),
    "unknown style key": (
        put(0.5, "styles", "terse", "verbosity"),
        ["style terse", "verbosity", "unknown key"],
    ),
    "unknown top-level key": (put([], "sentences"), ["sentences", "unknown key"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bank_that_does_not_fit_is_refused(case, tmp_path):
    change, named = BAD[case]
    bank = yaml.safe_load(DEFAULT_PHRASES.read_text())
    change(bank)
    path = tmp_path / "bank.yaml"
    path.write_text(yaml.safe_dump(bank, sort_keys=False, allow_unicode=True))
    with pytest.raises(YamlError) as error:
        PhraseBank(path, CATALOG)
    assert all(part in str(error.value) for part in ["bank.yaml", *named]), str(error.value)


def test_a_finding_without_words_is_named(tmp_path):
    bank = yaml.safe_load(DEFAULT_PHRASES.read_text())
    bank["concepts"]["edema"]["slots"]["mass"] = [{"when": {"severity": "mild"}, "any": ["mild edema"]}]
    bank["concepts"]["edema"]["slots"]["own"] = []
    path = tmp_path / "bank.yaml"
    path.write_text(yaml.safe_dump(bank, sort_keys=False))
    with pytest.raises(YamlError, match=r"concept edema, key slots\.findings: .*'severe'.* add a phrase"):
        PhraseBank(path, CATALOG).finding(
            Finding("edema", "bilateral", "diffuse", "severe"), "terse", "findings", "findings"
        )


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(YamlError, match=r"gone\.yaml"):
        PhraseBank(tmp_path / "gone.yaml", CATALOG)
    (tmp_path / "broken.yaml").write_text("slots: [")
    with pytest.raises(YamlError, match=r"broken\.yaml: not valid YAML"):
        PhraseBank(tmp_path / "broken.yaml", CATALOG)
