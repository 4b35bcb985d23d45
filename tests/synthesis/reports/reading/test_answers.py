"""Answers without their noun, and what an answer at the end of a sentence leaves of it."""

import pytest

from synthesis.reports.reading.cues import Cues

ANSWERS = Cues().answers


WAYS = {
    "absent": (
        "none was found|today there is none|Answer: no|no longer visible|not that I can see|it has resolved"
        "|we could not find one|gone|nothing of the kind|in vain|certainly not|I see none|no trace of it"
        "|neither is seen|I do not think so"
    ),
    "uncertain": (
        "possibly|it may well be|hard to say|I doubt it|could be|we cannot exclude it|time will tell"
        "|an open question|not necessarily|I think so"
    ),
    "present": "yes|there is|indeed|it is present|no doubt about it|certainly",
    None: "|the heart is large|no effusion|larger|on the left|stable|yes, at the base",
}


@pytest.mark.parametrize("status", WAYS)
def test_answers_and_what_is_none(status):
    answers = WAYS[status].split("|")
    assert {answer: ANSWERS.status(answer) for answer in answers} == dict.fromkeys(answers, status)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("We looked for a nodule, but found none.", (" but found", "absent")),
        ("Is there an effusion? Possibly.", ("? Possibly", "uncertain")),
        ("A nodule was sought and is not there.", (" and is", "absent")),
        ("A nodule is seen, and the heart is large.", None),
    ],
)
def test_an_answer_at_the_end_of_a_sentence(sentence, expected):
    named = max(sentence.find(word) + len(word) for word in ("nodule", "effusion") if word in sentence)
    found = ANSWERS.at_end(sentence, named)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found[1] == expected[1]
        assert expected[0].strip(" ?") in sentence[found[0] :]


def test_an_answer_is_short():
    assert ANSWERS.status("none") == "absent"
    assert ANSWERS.status("none " + "at all " * 20) is None
