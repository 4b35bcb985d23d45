"""Cutting running text into sentences."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.reports.sentences import sentence_spans, split_sentences, unwrapped


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A 2.5 cm nodule. No mass.", ["A 2.5 cm nodule.", "No mass."]),
        ("Told to Dr. Smith. Tube approx. 3 cm up.", ["Told to Dr. Smith.", "Tube approx. 3 cm up."]),
        (
            "Opacity, e.g. from pneumonia. Mass vs. nodule.",
            ["Opacity, e.g. from pneumonia.", "Mass vs. nodule."],
        ),
        (
            "Seen at 9 a.m. by phone. At 10 p.m. The line.",
            ["Seen at 9 a.m. by phone.", "At 10 p.m.", "The line."],
        ),
        ("A 3 cm. nodule. It measures 3 cm. No mass.", ["A 3 cm. nodule.", "It measures 3 cm.", "No mass."]),
        ("Smaller than 2 cm. 3-5 cm mass.", ["Smaller than 2 cm.", "3-5 cm mass."]),
        ("1. No mass.\n2. Clear lungs", ["No mass.", "Clear lungs"]),
        ("1. No mass 2. Clear lungs 3. Scoliosis", ["No mass", "Clear lungs", "Scoliosis"]),
        ("- No mass\n* Clear lungs\n• Scoliosis", ["No mass", "Clear lungs", "Scoliosis"]),
        ("Fractures of ribs 5 and 6. The heart is big.", ["Fractures of ribs 5 and 6.", "The heart is big."]),
        ("No mass,\nnodule or\nfracture.\nClear lungs.", ["No mass, nodule or fracture.", "Clear lungs."]),
        ("No pneumothorax\nSmall effusion", ["No pneumothorax", "Small effusion"]),
        ("No mass.\r\nClear\r\nlungs.", ["No mass.", "Clear lungs."]),
        (
            "The tube ends in the\nSVC. The line\n\nNo mass",
            ["The tube ends in the SVC.", "The line", "No mass"],
        ),
        ("Pneumothorax? No. Effusion? A small one.", ["Pneumothorax? No.", "Effusion?", "A small one."]),
        ("Lungs clear. heart normal.", ["Lungs clear.", "heart normal."]),
        ("Lungs clear.Heart normal.", ["Lungs clear.", "Heart normal."]),
        ("LUNGS: Clear HEART: Normal", ["LUNGS: Clear", "HEART: Normal"]),
        ("FINDINGS: No mass IMPRESSION: Normal", ["FINDINGS:", "No mass", "IMPRESSION:", "Normal"]),
        ("Called to Dr. X\nAT 10:45 a.m.", ["Called to Dr. X AT 10:45 a.m."]),
        ("Compared to ___. No mass.", ["Compared to ___.", "No mass."]),
        ("...", []),
        ("", []),
    ],
)
def test_sentences(text, sentences):
    assert list(split_sentences(text)) == sentences


def test_a_line_that_had_no_room_for_the_next_word_is_wrapped():
    wide = "The endotracheal tube ends above the level of the known\nRight-sided mass of the lung."
    assert len(split_sentences(wide)) == 1
    short = "The endotracheal tube ends above the level of the mass\nA line is seen.\n" + "x" * 80
    assert split_sentences(short)[:2] == (
        "The endotracheal tube ends above the level of the mass",
        "A line is seen.",
    )


texts = st.text(st.sampled_from('ab AB.,:;?!\n\t12-()"')) | st.lists(
    st.sampled_from(
        ["No mass.", "2.5 cm", "Dr. X", "1.", "FINDINGS:", "e.g.", "\n", "\n\n", "?", "the", "Lungs"]
    )
).map(" ".join)


@given(texts)
def test_every_letter_is_in_one_sentence(text):
    spans = list(sentence_spans(text))
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())
    assert all(text[a:b] == text[a:b].strip() for a, b in spans)


words = st.sampled_from("no pneumothorax small left effusion and the heart is enlarged mass 2.5 cm".split())


@given(st.lists(st.lists(words, min_size=2, max_size=15), min_size=1, max_size=5), st.integers(10, 60))
def test_wrapping_a_text_at_any_width_keeps_its_sentences(sentences, width):
    text = " ".join(" ".join(s).capitalize() + "." for s in sentences)
    lines = [""]
    for word in text.split():
        lines = (
            [*lines, word]
            if len(lines[-1]) + len(word) >= width
            else [*lines[:-1], f"{lines[-1]} {word}".strip()]
        )
    wrapped = "\n".join(lines)
    assert split_sentences(wrapped) == split_sentences(text)
    assert unwrapped(wrapped) == text


@given(texts)
def test_unwrapping_twice_is_unwrapping_once_and_loses_no_word(text):
    once = unwrapped(text)
    assert "".join(once.split()) == "".join(text.split())
    assert unwrapped(once) == once
