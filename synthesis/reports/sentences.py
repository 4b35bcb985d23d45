"""Cutting running text into sentences: wrapped lines, abbreviations, decimals, list numbers, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from synthesis.reports.headings import section_headings

# After these a full stop ends no sentence; after the second group it does unless a small letter follows.
_NEVER_LAST = r"Dr|Drs|Mr|Mrs|Ms|Prof|e\.g|i\.e|approx|vs|cf|viz"
_SELDOM_LAST = (
    r"cm|mm|a\.m|p\.m|al|etc|ca|incl|resp|min|max|est|lt|rt|fig|bilat|poss|prob|ant|post|lat|inf|sup|neg|pos"
)
_ABBREVIATION = re.compile(
    rf"(?<![\w.])(?:(?P<never>{_NEVER_LAST})|(?P<seldom>{_SELDOM_LAST}))\.$", re.IGNORECASE
)
_ANSWER = r"(?i:no|none|nil|yes|absent|present|negative|positive|not|unlikely|possibly|probably)\b"
_END = re.compile(
    rf"(?P<stop>(?<=[^\s(\[.!?])[.!?]+[\"')\]]*(?=\s|$)(?!(?<=\?)\s*{_ANSWER}))"
    r"|(?P<token>(?<=[^\s\d]\s)\.(?=\s+\D|\s*$))"  # tokens apart: "clear . no effusion ."
    r"|(?P<number>(?:(?<=\s)|^)(?:\d{1,2}|[a-h])\)(?=\s))"
    r"|(?P<tight>(?<=[^\W\d][a-z])\.(?=[A-Z][a-z ]))"  # the blank left out
    r"|(?P<line>[ \t\r]*\n\s*)"
    r"|(?P<heading>(?<=[a-z)\]])\s(?=[A-Z]{3}[A-Z/ ,&-]{0,40}:))"  # "… clear HEART: …"
)
_MARKER = re.compile(r"\s*(?:(\d{1,2})[.)]|[-*•–])(?:\s+|$)")
_INNER_NUMBER = re.compile(r"\s(\d{1,2})\.")
_CLOCK = re.compile(r"(?:AT|ON|BY|AM|PM)\b[^\n]{0,12}\d")
_LINE_HEADING = re.compile(r"[A-Z][A-Za-z/ ,&()-]{2,40}:")
_FIELD = re.compile(r"[A-Za-z][a-z/ ,&()]{2,40}(?::| [-–]) ?\S")  # "effusion - trace"
_CAPITAL_HEADING = re.compile(r"[A-Z]{3}[A-Z /,&-]*:")
_GOES_ON = re.compile(
    r"(?:[,(/&:-]|\b(?:and|or|nor|of|the|an?|in|at|on|to|for|with|without|no|not|is|are|was|were|from|by|than|as|"
    r"either|neither|any|this|that|which|both|may|could|be|been|has|have|left|right|small|large|mild|moderate|severe|trace|"
    r"tiny|minimal|focal|acute|new|interval|definite|significant|pleural|pulmonary|cardiac|mediastinal|evidence|there|"
    r"lower|upper|middle|basilar|bibasilar|apical))$",
    re.IGNORECASE,
)
_GONE_ON = re.compile(r"(?:and|or|nor|of|is|are|was|were|than|but|versus|vs)\b", re.IGNORECASE)
_NARROW = 45  # characters; narrower lines are no wrapped text


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each sentence of a text, in order.

    A sentence ends at its full stop, question or exclamation mark, unless that belongs to an abbreviation
    ("Dr."), a decimal ("2.5 cm"), a list number ("2.") or a question that is answered ("Pneumothorax? No.");
    before the heading of a section, and after it unless it introduces what is neither finding nor impression;
    and at the end of a line that is not merely wrapped. A line is wrapped if what follows starts in small
    letters, if it ends in a comma or a word that nothing ends in ("and", "the"), or if the next word had no
    room in it.
    """
    begin = 0
    for end, following in _borders(text):
        yield from _trimmed(text, begin, end)
        begin = following
    yield from _trimmed(text, begin, len(text))


