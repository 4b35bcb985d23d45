"""Classes of words crossed with constructs: what is denied, doubted, asserted, unsaid, or called normal."""

from functools import cache

import pytest

from synthesis.reports.reading.cues import Cues
from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.lexicon import WordGroups
from synthesis.reports.reading.words import Words
from synthesis.strict_yaml import Entry

NOT = ["not", "no longer", "never", "by no means"]
SUPPORTED = [
    "borne out",
    "supported",
    "substantiated",
    "seen",
    "among the findings",
    "in evidence",
    "the case",
]
SUPPORT = ["evidence", "support", "backing", "basis", "proof", "hint", "correlate", "sign"]
GIVES = ["gives", "offers", "provides", "shows", "yields"]
SCALE = ["slim", "small", "fair", "remote", "real", "even"]
CHANCE = ["chance", "likelihood", "probability", "possibility"]
FIRST = ["leading", "top", "working", "most likely", "preferred"]
THOUGHT = ["diagnosis", "candidate", "consideration", "explanation"]
FRAMES = {
    "absent": [
        *(f"Pneumonia is {no} {seen}." for no in NOT for seen in SUPPORTED),
        *(f"The film {gives} no {support} of pneumonia." for gives in GIVES for support in SUPPORT),
        *(f"As for pneumonia, the film {gives} no {support}." for gives in GIVES for support in SUPPORT),
        *(
            f"The search for pneumonia {was}."
            for was in ("was fruitless", "came up empty", "yielded nothing")
        ),
        *(f"Nobody would {call} this pneumonia." for call in ("call", "label", "diagnose")),
        *(f"The pneumonia has {lost}." for lost in ("vanished", "gone away", "dissipated", "left no trace")),
    ],
    "uncertain": [
        *(f"There is a {scale} {chance} of pneumonia." for scale in SCALE for chance in CHANCE),
        *(f"The {chance} of pneumonia is {scale}." for scale in SCALE for chance in CHANCE),
        *(f"Pneumonia is the {first} {thought}." for first in FIRST for thought in THOUGHT),
        *(f"The {first} {thought} is pneumonia." for first in FIRST for thought in THOUGHT),
        *(
            f"Pneumonia is {d}."
            for d in ("debatable", "up in the air", "conceivable", "not proven", "in doubt")
        ),
        *(f"I would {lean} pneumonia." for lean in ("lean towards", "bet on", "opt for", "incline to")),
        *(f"{who} can rule out pneumonia." for who in ("Nobody", "No one", "No radiologist")),
        *(f"It cannot be {said} that there is pneumonia." for said in ("said", "stated with certainty")),
        "Pneumonia may or may not be present.",
        "Pneumonia can neither be confirmed nor ruled out.",
    ],
    "present": [
        *(
            f"The pneumonia is {far} {gone}."
            for far in ("far from", "anything but")
            for gone in ("gone", "over")
        ),
        *(
            f"{who} could {miss} the pneumonia."
            for who in ("No one", "Nobody")
            for miss in ("miss", "overlook")
        ),
        "The pneumonia is beyond any doubt.",
        "The pneumonia leaves no room for doubt.",
    ],
    None: [
        *(f"{who} {had} pneumonia." for who in ("He", "The patient") for had in ("once had", "used to have")),
        *(f"{what} from the ward: is there pneumonia?" for what in ("Question", "The request", "Query")),
        "Pneumonia was treated three years ago.",
    ],
}


@cache
def extractor():
    return EntityExtractor()


def read(text):
    return {(m.concept, m.status) for m in extractor().extract(text)}


@pytest.mark.parametrize("status", FRAMES)
def test_classes_of_words_crossed_with_constructs(status):
    wanted = {("pneumonia", status)} if status else set()
    wrong = {text: read(text) for text in FRAMES[status] if read(text) != wanted}
    assert not wrong


def test_words_that_call_a_structure_normal():
    calls = ["fine", "healthy", "in order", "as they should be", "free of disease", "above suspicion", "ok"]
    frames = [f"The bones are {call}." for call in calls]
    frames += [f"Nothing {wrong} with the bones." for wrong in ("wrong", "amiss", "abnormal")]
    bones = {("fracture", "absent"), ("scoliosis", "absent")}
    wrong = {text: read(text) for text in frames if read(text) != bones}
    assert not wrong
    assert read("It would be wrong to call the bones normal.") == set()
    assert read("no effusion, ETT ok") == {("pleural_effusion", "absent"), ("endotracheal_tube", "present")}


@pytest.mark.parametrize(
    "text",
    [
        "Of edema, mass and pneumonia, only the mass is real.",
        "Edema, mass, pneumonia: only the mass is seen.",
        "Mass is the only one of edema, mass and pneumonia.",
    ],
)
def test_lists_of_which_only_one_is_there(text):
    assert read(text) == {("edema", "absent"), ("mass", "present"), ("pneumonia", "absent")}


def test_only_does_not_deny_what_no_list_names():
    assert read("There is edema, only the base is spared.") == {("edema", "present")}
    assert read("Only a small effusion and edema remain.") == {
        ("pleural_effusion", "present"),
        ("edema", "present"),
    }


def test_statuses_of_spans():
    cues = Cues()

    def statuses(text):
        return cues.statuses(text, [(i, i + 1) for i, letter in enumerate(text) if letter.isupper()])

    assert statuses("no X or Y, but Z is likely") == ["absent", "absent", "uncertain"]
    assert statuses("X without Y") == ["present", "absent"]


def test_groups_find_what_their_words_find():
    here = Entry("words.yaml", {})
    groups = {
        "a": Words(["no( \\w+)? sign of", "no", "(is|are) not", "sign"], here, "key"),
        "b": Words(["mass", "masses? of", "r/o"], here, "key", plural=True),
        "c": Words(["\\?", "\\W+not"], here, "key"),
    }
    text = "No clear sign of masses, r/o mass of nodules; there's no sign? It is-not. Amass"
    found = list(WordGroups(groups.items()).find(text))
    assert sorted(found) == sorted((key, span) for key, words in groups.items() for span in words.spans(text))
    assert ("b", (text.index("masses"), text.index(","))) in found
