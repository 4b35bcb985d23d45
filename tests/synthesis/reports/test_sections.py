"""Cutting a report at its headings, as real reports have them."""

import itertools
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from synthesis.reports.headings import headings, section_headings
from synthesis.reports.sections import cut, with_headings

CLEAR, NORMAL = "The lungs are clear. No effusion.", "No acute process."


@pytest.mark.parametrize(
    "text",
    [
        f"FINDINGS: {CLEAR}\nIMPRESSION: {NORMAL}",
        f"Findings: {CLEAR}\nImpression: {NORMAL}",
        f"findings:\n{CLEAR}\n\nimpression:\n{NORMAL}",
        f"EXAM: chest. Findings: {CLEAR} Impression: {NORMAL}",
        f"FINAL REPORT EXAMINATION: CHEST (PA AND LAT) INDICATION: ___F COMPARISON: None. FINDINGS: {CLEAR} "
        f"IMPRESSION: {NORMAL}",
        f"IMPRESSION: {NORMAL}\n\nFINDINGS: {CLEAR}",
        f"Exam: chest Findings: {CLEAR} Impression: {NORMAL}",
        f"CHEST (PORTABLE AP): {CLEAR} IMPRESSION: {NORMAL}",
        f"AP VIEW OF THE CHEST AT 10:45 A.M.: {CLEAR}\nIMPRESSION: {NORMAL}\nDATE: ___",
        f"FINDING: {CLEAR}\nIMPRESSIONS: {NORMAL}",
        f"FINDNGS: {CLEAR}\nIMPRESSON: {NORMAL}",
        f"FIDNINGS: {CLEAR}\nIMRESSION: {NORMAL}",
        f"INDICATION\npain\nFINDINGS\n{CLEAR}\nIMPRESSION\n{NORMAL}",
        f"FINDINGS {CLEAR} IMPRESSION {NORMAL}",
        f"FINDINGS - {CLEAR}\nCONCLUSION: {NORMAL}",
        f"FINDINGS (PA AND LATERAL): {CLEAR}\nOPINION: {NORMAL}",
        f"**Findings:** {CLEAR}\n**Impression:** {NORMAL}",
        f" HISTORY: pain.\n\n CHEST, TWO VIEWS:  {CLEAR}\n\n IMPRESSION:  {NORMAL}",
        f"PA AND LATERAL VIEWS OF THE CHEST: {CLEAR}\nIMPRESSION: {NORMAL}",
        f"SEMIERECT AP VIEW OF THE chest:  {CLEAR}\nIMPRESSION: {NORMAL}",
        f"PORTABLE AP CHEST RADIOGRAPH AT 10:45: {CLEAR}\nIMPRESSION: {NORMAL}",
        f"TECHNIQUE: One view. CHEST, SINGLE AP VIEW: {CLEAR} IMPRESSION: {NORMAL}",
        f"FINDINGS: The lungs are clear.\nADDENDUM: none.\nFINDINGS: No effusion.\nIMPRESSION: {NORMAL}",
        f"NARRATIVE:\nCHEST 1 VIEW\nCOMPARISON: None.\nFINDINGS:  {CLEAR}\nIMPRESSION:\n{NORMAL}\n"
        "END OF IMPRESSION\nSUMMARY: 1-NORMAL\nACCESSION NUMBER: 1",
        f"FINDINGS: {CLEAR}\nIMPRESSION: {NORMAL}\nNOTIFICATION: Dr. ___ was told\n AT 10:45 by phone.",
        "FINDINGS: The lungs\n are clear. No\n effusion.\n\n IMPRESSION: No acute\n process.",
    ],
)
def test_both_sections_are_found(text):
    assert cut(text) == cut(text, last_paragraph=True) == (CLEAR, NORMAL)
    assert cut(text.replace("\n", "\r\n")) == (CLEAR, NORMAL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            " FINDINGS:\n\n LUNGS: Clear.\n HEART: Normal in size.\n\n IMPRESSION: Normal.",
            ("LUNGS: Clear. HEART: Normal in size.", "Normal."),
        ),
        ("LUNGS: Clear.\nHEART: Normal.\n", ("LUNGS: Clear. HEART: Normal.", "")),
        ("COMPARISON: None.\nLUNGS: Clear.\nIMPRESSION: Normal.", ("LUNGS: Clear.", "Normal.")),
        (
            "FINDINGS: Told to Dr. X\nAT 10:45 today. Clear.\nIMPRESSION: 1. No mass.\n2. Clear.",
            ("Told to Dr. X AT 10:45 today. Clear.", "1. No mass. 2. Clear."),
        ),
        ("FINDINGS: No mass\nSmall effusion", ("No mass\n\nSmall effusion", "")),
        ("FINDINGS AND IMPRESSION: Clear.\nRECOMMENDATION: none.", ("Clear.", "")),
        ("FINDINGS/IMPRESSION: Clear.", ("Clear.", "")),
        ("INDICATION: cough\nIMPRESSION:\n Pneumonia.", ("", "Pneumonia.")),
        ("IMPRESSION: No change since ___.\n\nADDENDUM: a nodule.", ("", "No change since ___.")),
        ("exam : chest . findings : no mass . impression : clear .", ("no mass .", "clear .")),
        ("There are no new findings: clear lungs.", ("There are no new findings: clear lungs.", "")),
        ("HISTORY: DEPRESSION: yes\nFINDINGS: Clear.", ("Clear.", "")),
        ("No headings at all.", ("No headings at all.", "")),
        ("INDICATION: cough.\n\nLungs are clear.", ("Lungs are clear.", "")),
        ("INDICATION: cough. Lungs are clear.", ("INDICATION: cough. Lungs are clear.", "")),
        ("", ("", "")),
    ],
)
def test_sections_as_they_come(text, expected):
    assert cut(text) == expected


