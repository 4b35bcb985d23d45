"""Misspelt names of findings are read, and inflections and other words are left alone."""

import pytest

from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.spelling import SpellingCorrector, moved

EXTRACTOR = EntityExtractor()
NAMES = {"pneumothorax": "pneumothorax", "effusion": "pleural_effusion", "cardiomegaly": "cardiomegaly"}
NAMES |= {name: name for name in ("atelectasis", "consolidation", "emphysema", "scoliosis", "tuberculosis")}


def slips(word):
    """Yield the word with each of its inner letters lost, doubled, changed, or exchanged with the next."""
    for i in range(1, len(word) - 3):
        yield word[:i] + word[i + 1 :]
        yield word[:i] + word[i] + word[i:]
        yield word[:i] + "q" + word[i + 1 :]
        yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]


@pytest.mark.parametrize("name", NAMES)
def test_one_slip_in_a_name_changes_nothing(name):
    for word in slips(name):
        text = f"Small nodule, but no left {word} or hernia."
        mentions = EXTRACTOR.extract(text)
        assert [(m.concept, m.status, text[m.start : m.end]) for m in mentions] == [
            ("nodule", "present", "nodule"),
            (NAMES[name], "absent", word),
            ("hernia", "absent", "hernia"),
        ], word


@pytest.mark.parametrize("word", ["pneumonic", "fractured", "effusive", "infusion", "diffusion", "fibroses"])
def test_other_words_and_inflections_are_left_alone(word):
    corrector = SpellingCorrector(["pneumonia", "fracture", "effusion", "fibrosis"], {"infusion"})
    assert corrector.corrected(f"The {word} of it") == (f"The {word} of it", [])


def test_a_known_word_and_one_that_could_be_two_are_left_alone():
    corrector = SpellingCorrector(["pleural", "plexural"], {"plueral"})
    assert corrector.corrected("plueral") == ("plueral", [])
    assert corrector.corrected("plesural") == ("plesural", [])


def test_positions_are_those_of_the_text_as_written():
    text = "Efusion, cardiomegally and effusion."
    corrected, moves = SpellingCorrector(["effusion", "cardiomegaly"], ()).corrected(text)
    assert corrected == "effusion, cardiomegaly and effusion."
    assert text[moved(corrected.rindex("effusion"), moves) :] == "effusion."
    assert text[moved(10, moves) : moved(22, moves)] == "cardiomegally"
