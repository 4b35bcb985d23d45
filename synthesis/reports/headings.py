"""The headings of a report.

They come as the reports of MIMIC-CXR, CheXpert Plus and Open-i have them: in capitals or not, with or
without a colon, misspelt, several on one line, FINDINGS made of sub-headings (``LUNGS: …``), a heading that
only names the views. MIMIC-CXR's own section files (MIT-LCP/mimic-cxr) map such names by a list; here rules
do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, cast

Kind: TypeAlias = Literal["findings", "impression", "views", "organ", "other"]

_OR = r"[ \t]*(?:AND|&|/|,)[ \t]*"
_FINDINGS = (
    rf"(?:CHEST |PRELIMINARY )?(?:IMPRESSIONS?{_OR})?FINDINGS?(?:{_OR}(?:IMPRESSIONS?|CONCLUSIONS?))?"
    r"|OBSERVATIONS?|(?<![A-Z] )(?:REPORT|RESULTS?|DESCRIPTION)"
)
_IMPRESSION = (
    rf"(?:FINAL |PRELIMINARY |RADIOLOGICAL )?IMPRESSIONS?(?:{_OR}(?:RECOMMENDATIONS?|PLAN))?"
    r"|CONCLUSIONS?|OPINION"
)
_STUDY = r"EXAM(?:INATION)?S?|STUDY|STUDIES|PROCEDURE|RADIOGRAPHS?|FILMS?|CT"
_OTHER = (
    rf"(?:TYPE OF |DATE OF |REFERENCE |COMPARISON )?(?:{_STUDY})(?: (?:TYPE|DATE|PERFORMED|DESCRIPTION))?"
    rf"|(?:CLINICAL )?INDICATIONS?(?:{_OR}HISTORY)?(?: FOR (?:THE )?(?:{_STUDY}))?"
    rf"|(?:CLINICAL |PATIENT |MEDICAL |PAST |BRIEF )?HISTORY(?:{_OR}INDICATIONS?)?"
    r"|CLINICAL (?:INFORMATION|DATA|DETAILS|STATEMENT|QUESTION|CONCERN|CONTEXT)"
    rf"|REASON(?: FOR (?:THE |THIS )?(?:{_STUDY}|REFERRAL|REQUEST|CONSULT(?:ATION)?))?"
    rf"|COMPARISONS?(?: (?:{_STUDY}))?|TECHNIQUES?|NOTIFICATIONS?|COMMUNICATION|RECOMMENDATIONS?(?:\(S\))?"
    r"|WET READ|PFI|(?:ADMITTING |FINAL )?DIAGNOSIS|UNDERLYING MEDICAL CONDITION|ADDENDUM|ADDENDA|NARRATIVE"
    r"|SUMMARY|END OF IMPRESSION|(?:FINAL|PRELIMINARY|PROVISIONAL) REPORT"
    r"|(?:DICTATED|ELECTRONICALLY SIGNED|SIGNED|REVIEWED|APPROVED|TRANSCRIBED)(?: BY)?"
    r"|ATTENDING|RADIOLOGISTS?|PATIENT(?: (?:NAME|ID))?|ACCESSION(?: NUMBER)?|MRN|DOB|DATE|TIME"
)
_VIEW_WORD = (
    r"AP|PA|LAT(?:ERAL)?|FRONTAL|PORTABLE|BEDSIDE|UPRIGHT|ERECT|SUPINE|SEMI[- ]?(?:UPRIGHT|ERECT)|SINGLE|ONE"
    r"|TWO|THREE|\d{1,2}[:/]\d\d(?:[:/]\d+)?|\d+|[AP]\.?M\.?|CHEST|THORAX|VIEWS?|RADIOGRAPHS?|RADIOGRAPHY"
    r"|HOURS|HRS|X[- ]?RAYS?|FILMS?|IMAGES?|PROJECTIONS?|AND|OF|THE|WITH|AT|ON|_{1,20}"
)
_VIEWS = (
    rf"(?=[\w ,&/()-]*?(?:CHEST|THORAX|VIEW))(?:{_VIEW_WORD})"
    rf"(?:(?:[ \t]*[,&/()-][ \t]*|[ \t]+)(?:{_VIEW_WORD}))*\)?"
)
_ORGAN = (
    r"(?:LUNG|PLEURA|HEART|CARDIA[CS]|CARDIOMEDIAST|MEDIASTIN|HIL[AUI]|AIRWAY|TRACHEA|AORTA|VASC|PULMONARY"
    r"|BON[EY]|OSSEOUS|SKELET|MUSCULOSKELET|SOFT TISSUE|CHEST WALL|RIB|SPINE|THORACIC|DIAPHRAGM|HEMIDIAPHRAGM"
    r"|UPPER ABDOMEN|ABDOMEN|TUBE|LINE|DEVICE|SUPPORT|HARDWARE|LIFE SUPPORT|CATHETER|PNEUMO|EFFUSION"
    r"|CONSOLIDAT|EDEMA|COSTOPHREN)[A-Z]*(?:(?:[ \t]*[,&/][ \t]*|[ \t]+)[A-Z]+){0,4}"
)
_SECTIONS = f"(?P<findings>{_FINDINGS})|(?P<impression>{_IMPRESSION})|(?P<other>{_OTHER})"
# "word" may be a misspelling: FINDNGS, IMPRESSON.
_NAMES = rf"{_SECTIONS}|(?P<views>{_VIEWS})|(?P<organ>{_ORGAN})|(?P<word>[A-Z]{{6,12}})"
_NOTE = r"(?:[ \t]*\([^()\n]{0,40}\))?[ \t*_]{0,20}"
_COLON = r"(?:(?<!\d):|:(?!\d))"  # not that of a clock time: "AT 10:45"
_WHOLE = r"(?<![\w/&-])(?=[A-Z])"

_LINE = re.compile(  # at a line's start, any case
    rf"^[ \t*#_>]{{0,80}}(?:{_NAMES}){_NOTE}(?:{_COLON}|;|-+(?=\s)|[–—])[*_]{{0,4}}",
    re.IGNORECASE | re.MULTILINE,
)
_ALONE = re.compile(  # a line of its own, without a colon
    rf"^[ \t*#_>]{{0,80}}(?=(?-i:[A-Z]))(?:{_SECTIONS}|(?-i:(?P<views>{_VIEWS})))[ \t*_]*$",
    re.IGNORECASE | re.MULTILINE,
)
_CAPITALS = re.compile(rf"{_WHOLE}(?:{_NAMES}){_NOTE}{_COLON}")  # anywhere in a line
_SECTION = re.compile(rf"{_WHOLE}(?:{_SECTIONS}){_NOTE}{_COLON}")
_TITLE = re.compile(  # at the start of a sentence: "Technique: …"
    rf"(?:(?<=[.!?;:)]\s)|^)(?=(?-i:[A-Z]))(?:{_SECTIONS})[ \t]*:", re.IGNORECASE
)
_MAIN = re.compile(r"(?<![\w/&-])(?:(?P<findings>Findings?)|(?P<impression>Impressions?))[ \t]*:")
_SMALL = re.compile(rf"(?<![\w/&-])(?:{_SECTIONS})[ \t]*:", re.IGNORECASE)  # where nothing is in capitals
_BARE = re.compile(  # capitals before a text that is not in capitals: "FINDINGS The lungs are clear."
    r"(?<![\w/&-])(?:(?P<findings>FINDINGS)|(?P<impression>IMPRESSION))"
    r"[ \t]*\n?[ \t]+(?=[A-Z][a-z]|[A-Z] [a-z]|\d+[.)])"
)
_SPELLINGS: dict[Kind, str] = {"findings": "FINDINGS", "impression": "IMPRESSION"}
_ALIKE = 0.84  # of two spellings (difflib); IMPRESSION and COMPRESSION are as alike, but begin otherwise


class Heading(NamedTuple):
    """A heading in a text.

    Attributes:
        start: Where it starts.
        end: Where it ends, its colon included.
        kind: What stands under it. "views": a heading that names the views, "organ": a sub-heading of
            FINDINGS, "other": what is neither findings nor impression (indication, technique …).
    """

    start: int
    end: int
    kind: Kind


def headings(text: str) -> list[Heading]:
    """Return the headings of a report in order."""
    patterns = (_LINE, _ALONE, _CAPITALS, _TITLE, _MAIN, _BARE) if _has_capitals(text) else (_LINE, _SMALL)
    found = [heading for pattern in patterns for heading in _matches(pattern, text)]
    chosen: list[Heading] = []
    for heading in sorted(found, key=lambda h: (h.start, -h.end)):
        if not chosen or heading.start >= chosen[-1].end:
            chosen.append(heading)
    return chosen


def section_headings(text: str) -> list[Heading]:
    """Return the headings of sections with a colon, in capitals or at the start of a sentence; fast."""
    if ":" not in text:
        return []
    patterns = (_SECTION, _TITLE, _MAIN) if _has_capitals(text) else (_SMALL,)
    return sorted({heading for pattern in patterns for heading in _matches(pattern, text)})


def _has_capitals(text: str) -> bool:
    return text != text.lower()


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[Heading]:
    for match in pattern.finditer(text):
        kind = _misspelt(match["word"].upper()) if match.lastgroup == "word" else match.lastgroup
        if kind is not None:
            yield Heading(*match.span(), cast("Kind", kind))


def _misspelt(word: str) -> Kind | None:
    """Return which section a misspelt heading names, if any."""
    for kind, right in _SPELLINGS.items():
        begins = word[0] == right[0] or word == right[1:]
        if begins and difflib.SequenceMatcher(None, word, right).ratio() >= _ALIKE:
            return kind
    return None
