"""CSV files of all origins: no cell changes its meaning or its column, or the file is named."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import TableError

TEXT = "image,patient\na.png,007\nb.png,nan\n"


def cells(path: Path) -> list[list[str]]:
    frame = read_frame(path)
    return [list(frame.columns), *frame.to_numpy().tolist()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-mark", "utf-16-be-mark"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_encodings_separators_and_line_ends(tmp_path: Path, encoding: str, separator: str, end: str) -> None:
    text = TEXT.replace(",", separator).replace("\n", end)
    marks = {"utf-16-le-mark": b"\xff\xfe", "utf-16-be-mark": b"\xfe\xff"}
    content = marks.get(encoding, b"") + text.encode(encoding.removesuffix("-mark"))
    (tmp_path / "t.csv").write_bytes(content)
    assert cells(tmp_path / "t.csv") == [["image", "patient"], ["a.png", "007"], ["b.png", "nan"]]


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_packed_files_and_damaged_ones(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"t.csv.{suffix}"
    path.write_bytes(pack(TEXT.encode()))
    assert cells(path)[1] == ["a.png", "007"]
    for content in (path.read_bytes()[:-12], b"no archive"):
        path.write_bytes(content)
        with pytest.raises(TableError, match=rf"t\.csv\.{suffix}: cannot be read as a table"):
            read_frame(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"image,patient\na.png,1,x\nb.png,2,y\n", r"row 1 \(line 2\): has 3 cells"),
        (b"image,patient\na.png,1\nb.png,2,\n", r"row 2 \(line 3\): has 3 cells"),
        (b"image,patient\na.png,1\nb.png\n", r"row 2 \(line 3\): has 1 cells, the header has 2"),
        (b'image,patient\n"a.png,1\nb.png,2\n', r"row 1 .* has 1 cells"),
        (b"image,patient\na.png,1\nb\0.png,2\n", r"line 3: .*NUL byte"),
        (b"image,patient\na.png,M\xfcller\n", r"line 2: .*byte 0xfc is no UTF-8\); save it as UTF-8"),
        (b"image,patient,image\na.png,1,b.png\n", r"'image': stands twice in the header \(columns 1 and 3\)"),
        (b"PK\3\4" + bytes(30), "Excel workbook or ZIP archive, no table as text; save it as CSV"),
        (b"", "it is empty"),
        (b"image,patient\n", "no rows below the header"),
        (b"\xff\xfea", "no UTF-16"),
    ],
)  # fmt: skip
def test_what_would_change_its_meaning_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message) as caught:
        read_frame(path)
    assert str(path) in str(caught.value)


def test_a_comma_at_every_end_is_no_cell(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,patient\na.png,1,\nb.png,2,\n")
    assert cells(tmp_path / "t.csv") == [["image", "patient"], ["a.png", "1"], ["b.png", "2"]]
    (tmp_path / "t.csv").write_text(",image,\n0,a.png,\n")
    assert cells(tmp_path / "t.csv")[0] == ["Unnamed: 0", "image", "Unnamed: 2"]


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(TableError, match=r"no such table\. It is a link to .*gone\.csv, which is not there"):
        read_frame(tmp_path / "t.csv")


def test_parquet_keeps_text_and_names_nested_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"  # whatever its name
    frame = pd.DataFrame(
        {
            "image": ["a.png", "b.png"], "patient": ["007", None], "score": [1.0, np.nan],
            "edema": [True, False],
            "labels": [["Edema", "Mass"], ["No Finding"]], "blob": [b"x", b"y"], "pair": [{"x": 1}, {"x": 2}],
        }
    ).set_index("image")  # fmt: skip
    frame.to_parquet(path)
    read = read_frame(path)
    chosen = select(read, path, ["image", "patient", "score", "edema", "labels"], listing="labels")
    assert chosen.to_numpy().tolist() == [
        ["a.png", "007", "1", "1", "['Edema', 'Mass']"], ["b.png", "", "", "0", "['No Finding']"]
    ]  # fmt: skip
    for column, kind in {"labels": "list", "blob": "bytes", "pair": "dict"}.items():
        with pytest.raises(TableError, match=rf"row 1, column '{column}', value .*: is no text but {kind}"):
            select(read, path, ["image", column], listing="image")


WORDS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\ufeff"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=2, max_size=2), min_size=1, max_size=5))
def test_whatever_stands_in_a_cell_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("cells") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["one", "other"], *rows])
    assert cells(path)[1:] == [[cell.strip() for cell in row] for row in rows]


def test_a_parquet_file_that_unpacks_to_far_more_than_its_size_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datamodules.tables.parquet_batches.UNPACKED", 100_000)
    path = tmp_path / "bomb.parquet"
    frame = pd.DataFrame({"image": ["a.png"] * 600, "note": pd.Categorical(["a" * 10_000] * 600)})
    frame.to_parquet(path)
    with pytest.raises(TableError, match=r"^\S*bomb\.parquet: its rows unpack to more than .* bomb\?"):
        read_frame(path)
    frame.assign(note="short").to_parquet(path)
    assert read_frame(path)["note"].tolist() == ["short"] * 600
