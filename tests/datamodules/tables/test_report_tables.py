"""Tables of real images with reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from datamodules import Columns, ImageReports, LabelColumns, TokenizerOptions
from datamodules.tables.splits import split_of
from datamodules.tables.table_error import TableError
from synthesis.concepts import ConceptCatalog
from tests.nih_table import NIH, Row

REPORTS = ["Image Index", "Patient ID", "Findings", "Impression"]


def report_rows(n: int = 6) -> list[Row]:
    return [
        [f"{i // 2:08}_{i % 2:03}.png", i // 2, f"Small left effusion {i}. Heart normal.", "Effusion."]
        for i in range(n)
    ]


def reports(
    nih: Any, rows: Sequence[Row], columns: Columns | None = None, header: Sequence[str] = REPORTS, **kw: Any
) -> Any:
    columns = columns or Columns("Image Index", "Patient ID", None, "Findings", "Impression")
    arguments = {
        "labels": None,
        "splits": {"train": 1.0},
        "tokenizer": TokenizerOptions(vocab_size=120),
        "batch_size": 3,
        **kw,
    }
    return nih(rows, header, cls=ImageReports, columns=columns, **arguments)


def test_image_report_pairs(nih: Any) -> None:
    data = reports(nih, report_rows())
    batches = list(data.train_dataloader())
    assert [len(batch["report"]) for batch in batches] == [3, 3]
    for batch in batches:
        for index, text in zip(batch["index"], batch["report"], strict=True):
            assert text == f"FINDINGS: Small left effusion {index}. Heart normal. IMPRESSION: Effusion."
        assert batch["labels"].isnan().all() and batch["labels"].shape == (3, len(data.catalog))
        assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert data.tokenizer.tokenize("effusion") == ["effusion"]


def test_the_tokenizer_reads_the_training_split_only(nih: Any) -> None:
    rows, shares = report_rows(), {"train": 0.5, "test": 0.5}
    names = {
        split: [str(i) for i in range(20) if split_of(str(i), shares, "synvlp") == split] for split in shares
    }
    for i, row in enumerate(rows):
        row[1] = names["train" if i < 4 else "test"][i // 2]
        if i >= 4:
            row[2] = "Хорошо."  # letters that no training report has
    data = reports(nih, rows, splits=shares, batch_size=2)
    assert data.tokenizer.tokenize("Хорошо") == ["[UNK]"]


def test_unsectioned_reports_are_cut_at_their_headings(nih: Any) -> None:
    texts = [
        "EXAM: chest. FINDINGS: Clear lungs. IMPRESSION: Normal.",
        "No headings at all.",
        "INDICATION: cough\nIMPRESSION:\n Pneumonia.",
    ]
    rows = [[f"{i // 2:08}_{i % 2:03}.png", text] for i, text in enumerate(texts)]
    data = reports(
        nih, rows, Columns("Image Index", report="text"), ["Image Index", "text"], splits={"test": 1.0}
    )
    (batch,) = data.test_dataloader()
    assert batch["report"] == [
        "FINDINGS: Clear lungs. IMPRESSION: Normal.",
        "FINDINGS: No headings at all.",
        "IMPRESSION: Pneumonia.",
    ]


def test_labels_may_come_with_reports(nih: Any, catalog: ConceptCatalog) -> None:
    rows = [[*row, "Effusion"] for row in report_rows()]
    data = reports(nih, rows, header=[*REPORTS, "Finding Labels"], labels=NIH)
    labels = next(iter(data.train_dataloader()))["labels"]
    assert (labels[:, catalog.index("pleural_effusion")] == 1).all()


def test_an_empty_report_is_refused_or_set_aside(nih: Any) -> None:
    rows = report_rows()
    rows[1][2:] = ["", " "]
    rows[2][2:] = ["", "Normal."]
    with pytest.raises(
        TableError, match=r"(?s)bad rows: 1 .*row 2 .*column 'Findings', value '': the report is empty"
    ):
        reports(nih, rows)
    data = reports(nih, rows, on_bad="set_aside", batch_size=5)
    (batch,) = data.train_dataloader()
    assert "IMPRESSION: Normal." in batch["report"], "one section is a report"


def test_pairs_need_reports_and_company(nih: Any) -> None:
    with pytest.raises(ValueError, match="columns: no report"):
        reports(nih, report_rows(), Columns("Image Index"))
    with pytest.raises(ValueError, match="use ImageReports"):
        nih(
            report_rows(),
            REPORTS,
            columns=Columns("Image Index", findings="Findings"),
            labels=LabelColumns("Patient ID", "nih"),
        )
    with pytest.raises(ValueError, match="batch_size=1 on 1 rank"):
        reports(nih, report_rows(), batch_size=1).train_dataloader()
