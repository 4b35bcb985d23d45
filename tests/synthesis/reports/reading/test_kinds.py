"""The extraction of entities on the kinds of sentences that extractors are reported to misread."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from scripts.corpora.extraction import Score, score
from synthesis.concepts import ConceptCatalog
from synthesis.reports.reading.entities import EntityExtractor

HERE = Path(__file__).parent
CATALOG = ConceptCatalog()
KINDS = yaml.safe_load((HERE / "kinds.yaml").read_text())
STATUSES = ("present", "absent", "uncertain")


@cache
def extractor():
    return EntityExtractor()


def read(text):
    return {(m.concept, m.status) for m in extractor().extract(text)}


def test_the_sentences_are_well_formed_and_no_other_file_has_them():
    items = [item for part in KINDS.values() for item in part]
    assert len(items) >= 400
    assert len({item["text"] for item in items}) == len(items)
    known = {
        i["text"] for part in yaml.safe_load((HERE / "sentences.yaml").read_text()).values() for i in part
    }
    for item in items:
        assert item["text"] not in known
        assert set(item) <= {"text", "side", "severity", *STATUSES}, item
        named = [c for status in STATUSES for c in item.get(status, [])]
        assert all(concept in CATALOG for concept in named), item
        assert {*item.get("side", {}), *item.get("severity", {})} <= set(named), item


@pytest.mark.parametrize("part", KINDS)
def test_precision_and_recall_of_each_kind(part):
    found = score(extractor(), KINDS[part])
    assert found.precision >= 0.95, found.wrong
    assert found.recall >= 0.95, found.wrong


def test_precision_and_recall_of_all_kinds():
    found = sum((score(extractor(), part) for part in KINDS.values()), Score(0, 0, 0, 0, ()))
    assert found.precision >= 0.985, found.wrong
    assert found.recall >= 0.985, found.wrong


@pytest.mark.parametrize(
    ("attribute", "field", "fewest"), [("side", "laterality", 15), ("severity", "severity", 2)]
)
def test_sides_and_severities(attribute, field, fewest):
    wrong, total = [], 0
    for item in (item for part in KINDS.values() for item in part):
        for concept, value in item.get(attribute, {}).items():
            found = {getattr(m, field) for m in extractor().extract(item["text"]) if m.concept == concept}
            total += 1
            if not (value in found and found <= {value, None}):
                wrong.append((item["text"], concept, value, found))
    assert total >= fewest
    assert not wrong


@pytest.mark.parametrize("part", KINDS)
def test_wrapping_a_sentence_anywhere_changes_nothing_but_its_lines(part):
    """Wherever a small letter follows, a line may end: the statements and their order stay."""
    for item in KINDS[part]:
        text = item["text"]
        if "\n" in text:
            continue
        places = [i for i, letter in enumerate(text) if letter == " " and text[i + 1].islower()]
        for place in places[:: max(len(places) // 3, 1)]:
            wrapped = f"{text[:place]}\n{text[place + 1 :]}"
            assert [(m.concept, m.status, m.start) for m in extractor().extract(wrapped)] == [
                (m.concept, m.status, m.start) for m in extractor().extract(text)
            ], wrapped


LAYOUTS = {
    "tokens": lambda text: re.sub(r"(?<!\d)([.,;:?!])(?!\d)", r" \1", text).lower(),
    "wide": lambda text: text.replace(" ", "  "),
    "hard blanks": lambda text: text.replace(" ", "\u00a0"),
    "no full stop": lambda text: text.rstrip("."),
    "bullet": lambda text: f"- {text}",
    "numbered": lambda text: f"2. {text}",
    "under a heading": lambda text: f"IMPRESSION: {text}",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_a_sentence_hardly_matters(layout):
    texts = [item["text"] for part in KINDS.values() for item in part]
    wrong = [text for text in texts if read(LAYOUTS[layout](text)) != read(text)]
    assert len(wrong) <= 0.02 * len(texts), wrong


@pytest.mark.parametrize("aside", ["however", "therefore", "in the appropriate clinical setting"])
def test_an_aside_parts_no_finding_from_its_verb(aside):
    assert read(f"Pneumonia, {aside}, cannot be excluded.") == {("pneumonia", "uncertain")}
    assert read(f"No pneumothorax, {aside}, is seen.") == {("pneumothorax", "absent")}
    assert read("No pneumothorax; however, there is edema.") == {
        ("pneumothorax", "absent"),
        ("edema", "present"),
    }


def test_capitals_are_read_like_small_letters():
    texts = [item["text"] for part in KINDS.values() for item in part if "\n" not in item["text"]]
    wrong = [text for text in texts if read(text.upper()) != read(text)]
    assert len(wrong) <= 0.005 * len(texts), wrong


def test_a_mention_of_a_wrapped_sentence_says_where_it_stands():
    text = "FINDINGS: No consolidation,\n  pleural effusion,\n or mass.\nIMPRESSION: Nodule."
    mentions = extractor().extract(text)
    assert [text[m.start : m.end] for m in mentions] == [
        "consolidation",
        "pleural effusion",
        "mass",
        "Nodule",
    ]


FRESH = yaml.safe_load((HERE / "fresh.yaml").read_text())


@pytest.mark.parametrize(("part", "least"), [("natural", (0.98, 0.97)), ("written", (0.95, 0.93))])
def test_sentences_that_were_written_before_the_rules_were_run(part, least):
    rounds = [name for name in FRESH if name.partition("_")[0] == part]
    assert len(rounds) >= 5
    for name in rounds:
        found = score(extractor(), FRESH[name])
        assert found.precision >= least[0], "\n".join(found.wrong)
        assert found.recall >= least[1], "\n".join(found.wrong)


def test_the_fresh_sentences_are_well_formed_and_differ():
    items = [item for part in FRESH.values() for item in part]
    texts = [item["text"] for item in items]
    assert len(set(texts)) == len(texts) >= 600
    named = {concept for item in items for status in STATUSES for concept in item.get(status, [])}
    assert all(concept in CATALOG for concept in named)