WHOLE = yaml.safe_load((Path(__file__).parent / "whole_reports.yaml").read_text())


@pytest.mark.parametrize("report", WHOLE, ids=range(len(WHOLE)))
def test_whole_reports_are_cut_into_their_sections(report):
    sections = [" ".join(section.split()) for section in cut(report["text"])]
    assert sections == [report["findings"], report["impression"]]


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("WET READ: clear.\n\nFINAL REPORT\nHISTORY: pain.\n\nREASON: Cough.", ""),
        ("FINAL REPORT\nHISTORY: pain.\n\n Lungs are clear.", "Lungs are clear."),
        ("First.\n\nLungs are clear.", "Lungs are clear."),
        (
            "CHEST, TWO VIEWS: ___\n\nLungs are clear.\n\nHeart is normal.",
            "Lungs are clear. Heart is normal.",
        ),
    ],
)
def test_the_last_paragraph_stands_in_for_sections(text, findings):
    assert cut(text, last_paragraph=True) == (findings, "")


NAMES = {
    "findings": ["FINDINGS", "Findings", "findings", "FINDING", "FINDNGS"],
    "impression": ["IMPRESSION", "Impression", "impression", "IMPRESSIONS", "IMPRESSON", "CONCLUSION"],
    "other": ["INDICATION", "Technique", "COMPARISON", "REASON FOR EXAM", "CLINICAL HISTORY", "NOTIFICATION"],
}
SENTENCES = [
    "The heart is mildly enlarged, and the mediastinum is not widened.",
    "A 2.5 cm nodule is seen in the left upper lobe (e.g. a granuloma).",
    "Compared to ___, there is no new effusion.",
    "LUNGS: Clear.",
    "Dr. ___ was called at 10:45 a.m. about the pneumothorax.",
    "1. No pneumothorax.",
    "Tip approx. 3 cm above the carina.",
]


def wrapped(text, width):
    lines = [""]
    for word in text.split():
        lines = (
            [*lines, word]
            if len(lines[-1]) + len(word) >= width
            else [*lines[:-1], f"{lines[-1]} {word}".strip()]
        )
    return "\n ".join(lines)


bodies = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4).map(" ".join)


@given(
    st.permutations(["findings", "impression", "other"]),
    st.tuples(*(st.sampled_from(NAMES[kind]) for kind in ("findings", "impression", "other"))),
    st.tuples(bodies, bodies, bodies),
    st.integers(20, 90),
    st.sampled_from(["\n", "\n\n", "\r\n \r\n"]),
    st.sampled_from([" ", "\n", "\n\n "]),
)
def test_whatever_the_layout_the_words_of_a_section_come_back_whole(
    order, names, said, width, between, after
):
    kinds = ("findings", "impression", "other")
    name, body = dict(zip(kinds, names, strict=True)), dict(zip(kinds, said, strict=True))
    text = between.join(f" {name[kind]}:{after}{wrapped(body[kind], width)}" for kind in order)
    findings, impression = cut(text)
    assert findings.split() == body["findings"].split()
    assert impression.split() == body["impression"].split()


@given(st.permutations(["findings", "impression", "other"]), st.tuples(bodies, bodies, bodies))
def test_a_report_on_one_line_is_cut_too(order, said):
    body = dict(zip(("findings", "impression", "other"), said, strict=True))
    text = " ".join(f"{NAMES[kind][0]}: {body[kind]}" for kind in order)
    assert cut(text) == (body["findings"], body["impression"])


@given(bodies, bodies)
def test_what_is_written_with_headings_is_cut_at_them(findings, impression):
    assert cut(with_headings(findings, impression)) == (findings, impression)
    assert [h.kind for h in section_headings(with_headings(findings, impression))] == [
        "findings",
        "impression",
    ]


def test_an_empty_section_has_no_heading():
    assert with_headings("Clear.", " ") == "FINDINGS: Clear."
    assert with_headings("", "Clear.") == "IMPRESSION: Clear."
    assert with_headings("", "") == ""


@pytest.mark.parametrize(
    "text", ["AT 10:45 seen.", "COMPRESSION: yes", "FINDINGS CONSISTENT WITH PNEUMONIA.", "a: b"]
)
def test_what_is_no_heading(text):
    assert headings(text) == []


def test_misspelt_names_are_close_to_the_right_ones():
    for right in ("FINDINGS", "IMPRESSION"):
        for i in range(1, len(right)):
            shorter = right[:i] + right[i + 1 :]
            swapped = right[: i - 1] + right[i] + right[i - 1] + right[i + 1 :]
            for wrong in itertools.chain([shorter], [swapped] if i > 1 else []):
                assert [h.kind for h in headings(f"{wrong}: x")] == [right.lower()], wrong
