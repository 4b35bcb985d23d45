"""Rows that data sets really hold, and what lies behind their names: counted, or refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules import Columns, ImageReports, LabelColumns, TokenizerOptions
from datamodules.tables.image_folders import with_image_suffix
from datamodules.tables.table_error import TableError
from synthesis.concepts import ConceptCatalog
from tests.nih_table import COLUMNS, HEADER, Row, nih_rows, write_image


def changed(rows: list[Row], row: int, **cells: Any) -> list[Row]:
    rows = [list(r) for r in rows]
    for column, value in cells.items():
        rows[row - 1][HEADER.index(column.replace("_", " "))] = value
    return rows


def test_names_with_dots_keep_them() -> None:
    for name, expected in {
        "1.2.0": "1.2.0.png", "1.2.840.10008": "1.2.840.10008.png", "a.jpg": "a.png",
        "x/1.2.3.dcm": "x/1.2.3.png", "a.JPEG": "a.png", "a": "a.png", "./a.b": "./a.b.png",
    }.items():  # fmt: skip
        assert with_image_suffix(name, ".png") == expected


def test_no_two_rows_read_one_picture(nih: Any, tmp_path: Path) -> None:
    rows = [[f"1.2.{i}", *row[1:]] for i, row in enumerate(nih_rows(6))]
    for i in range(6):
        write_image(tmp_path / "images" / f"1.2.{i}.png", i)
    data = nih(rows, image_suffix=".png")
    assert len({data._rows.paths[i] for i in range(6)}) == 6
    with pytest.raises(ValueError, match="image_suffix='png': begins with no dot"):
        nih(rows, image_suffix="png")


@pytest.mark.parametrize("kind", ["spelling", "link", "hard link", "folder"])
def test_one_file_under_two_names_is_refused(nih: Any, tmp_path: Path, kind: str) -> None:
    first, images = nih.rows[0][0], tmp_path / "images"
    other = {"spelling": f"./{first}", "folder": f"../images/{first}"}.get(kind, "other.png")
    if kind == "link":
        (images / other).symlink_to(first)
    elif kind == "hard link":
        os.link(images / first, images / other)
    rows = changed(nih.rows, 6, Image_Index=other, Patient_ID=99)
    with pytest.raises(TableError, match=rf"(?s)row 6 .*is the same file as '{first}' of row 1; keep one"):
        nih(rows)
    assert len(nih(rows, on_bad="set_aside").source("test")) == 5


def test_a_link_to_nowhere_is_named(nih: Any, tmp_path: Path) -> None:
    path = tmp_path / "images" / nih.rows[3][0]
    path.unlink()
    path.symlink_to("gone.png")
    with pytest.raises(TableError, match=r"(?s)row 4 .*a link to gone\.png, which is not there"):
        nih()


def test_copies_of_a_picture_are_counted(nih: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [row[0] for row in nih.rows]
    shutil.copy(tmp_path / "images" / names[0], tmp_path / "images" / names[1])  # of the same patient
    shutil.copy(tmp_path / "images" / names[0], tmp_path / "images" / names[4])
    data = nih()
    assert len(data.source("test")) == 6 and data.bad_rows == []
    assert "1: picture of a patient twice, 1: picture of two patients" in caplog.text
    assert (
        f"row 5 ({names[4]})" in caplog.text and f"'{names[0]}' of row 1, of another patient" in caplog.text
    )
    caplog.clear()
    nih()
    assert "picture of two patients" in caplog.text, "said each time, though nothing is read again"


@pytest.mark.parametrize("layout", ["list", "columns"])
def test_no_finding_beside_a_finding_is_counted(
    nih: Any, catalog: ConceptCatalog, caplog: pytest.LogCaptureFixture, layout: str
) -> None:
    if layout == "list":
        data = nih(changed(nih.rows, 3, Finding_Labels="No Finding|Edema"))
    else:
        header = ["Path", "No Finding", "Edema", "Support Devices"]
        rows = [[nih.rows[0][0], 1, 0, 1], [nih.rows[1][0], 0, 1, ""], [nih.rows[2][0], "1.0", "1.0", 1]]
        data = nih(rows, header, labels=LabelColumns(header[1:], "chexpert"), columns=Columns("Path"))
    assert "1: No Finding beside a finding" in caplog.text and "row 3" in caplog.text
    labels = next(iter(data.test_dataloader()))["labels"]
    assert labels[2, catalog.index("no_finding")] == 0 and labels[2, catalog.index("edema")] == 1
    assert labels[0, catalog.index("no_finding")] == 1, "devices do not count"


@pytest.mark.parametrize("cell", ["[1, 2]", "[['Edema']]", "[" * 3000, "['Edema', None]", "{'a': 1}"[1:]])
def test_lists_of_something_else_are_refused(nih: Any, cell: str) -> None:
    with pytest.raises(TableError, match=r"is no list of labels|has no concept for"):
        nih(changed(nih.rows, 1, Finding_Labels=cell))


def test_patients_keep_their_names_and_missing_ones_are_counted(
    nih: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows = changed(changed(changed(nih.rows, 1, Patient_ID="nan"), 2, Patient_ID="007"), 3, Patient_ID="7")
    data = nih(changed(rows, 4, Patient_ID="None"))
    assert (
        "2: patient without a name" in caplog.text
        and "value 'nan': looks like a missing value" in caplog.text
    )
    groups = data._rows.group[:4].tolist()
    assert len(set(groups)) == 4


def test_views_are_mapped_and_others_counted(nih: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows = [changed([row], 1, View_Position=view)[0] for row, view in
            zip(nih.rows, ["AP Supine", "pa erect", "LL", "", "LL", "OBLIQUE"], strict=True)]  # fmt: skip
    data = nih(rows)
    assert data._rows.view.tolist() == [1, 0, -1, -1, -1, -1]
    assert (
        "3 of 6 images are of neither view PA nor AP" in caplog.text
        and "'LL' (2), 'OBLIQUE' (1)" in caplog.text
    )


BAD_BOXES = {
    "NaN": ([float("nan"), 0, 5, 5], "no four finite numbers"),
    "infinite": ([0, 0, float("inf"), 5], "no four finite numbers"),
    "text": (["1", 2, 3, 4], "no four finite numbers"),
    "three": ([1, 2, 3], "no four finite numbers"),
    "truth": ([True, 2, 3, 4], "no four finite numbers"),
    "empty": ([1, 2, 0, 4], "without extent"),
    "corners": ([10, 10, -5, -5], "without extent"),
    "right": ([24, 3, 5, 5], r"outside its image; the image has 24 × 20 pixels"),
    "above": ([3, -9, 5, 5], "outside its image"),
}


def with_regions(nih: Any, cells: list[str], **more: Any) -> Any:
    rows = [[*row, cell] for row, cell in zip(nih.rows, cells, strict=True)]
    columns = Columns(**{**COLUMNS.__dict__, "regions": "regions"})
    return nih(rows, [*HEADER, "regions"], columns=columns, **more)


@pytest.mark.parametrize("kind", BAD_BOXES)
def test_boxes_that_are_none_are_refused(nih: Any, kind: str) -> None:
    box, message = BAD_BOXES[kind]
    cells = ["", json.dumps([{"label": "Edema", "box": box}]), "", "", "", ""]
    with pytest.raises(TableError, match=f"(?s)row 2 .*column 'regions'.*{message}"):
        with_regions(nih, cells)
    assert len(with_regions(nih, cells, on_bad="set_aside").source("test")) == 5


@pytest.mark.parametrize(
    "cell",
    [
        "{}", "null", "3", '"x"', "[3]", "[[", "[" * 5000, '[{"label": "Edema"}]',
        '[{"label": "Edema", "runs": "0 0", "size": [20, 24]}]',
        '[{"label": "Edema", "runs": "-3 5", "size": [20, 24]}]',
        '[{"label": "Edema", "runs": 3, "size": [20, 24]}]',
        '[{"label": "Edema", "runs": "1 2", "size": [90000, 90000]}]',
        '[{"label": "Edema", "runs": "1 2", "size": [8, 8]}]',
    ],
)  # fmt: skip
def test_cells_that_hold_no_regions_are_refused(nih: Any, cell: str) -> None:
    with pytest.raises(TableError, match=r"(?s)row 1 .*column 'regions'"):
        with_regions(nih, [cell, "", "", "", "", ""])


def test_a_box_beyond_the_edge_is_cut_and_counted(nih: Any, caplog: pytest.LogCaptureFixture) -> None:
    boxes = [[-4, -4, 12, 12], [20, 2, 4.4, 9], [2, 2, 3, 3]]
    cells = [json.dumps([{"label": "Edema", "box": box}]) for box in boxes] + ["", "", ""]
    data = with_regions(nih, cells)
    assert "(1: region beyond the edge)" in caplog.text and "it is cut there" in caplog.text
    samples = data.source("test").samples([0, 1, 2])
    assert all(len(sample.boxes) == 1 and sample.masks.any() for sample in samples)


@pytest.mark.parametrize(
    "text", ["", "nan", "...", "___", "None", "N/A", "FINDINGS: ___ IMPRESSION: ___", "XXXX."]
)
def test_reports_that_say_nothing_are_refused(nih: Any, text: str) -> None:
    header = ["Image Index", "Report"]
    rows = [
        [row[0], f"FINDINGS: Effusion {i}. IMPRESSION: nan" if i else text] for i, row in enumerate(nih.rows)
    ]
    arguments: dict[str, Any] = {
        "cls": ImageReports, "labels": None, "columns": Columns("Image Index", report="Report"),
        "tokenizer": TokenizerOptions(vocab_size=120), "splits": {"train": 1.0},
    }  # fmt: skip
    with pytest.raises(TableError, match=r"(?s)row 1 .*the report is empty, or says nothing"):
        nih(rows, header, **arguments)
    data = nih(rows, header, **arguments, on_bad="set_aside")
    report = data._rows.report(0)
    assert (report.findings, report.impression) == ("Effusion 1.", "")


def test_a_pixel_that_is_no_number_names_its_row(nih: Any, tmp_path: Path) -> None:
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    values[3, 4] = np.nan
    Image.fromarray(values).save(tmp_path / "images" / nih.rows[1][0], format="tiff")
    with pytest.raises(TableError, match=r"(?s)row 2 .*1 of 400 pixels are no usable numbers"):
        nih()
