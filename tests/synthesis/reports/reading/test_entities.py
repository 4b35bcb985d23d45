"""The extraction of entities: measured on hand-written sentences, and on what the catalogue itself says."""

import pickle
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

from scripts.corpora.extraction import main, score
from synthesis.concepts import NO_FINDING, ConceptCatalog
from synthesis.reports.reading.entities import EntityExtractor, Mention

CATALOG = ConceptCatalog()
SENTENCES = yaml.safe_load((Path(__file__).parent / "sentences.yaml").read_text())
STATUSES = ("present", "absent", "uncertain")


@cache
def extractor():
    return EntityExtractor()


def read(text):
    return {(m.concept, m.status) for m in extractor().extract(text)}


def test_the_sentences_are_many_and_well_formed():
    items = [item for part in SENTENCES.values() for item in part]
    assert len(items) >= 300
    assert len({item["text"] for item in items}) == len(items)
    for item in items:
        assert set(item) <= {"text", "side", "severity", *STATUSES}, item
        named = [c for status in STATUSES for c in item.get(status, [])]
        assert all(concept in CATALOG for concept in named), item
        assert {*item.get("side", {}), *item.get("severity", {})} <= set(named), item
    status = Counter(s for item in items for s in STATUSES for _ in item.get(s, []))
    assert min(status.values()) >= 40


@pytest.mark.parametrize("part", SENTENCES)
def test_precision_and_recall_on_hand_written_sentences(part):
    found = score(extractor(), SENTENCES[part])
    assert found.precision >= 0.97, found.wrong
    assert found.recall >= 0.97, found.wrong


def test_the_score_counts_what_is_wrong(capsys):
    items = [
        {"text": "No pneumothorax."},
        {"text": "Small effusion.", "present": ["mass"], "absent": ["pneumothorax"]},
        {"text": "Pneumonia.", "present": ["pneumonia"]},
    ]
    found = score(extractor(), items)
    assert (found.sentences, found.hits, found.extra, found.missed) == (3, 1, 2, 2)
    assert (found.precision, found.recall) == (1 / 3, 1 / 3)
    assert found.wrong[0] == "No pneumothorax.  +pneumothorax absent"
    main(["--wrong"])
    printed = capsys.readouterr().out
    assert f"| all | {sum(map(len, SENTENCES.values()))} |" in printed


@pytest.mark.parametrize("attribute", ["side", "severity"])
def test_sides_and_severities_of_hand_written_sentences(attribute):
    field = {"side": "laterality", "severity": "severity"}[attribute]
    right = total = 0
    wrong = []
    for item in (item for part in SENTENCES.values() for item in part):
        for concept, value in item.get(attribute, {}).items():
            found = {getattr(m, field) for m in extractor().extract(item["text"]) if m.concept == concept}
            total += 1
            right += value in found and found <= {value, None}
            if not (value in found and found <= {value, None}):
                wrong.append((item["text"], concept, value, found))
    assert total >= 40
    assert right / total >= 0.97, wrong


@pytest.mark.parametrize("concept", [c for c in CATALOG if c.name != NO_FINDING], ids=lambda c: c.name)
def test_names_of_the_catalogue_are_known_asserted_and_denied(concept):
    for name in (concept.preferred_name, *concept.synonyms):
        asserted = {m.concept for m in extractor().extract(f"There is {name}.") if m.status == "present"}
        assert asserted & CATALOG.closure([concept.name]) or any(
            CATALOG.implies(other, concept.name) for other in asserted
        ), name
        assert not any(m.status == "present" for m in extractor().extract(f"There is no {name}.")), name


def test_prompts_of_the_catalogue_are_read_as_they_are_meant():
    """They paraphrase freely ("the trachea contains no tube"): most are, and none the wrong way round."""
    right = total = 0
    for concept in (c for c in CATALOG if c.name != NO_FINDING):
        closure = CATALOG.closure([concept.name])
        for status, prompts in (("present", concept.prompts_present), ("absent", concept.prompts_absent)):
            for prompt in prompts:
                found = read(prompt)
                right += any((name, status) in found for name in closure)
                total += 1
                opposite = "absent" if status == "present" else "present"
                assert (concept.name, opposite) not in found, prompt
    assert right / total >= 0.9


def test_a_mention_says_where_it_stands():
    text = (
        "FINDINGS: Heart size is normal. There is a small left apical pneumothorax. IMPRESSION: Pneumothorax."
    )
    mentions = extractor().extract(text)
    assert [text[m.start : m.end].lower() for m in mentions] == ["heart size", "pneumothorax", "pneumothorax"]
    assert mentions[1] == Mention(
        "pneumothorax", "present", "left", "small", text.index("pneumothorax"), text.index(". IMPR"), "apical"
    )


def test_headings_part_sentences():
    assert read("FINDINGS: No effusion IMPRESSION: Pneumonia.") >= {("pleural_effusion", "absent")}
    assert read("No effusion.\nPneumonia") == {("pleural_effusion", "absent"), ("pneumonia", "present")}


def test_empty_and_foreign_text_hold_nothing():
    assert extractor().extract("") == []
    assert extractor().extract("Lorem ipsum, 3.5 %; et al.?!\n\n--") == []


def test_it_forgets_nothing_and_confuses_nothing_when_asked_again():
    texts = [item["text"] for item in SENTENCES["first"]]
    fresh = EntityExtractor()
    assert [extractor().extract(t) for t in texts] == [fresh.extract(t) for t in reversed(texts)][::-1]
    assert pickle.loads(pickle.dumps(extractor())).extract(texts[0]) == extractor().extract(texts[0])


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Nodule measuring less than 15 mm.", "small"),
        ("Nodule larger than 2 cm.", "large"),
        ("A 1.5 to 3 cm nodule.", "large"),
        ("A 12mm nodule.", "small"),
        ("Mass measuring 3-5 cm.", "moderate"),
        ("Mass measuring more than 5 cm.", "large"),
        ("Mass of 62 millimetres.", "large"),
    ],
)
def test_sizes_are_grades(text, severity):
    assert [m.severity for m in extractor().extract(text)] == [severity]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Consolidation in the right middle lobe.", "middle lobe"),
        ("Lingular consolidation.", "lingula"),
        ("Opacity in the left mid lung.", "mid zone"),
        ("Basal chest drain on the left.", "basal"),
        ("Tip of the endotracheal tube above the clavicles.", "above the clavicles"),
        ("Dual-lead pacemaker.", "dual lead"),
        ("Left upper lobe nodule.", None),
    ],
)
def test_places_are_those_of_the_concept(text, place):
    assert [m.location for m in extractor().extract(text)] == [place]


def test_a_grade_of_one_concept_alone_is_shared_too():
    mentions = extractor().extract("Subsegmental right middle lobe opacity due to atelectasis.")
    assert [(m.concept, m.severity) for m in mentions] == [("lung_opacity", None), ("atelectasis", "mild")]
