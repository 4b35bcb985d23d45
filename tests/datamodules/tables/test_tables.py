"""Tables of real images: labels, splits, and everything that may be wrong with them."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from datamodules import Columns, LabelColumns, LabelledImages, LoaderOptions, Origin, Views
from datamodules.batch import data_facts
from datamodules.tables.manifests import TableFile
from datamodules.tables.splits import split_of
from datamodules.tables.table_error import TableError
from synthesis.concepts import ConceptCatalog
from tests.nih_table import HEADER, Row, nih_rows, write_image, write_table

ROOT = Path(__file__).resolve().parents[3]


def test_labels_become_concepts_and_what_was_never_looked_for_is_unknown(
    nih: Any, catalog: ConceptCatalog
) -> None:
    data = nih()
    batches = list(data.test_dataloader())
    assert [len(batch["index"]) for batch in batches] == [4, 2]
    assert set(batches[0]) == {"image", "labels", "index", "group", "view"}
    labels = torch.cat([batch["labels"] for batch in batches])
    known = [i for i, concept in enumerate(catalog) if "nih" in concept.labels]
    assert len(known) == 15
    for row, record in zip(labels, nih.rows, strict=True):
        present = {catalog.concept_for("nih", label).name for label in record[1].split("|")}
        assert {catalog.names[i] for i in range(len(catalog)) if row[i] == 1} == present
        assert [i for i in range(len(catalog)) if not row[i].isnan()] == known
    assert torch.cat([batch["group"] for batch in batches]).tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.cat([batch["view"] for batch in batches]).tolist() == [0, 1, 0, 1, 0, 1]
    assert batches[0]["image"].shape == (4, 1, 16, 16)


def test_the_official_layout_opens_with_the_preset(tmp_path: Path) -> None:
    rows = nih_rows(5)
    for i, row in enumerate(rows):
        write_image(tmp_path / f"images_{i % 12 + 1:03}" / "images" / row[0], i)
    write_table(tmp_path / "Data_Entry_2017_v2020.csv", rows)
    preset = yaml.safe_load((ROOT / "configs" / "data" / "nih_chestxray14.yaml").read_text())["data"]
    arguments = preset["init_args"] | {
        "table": TableFile(preset["init_args"]["table"]["init_args"]["path"]),
        "origin": Origin(**preset["init_args"]["origin"]),
        "image_root": tmp_path,
        "image_size": 16,
        "artifacts_dir": tmp_path / "artifacts",
        "loader": LoaderOptions(**preset["init_args"]["loader"]),
        "views": Views(**preset["init_args"]["views"]),
        "columns": Columns(**preset["init_args"]["columns"]),
        "labels": LabelColumns(**preset["init_args"]["labels"]),
    }
    assert preset["class_path"] == "datamodules.LabelledImages"
    data = LabelledImages(**arguments)
    data.prepare_data()
    assert [len(batch["index"]) for batch in data.test_dataloader()] == [5]
    facts = data_facts(SimpleNamespace(datamodule=data))  # type: ignore[arg-type]
    assert not facts.made and facts.evaluation_sources("test") == ("",) and facts.tokenizer is None


def test_workers_and_batch_size_change_nothing(nih: Any) -> None:
    one = [batch for batch in nih(eval_batch_size=6).test_dataloader()]
    other = [batch for batch in nih(eval_batch_size=3, num_workers=2).test_dataloader()]
    for key in ("image", "labels", "index", "group", "view"):
        assert torch.equal(
            one[0][key].nan_to_num(9), torch.cat([batch[key] for batch in other]).nan_to_num(9)
        )


def test_patients_are_dealt_out_by_hash_whatever_the_order_of_the_table(nih: Any, tmp_path: Path) -> None:
    rows = nih_rows(80)
    for i, row in enumerate(rows):
        write_image(tmp_path / "images" / row[0], i)
    shares = {"train": 0.5, "val": 0.2, "test": 0.3}
    data, mixed = nih(rows, splits=shares), nih(rows[::-1], splits=shares)
    sizes = {}
    for split in shares:
        assert data.split_sha256(split) == mixed.split_sha256(split)
        names = [data.source(split).rows.names[int(i)] for i in data.source(split).chosen]
        assert data.split_sha256(split) == hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
        sizes[split] = len(names)
        patients = {name[:8] for name in names}
        assert len(names) == 2 * len(patients), "both images of a patient are in one split"
        assert all(split_of(str(int(patient)), shares, "synvlp") == split for patient in patients)
    assert sum(sizes.values()) == 80 and 24 <= sizes["train"] <= 56
    assert nih(rows, splits=shares, split_salt="other").split_sha256("test") != data.split_sha256("test")


def test_shares_are_met_in_the_large() -> None:
    shares = {"train": 0.7, "val": 0.1, "test": 0.2}
    counts = dict.fromkeys(shares, 0)
    for patient in range(20_000):
        counts[split_of(str(patient), shares, "salt")] += 1
    for split, share in shares.items():
        assert abs(counts[split] / 20_000 - share) < 0.012


def test_an_epoch_of_training_can_be_a_part_of_the_images(nih: Any) -> None:
    data = nih(splits={"train": 1.0}, batch_size=1, epoch_size=3)
    assert len(list(data.train_dataloader())) == 3


CHEXPERT = ["Path", "Sex", "No Finding", "Edema", "Pleural Effusion", "Support Devices"]
CHEXPERT_ROWS = [
    ["00000000_000.png", "F", "1.0", "", "0.0", ""],
    ["00000000_001.png", "F", "", "-1.0", "1", "1"],
]


@pytest.mark.parametrize(
    ("uncertain", "blank", "expected"),
    [
        ("unknown", None, [[1, np.nan, 0, np.nan], [np.nan, np.nan, 1, 1]]),
        ("present", "absent", [[1, 0, 0, 0], [0, 1, 1, 1]]),
        ("absent", "unknown", [[1, np.nan, 0, np.nan], [np.nan, 0, 1, 1]]),
    ],
)
def test_one_column_a_label(
    nih: Any, catalog: ConceptCatalog, uncertain: Any, blank: Any, expected: list[list[float]]
) -> None:
    labels = LabelColumns(CHEXPERT[2:], "chexpert", uncertain=uncertain, blank=blank)
    data = nih(CHEXPERT_ROWS, CHEXPERT, labels=labels, columns=Columns("Path"))
    (batch,) = data.test_dataloader()
    asked = [catalog.concept_for("chexpert", label).name for label in CHEXPERT[2:]]
    found = batch["labels"][:, [catalog.index(name) for name in asked]]
    np.testing.assert_array_equal(found.numpy(), np.array(expected, np.float32))
    others = [i for i, name in enumerate(catalog.names) if name not in asked]
    assert batch["labels"][:, others].isnan().all()
    assert batch["view"].tolist() == [-1, -1] and batch["group"].tolist() == [0, 1]


def test_parquet_is_read_as_the_same_table(nih: Any, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(CHEXPERT_ROWS, columns=CHEXPERT)
    for column in CHEXPERT[2:]:
        frame[column] = pd.to_numeric(frame[column])  # floats with NaN, as such files hold them
    frame["Patient ID"] = [7, 8]
    frame.to_parquet(tmp_path / "table.parquet")
    arguments = {
        "labels": LabelColumns(CHEXPERT[2:], "chexpert"),
        "columns": Columns("Path", patient="Patient ID"),
        "header": [*CHEXPERT, "Patient ID"],
    }
    csv_data = nih([[*row, patient] for row, patient in zip(CHEXPERT_ROWS, (7, 8), strict=True)], **arguments)
    data = nih(CHEXPERT_ROWS, **arguments, table=tmp_path / "table.parquet")
    one, other = (next(iter(d.test_dataloader())) for d in (data, csv_data))
    assert torch.equal(one["labels"].nan_to_num(9), other["labels"].nan_to_num(9))
    assert data.split_sha256("test") == csv_data.split_sha256("test")


def test_rows_can_be_chosen_by_value(nih: Any) -> None:
    data = nih(where={"View Position": ["AP"]})
    assert len(data.source("test")) == 3
    with pytest.raises(TableError, match=r"column 'View Position': no row has one of \['LL'\]"):
        nih(where={"View Position": ["LL"]})


def spoil(rows: list[Row], row: int, column: str, value: str) -> list[Row]:
    rows = [list(r) for r in rows]
    rows[row - 1][HEADER.index(column)] = value
    return rows


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:120])


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "no such file in the image folders"),
    "empty": (lambda path: path.write_bytes(b""), r"0 bytes"),
    "truncated": (truncate, "truncated"),
    "no image": (lambda path: path.write_text("<html>"), "cannot be read as an image"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_image_is_refused_or_set_aside(
    nih: Any, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage, message = BAD_FILES[kind]
    name = nih.rows[2][0]
    damage(tmp_path / "images" / name)
    with pytest.raises(
        TableError, match=rf"(?s)table.csv: bad rows: 1 .*row 3 \({name}\).*{message}.*set_aside"
    ):
        nih()
    data = nih(on_bad="set_aside")
    assert "set aside" in caplog.text and name in caplog.text
    assert len(data.source("test")) == 5
    (listed,) = (tmp_path / "artifacts").glob("bad-rows-*.csv")
    with listed.open() as file:
        (entry,) = csv.DictReader(file)
    assert (entry["row"], entry["image"], entry["column"]) == ("3", name, "Image Index")
    write_image(tmp_path / "images" / name, 2)
    assert len(nih().source("test")) == 6, "mended files are looked at again"


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (4, "Image Index", "00000000_000.png", r"row 4 .*stands in row 1 already; keep one"),
        (2, "Image Index", "", r"row 2 .*names no image"),
        (5, "Patient ID", "", r"row 5 .*column 'Patient ID', value '': names no patient"),
        (6, "Finding Labels", "", r"row 6 .*column 'Finding Labels', value '': has no label"),
    ],
)
def test_a_bad_cell_is_refused_or_set_aside(
    nih: Any, row: int, column: str, value: str, message: str
) -> None:
    rows = spoil(nih.rows, row, column, value)
    with pytest.raises(TableError, match=f"(?s){message}"):
        nih(rows)
    data = nih(rows, on_bad="set_aside")
    assert row not in [int(data.source("test").rows.rows[i]) for i in data.source("test").chosen]
    assert len(data.source("test")) == 5


def test_an_image_that_breaks_after_the_check_is_named_with_its_row(nih: Any, tmp_path: Path) -> None:
    data = nih()
    loader = data.test_dataloader()
    truncate(tmp_path / "images" / nih.rows[1][0])
    with pytest.raises(ValueError, match=rf"table.csv, row 2: .*{nih.rows[1][0]}: cannot be read"):
        list(loader)


@pytest.mark.parametrize("value", ["2", "yes", "nan"])
def test_a_value_that_is_no_label_is_refused(nih: Any, value: str) -> None:
    rows = [[*CHEXPERT_ROWS[0][:3], value, *CHEXPERT_ROWS[0][4:]], CHEXPERT_ROWS[1]]
    labels = LabelColumns(CHEXPERT[2:], "chexpert")
    with pytest.raises(TableError, match=rf"row 1 .*column 'Edema', value '{value}': is none of 1, 0, -1"):
        nih(rows, CHEXPERT, labels=labels, columns=Columns("Path"))


def test_an_empty_cell_can_be_refused_in_one_column_a_label_too(nih: Any) -> None:
    labels = LabelColumns(CHEXPERT[2:], "chexpert", blank="refuse")
    with pytest.raises(TableError, match=r"column 'Edema', value ''"):
        nih(CHEXPERT_ROWS, CHEXPERT, labels=labels, columns=Columns("Path"))


@pytest.mark.parametrize("meaning", ["unknown", "absent"])
def test_an_empty_list_of_labels_can_have_a_meaning(nih: Any, catalog: ConceptCatalog, meaning: Any) -> None:
    labels = LabelColumns("Finding Labels", "nih", blank=meaning)
    data = nih(spoil(nih.rows, 1, "Finding Labels", ""), labels=labels)
    row = next(iter(data.test_dataloader()))["labels"][0]
    edema = row[catalog.index("edema")]
    assert edema.isnan() if meaning == "unknown" else edema == 0


def test_unknown_labels_are_named_with_their_number(nih: Any) -> None:
    rows = spoil(spoil(nih.rows, 1, "Finding Labels", "Edema|Gout"), 2, "Finding Labels", "Gout")
    with pytest.raises(
        TableError,
        match=r"no concept for 'Gout' \(2 rows, the first row 1\) in vocabulary .*unmapped: ignore",
    ):
        nih(rows)
    data = nih(rows, labels=LabelColumns("Finding Labels", "nih", unmapped="ignore"))
    assert next(iter(data.test_dataloader()))["labels"][1].nansum() == 0


def test_unknown_vocabularies_and_columns_are_named(nih: Any) -> None:
    with pytest.raises(TableError, match="no vocabulary 'icd10'; give one of chexpert, nih, padchest"):
        nih(labels=LabelColumns("Finding Labels", "icd10"))
    with pytest.raises(TableError, match="no column 'Image index'; did you mean 'Image Index'"):
        nih(columns=Columns("Image index"))
    with pytest.raises(TableError, match=r"no column 'zzz'; it has \['Image Index'"):
        nih(where={"zzz": ["1"]})


def test_what_is_no_table_is_named(nih: Any, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such table"):
        nih(table=tmp_path / "none.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(TableError, match="cannot be read as a table"):
        nih(table=tmp_path / "empty.csv")
    (tmp_path / "broken.parquet").write_text("no parquet")
    with pytest.raises(TableError, match="cannot be read as a table"):
        nih(table=tmp_path / "broken.parquet")
    with pytest.raises(TableError, match="no rows below the header"):
        nih([])
    with pytest.raises(TableError, match=r"image_root='.*none' is no folder"):
        nih(image_root=tmp_path / "none")
    with pytest.raises(TableError, match=r"holds no folder like \['pictures'\]"):
        nih(image_folders=["pictures"])


def test_impossible_settings_are_refused(nih: Any) -> None:
    with pytest.raises(ValueError, match=r"shares ≥ 0 that sum to 1"):
        nih(splits={"train": 0.5})
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        nih(splits={"dev": 1.0})
    with pytest.raises(ValueError, match="labels: not given"):
        nih(labels=None)
    with pytest.raises(TableError, match="no image in split 'val'"):
        nih().val_dataloader()
    with pytest.raises(RuntimeError, match="call prepare_data"):
        nih(prepare=False, artifacts_dir="nowhere").test_dataloader()
