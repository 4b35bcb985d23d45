"""Which files are meant by folders, patterns, tables and names."""

from __future__ import annotations

from pathlib import Path

import pytest

from datamodules.loading.block_sampler import BlockSampler
from datamodules.tables.column_names import find_column
from datamodules.tables.image_listing import list_images
from datamodules.tables.table_error import MissingFileError, TableError


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = "b.png a.dcm deep/c.png deep/d .hidden __MACOSX/x.png one/e.png two/e.png"
    for name in files.split():
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scans" / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "scans"


def names(*inputs: str, **options: str) -> list[str]:
    return list(list_images(inputs, **options).names)  # type: ignore[arg-type]


def test_a_folder_gives_all_its_files_in_order(scans: Path) -> None:
    assert names("scans") == ["a.dcm", "b.png", "deep/c.png", "deep/d", "one/e.png", "two/e.png"]


def test_several_inputs_keep_their_order_and_give_each_file_once(scans: Path) -> None:
    listing = list_images(["scans/deep", "scans/[a-z]*/**/*.png", "scans/b.png", "gone.png"])
    assert list(listing.names) == [
        "scans/deep/c.png", "scans/deep/d", "scans/one/e.png", "scans/two/e.png", "scans/b.png", "gone.png",
    ]  # fmt: skip
    assert listing.repeated == 1


def test_a_table_is_matched_with_files_by_path_name_or_stem(scans: Path) -> None:
    (scans / "t.csv").write_text("File_Path,x\ndeep/c.png,1\nc,2\nd,3\ne.png,4\none/e.png,5\ngone.png,6\n")
    listing = list_images(["scans/t.csv"])
    found = dict(zip(listing.names, listing.paths, strict=True))
    assert list(found) == ["deep/c.png", "d", "e.png", "one/e.png", "gone.png"]  # c is deep/c.png again
    assert found["d"] == "scans/deep/d" and found["one/e.png"] == "scans/one/e.png"
    assert found["e.png"] == found["gone.png"] == ""  # two files of that name; none


def test_what_is_not_there_is_named(scans: Path) -> None:
    (scans / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match=r"which column holds the image\? It has \['a', 'b'\]"):
        names("scans/odd.csv")
    assert names("scans/odd.csv", column="a") == ["1"]
    for wrong in ("nowhere", "*.gif"):
        with pytest.raises(MissingFileError, match=r"no such file or folder|no file matches"):
            names(wrong)


def test_columns_are_known_by_their_usual_names() -> None:
    columns = ["Path", "Patient ID", "ViewPosition", "section_findings", "dicom-id"]
    found = {meaning: find_column(meaning, columns) for meaning in ("image", "patient", "view", "findings")}
    assert found == {
        "image": "Path", "patient": "Patient ID", "view": "ViewPosition", "findings": "section_findings",
    }  # fmt: skip
    assert find_column("report", columns) is None


@pytest.mark.parametrize(("size", "world"), [(0, 2), (1, 3), (7, 2), (10, 4)])
def test_blocks_hold_every_image_once_in_order(size: int, world: int) -> None:
    blocks = [[index for _, index in BlockSampler(size, rank, world)] for rank in range(world)]
    assert [index for block in blocks for index in block] == list(range(size))
    assert [len(BlockSampler(size, rank, world)) for rank in range(world)] == list(map(len, blocks))
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