def split_sentences(section: str) -> tuple[str, ...]:
    """Return the sentences of a section, each on one line, without list marks ("2.", "-")."""
    pieces = (section[start:end] for start, end in sentence_spans(section))
    sentences = (" ".join(_without_marker(piece).split()) for piece in pieces)
    return tuple(sentence for sentence in sentences if sentence.strip("."))


def unwrapped(text: str) -> str:
    """Return a text on one line, but for the breaks without which its sentences would run into each other."""
    joined, item = "", None
    for start, end in sentence_spans(text):
        sentence = " ".join(text[start:end].split())
        marker = _MARKER.match(sentence)
        number = int(marker[1]) if marker and marker[1] and sentence[marker.end(1)] == "." else None
        if joined:
            # The next number of a list parts sentences as a full stop does; so does a heading in capitals.
            listed = number is not None and item is not None and number == item + 1
            headed = (joined[-1].islower() or joined[-1] in ")]") and _CAPITAL_HEADING.match(sentence)
            joined += " " if joined[-1] in ".!?:;\"')" or listed or headed else "\n\n"
        joined += sentence
        item = item if number is None else number
    return joined


def _without_marker(piece: str) -> str:
    marker = _MARKER.match(piece)
    return piece[marker.end() :] if marker else piece


def _borders(text: str) -> Iterator[tuple[int, int]]:
    """Yield where a sentence ends and the next one begins."""
    borders = [
        (place, place)
        for heading in section_headings(text)
        for place in ((heading.start,) if heading.kind == "other" else (heading.start, heading.end))
    ]
    begin, item = 0, None
    for match in _END.finditer(text):
        while borders and borders[0][0] <= match.start():
            begin = borders[0][1]
            yield borders.pop(0)
        start, end = match.span()
        kind = match.lastgroup
        if kind == "stop" and text[start - 1].isdigit():
            marker = _MARKER.match(text, begin)
            if marker and marker.end() >= end:  # "2." alone
                item = int(marker[1])
                continue
            number = _INNER_NUMBER.search(text, max(begin, end - 4), end)
            if number and item is not None and int(number[1]) == item + 1:  # "1. Clear lungs 2. No effusion"
                item += 1
                border = (number.start(), number.start() + 1)
            else:
                border = (end, end)
        elif kind == "number":
            mark = match[0][:-1]
            marked = int(mark) if mark.isdigit() else ord(mark) - ord("a") + 1
            listed = item is not None and marked == item + 1
            if not text[begin:start].strip() or not listed:  # "2)" begins the sentence, or is no list's
                item = marked if listed or marked == 1 else item
                continue
            item, border = marked, (start, start)
        elif kind == "stop":
            if text[start:end] == "." and _is_abbreviation(text, end):
                continue
            border = (end, end)
        elif kind == "line":
            if _is_wrapped(text, start, end):
                continue
            border = (start, end)
        else:
            border = (end, end)
        begin = border[1]
        yield border
    yield from borders


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    if stripped := piece.strip():
        start += len(piece) - len(piece.lstrip())
        yield start, start + len(stripped)


def _is_abbreviation(text: str, end: int) -> bool:
    """Return whether the full stop before a position belongs to an abbreviation that goes on."""
    ending = text[max(end - 8, 0) : end]
    match = _ABBREVIATION.search(ending) if end < 9 or not ending[:-1].isalpha() else None
    if match is None:
        return False
    following = text[end:].lstrip()[:1]
    return following.islower() or (bool(following) and match["never"] is not None)


def _is_wrapped(text: str, start: int, end: int) -> bool:
    """Return whether the line break between two positions lies inside a sentence."""
    following = text[end : end + 50]
    if not following or _MARKER.match(following) or _LINE_HEADING.match(following):
        return False
    line = text[text.rfind("\n", 0, start) + 1 : start]
    if _FIELD.match(line) and "." not in line and _FIELD.match(following):
        return False
    if _GOES_ON.search(line) or following[0].islower() or _GONE_ON.match(following):
        return True
    if text.count("\n", start, end) > 1:
        return False
    if following[0].isdigit() or following[0] == "(" or line.endswith(".") or _CLOCK.match(following):
        return True  # a full stop that is seen here is that of an abbreviation
    width = max(map(len, text.splitlines()))
    return width >= _NARROW and len(line) + 1 + len(following.split(maxsplit=1)[0]) > width
