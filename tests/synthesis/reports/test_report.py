"""A report: two sections, and their sentences."""

from synthesis.reports.report import Report


def test_text_has_both_sections_under_their_headings():
    assert Report("Clear lungs.", "Normal.").text == "FINDINGS: Clear lungs. IMPRESSION: Normal."


def test_sentences_leave_out_list_numbers_and_keep_decimal_points():
    report = Report(
        "A 1.5 to 3 cm nodule. No effusion. The lungs are clear.", "1. Nodule measuring 1.5 cm. 2. No mass."
    )
    assert report.sentences() == (
        "A 1.5 to 3 cm nodule.",
        "No effusion.",
        "The lungs are clear.",
        "Nodule measuring 1.5 cm.",
        "No mass.",
    )


def test_an_empty_section_has_no_sentences():
    assert Report("", "Normal chest.").sentences() == ("Normal chest.",)
