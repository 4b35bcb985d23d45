"""Letters that a regular expression needs: a text without them is left out unread."""

from pathlib import Path

import pytest
import yaml

from synthesis.reports.reading.entities import EntityExtractor
from synthesis.reports.reading.needed_letters import needed_letters
from synthesis.reports.reading.words import Words


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        ("effusion", {"effusion"}),
        (r"pleural[\s\-]+effusions?", {"effusion"}),
        ("(?:left|bilateral) effusion|fluid", {" effusion", "fluid"}),
        ("(?:left|bilateral)", {"left", "bilateral"}),
        ("(?:small )?effusion(?: left)*", {"effusion"}),
        ("(?:tiny|small)+ ?ab", {"tiny", "small"}),
        ("(?:no )?", set()),
        (r"\w+ion", {"ion"}),
        ("mass|.", set()),
        (r"(?!mass)(?<=on )node(?= here)", {"node"}),
    ],
)
def test_what_an_expression_needs(pattern, needed):
    assert needed_letters(pattern) == needed


@pytest.mark.parametrize("file", ["sentences.yaml", "kinds.yaml"])
def test_what_is_left_out_unread_would_not_have_matched(monkeypatch, file):
    """All words of the shipped files, in all sentences with gold labels."""
    every: list[Words] = []
    build = Words.__init__

    def noted(self, *args, **options):
        build(self, *args, **options)
        every.append(self)

    monkeypatch.setattr(Words, "__init__", noted)
    EntityExtractor()
    assert len(every) > 100
    parts = yaml.safe_load((Path(__file__).parent / file).read_text())
    texts = [item["text"].lower() for part in parts.values() for item in part]
    left_out = 0
    for words in every:
        for text in texts:
            if not words.may_stand_in(text):
                left_out += 1
                assert words._regex.search(text) is None, (words._regex.pattern, text)
    assert left_out > 0.7 * len(texts) * len(every)
