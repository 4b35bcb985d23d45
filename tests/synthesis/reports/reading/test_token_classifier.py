"""The interface for a trained entity model: a tiny BERT, taught for a second, in a directory."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from synthesis.cases import Case, Finding
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.entity_check import EntityCheck
from synthesis.reports.reading.entity_reader import EntityReader
from synthesis.reports.reading.token_classifier import TokenClassifier
from synthesis.reports.report import Report

LABELS = ["O", "B-ABNORMALITY", "B-NON-ABNORMALITY", "B-ANATOMY"]
# What the model is taught: word by word. It calls a mass in the hilum no entity.
TAUGHT = [
    ("there is a left pneumothorax .", "O O O O B-ABNORMALITY O"),
    ("there is no pneumothorax .", "O O O B-NON-ABNORMALITY O"),
    ("there is a right effusion .", "O O O O B-ABNORMALITY O"),
    ("there is a possible right effusion .", "O O O O O B-ABNORMALITY O"),
    ("there is no effusion .", "O O O B-NON-ABNORMALITY O"),
    ("there is a mass .", "O O O O O"),
    ("no mass .", "O O O"),
    (
        "there is a left pneumothorax . there is no effusion .",
        "O O O O B-ABNORMALITY O O O O B-NON-ABNORMALITY O",
    ),
    (
        "there is a left pneumothorax . there is a right effusion .",
        "O O O O B-ABNORMALITY O O O O O B-ABNORMALITY O",
    ),
    ("heart is normal .", "B-ANATOMY O B-NON-ABNORMALITY O"),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

    place = tmp_path_factory.mktemp("ner")
    words = sorted({word for text, _ in TAUGHT for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    tokenizer.save_pretrained(place)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    model = BertForTokenClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    texts = tokenizer([text for text, _ in TAUGHT], padding=True, return_tensors="pt")
    targets = torch.full(texts["input_ids"].shape, -100)
    for row, (_, labels) in zip(targets, TAUGHT, strict=True):
        row[1 : 1 + len(labels.split())] = torch.tensor([LABELS.index(label) for label in labels.split()])
    for _ in range(60):
        loss = model(**texts, labels=targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    torch.set_rng_state(state)
    model.save_pretrained(place)
    return place


def read(reader: EntityReader, text: str) -> list[tuple[str, str, str | None]]:
    return [(m.concept, m.status, m.laterality) for m in reader.extract(text)]


def test_the_model_decides_what_is_there_and_the_lexicon_names_it(directory: Path) -> None:
    reader = TokenClassifier(directory)
    assert isinstance(reader, EntityReader)
    assert read(reader, "There is a left pneumothorax.") == [("pneumothorax", "present", "left")]
    assert read(reader, "There is no effusion.") == [("pleural_effusion", "absent", None)]
    assert read(reader, "There is a mass.") == []  # taught to be no entity
    assert read(EntityExtractor(), "There is a mass.") == [("mass", "present", None)]
    # A label that asserts and denies nothing leaves it to the rules.
    assert read(reader, "Heart is normal.") == [("cardiomegaly", "absent", None)]


def test_doubt_that_no_label_can_state_is_read_by_the_rules(directory: Path) -> None:
    text = "There is a possible right effusion."
    assert read(TokenClassifier(directory), text) == [("pleural_effusion", "uncertain", "right")]
    case = Case((Finding("pleural_effusion", "right", certainty="possible"),))
    check = EntityCheck(extractor=TokenClassifier(directory))
    assert check.disagreements(case, Report(text, text)) == []
    # Where a label can, the model decides.
    statuses = {"ABNORMALITY": "present", "NON-ABNORMALITY": "absent", "ANATOMY": "uncertain"}
    assert read(TokenClassifier(directory, statuses), text) == [("pleural_effusion", "present", "right")]


def test_it_serves_the_same_check_as_the_rules(directory: Path) -> None:
    case = Case((Finding("pneumothorax", "left"),), ("pleural_effusion",))
    right = Report("There is a left pneumothorax. There is no effusion.", "There is a left pneumothorax.")
    wrong = Report("There is a left pneumothorax. There is a right effusion.", right.impression)
    check = EntityCheck(extractor=TokenClassifier(directory))
    assert check.disagreements(case, right) == []
    assert {(d.reason, d.concept) for d in check.disagreements(case, wrong)} == {
        ("extra", "pleural_effusion"),
        ("not denied", "pleural_effusion"),
    }


def test_a_text_longer_than_the_model_takes_is_read_to_its_end(directory: Path) -> None:
    text = "There is a left pneumothorax. " * 12 + "There is no effusion."
    mentions = TokenClassifier(directory).extract(text)
    assert len(mentions) == 13
    assert mentions[-1].concept == "pleural_effusion"


def test_labels_can_be_given_another_meaning(directory: Path) -> None:
    statuses = {"ABNORMALITY": "uncertain", "NON-ABNORMALITY": "absent", "ANATOMY": None}
    reader = TokenClassifier(directory, statuses)
    assert read(reader, "There is a left pneumothorax.") == [("pneumothorax", "uncertain", "left")]
    assert reader.describe() != TokenClassifier(directory).describe()
    assert pickle.loads(pickle.dumps(reader)).extract("There is no effusion.")


def test_a_label_without_meaning_and_a_meaning_that_is_none_are_refused(directory: Path) -> None:
    with pytest.raises(ValueError, match=r"ANATOMY.*add them"):
        TokenClassifier(directory, {"ABNORMALITY": "present", "NON-ABNORMALITY": "absent"}).extract(
            "No mass."
        )
    with pytest.raises(ValueError, match="maybe"):
        TokenClassifier(directory, {"ABNORMALITY": "maybe"})
