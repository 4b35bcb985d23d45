"""Each preset of a public data set, on a small tree with its layout, whole and broken."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

from datamodules.tables.manifests import MsCxr
from datamodules.tables.mimic_report import findings_and_impression
from datamodules.tables.splits import official_splits
from datamodules.tables.table_error import TableError
from scripts.resolved_config import resolved_config
from tests.datamodules.tables import fake_data_sets

ROOT = Path(__file__).resolve().parents[3]
PRESETS = [
    "mimic_cxr", "chexpert", "chexpert_plus", "nih_chestxray14_official", "rsna_pneumonia",
    "siim_pneumothorax", "padchest", "vindr_cxr", "open_i", "covidx", "vqa_rad", "rad_restruct", "ms_cxr",
    "chestx_det10",
]  # fmt: skip
VQA_RAD, MS_CXR = "VQA_RAD Dataset Public.json", f"{fake_data_sets.MS_CXR}.csv"
HERE = "THE-FOLDER"
Open = Callable[..., Any]


@cache
def preset(name: str) -> str:
    """The data section as the command line reads it."""
    os.chdir(ROOT)
    sizes = ["--data.init_args.image_size=16", "--data.init_args.loader.batch_size=4"]
    layers = ("-c", "configs/pretrain.yaml", "-c", f"configs/data/{name}.yaml")
    config = resolved_config("fit", *layers, f"--data.init_args.image_root={HERE}", *sizes)["data"]
    return yaml.safe_dump({"data": config}, sort_keys=False)


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trees")
    for name in PRESETS:
        getattr(fake_data_sets, name)(root / name)
    return root


@pytest.fixture
def whole(trees: Path, tmp_path: Path) -> Open:
    return lambda name, **changes: opened(name, trees / name, tmp_path, **changes)


@pytest.fixture
def broken(trees: Path, tmp_path: Path) -> Open:
    """Copies a tree, hands it to what breaks it, and opens it."""

    def open_broken(name: str, damage: Callable[[Path], object], **changes: Any) -> Any:
        shutil.copytree(trees / name, tmp_path / name)
        damage(tmp_path / name)
        return opened(name, tmp_path / name, tmp_path, **changes)

    return open_broken


def opened(name: str, root: Path, artifacts: Path, **changes: Any) -> Any:
    config = yaml.safe_load(preset(name).replace(HERE, str(root)))
    arguments = config["data"]["init_args"]
    arguments |= {"artifacts_dir": str(artifacts / "artifacts")} | changes
    if config["data"]["class_path"].endswith(("ImageReports", "ImageQuestions")):
        arguments["tokenizer"] = {"vocab_size": 100}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    data = parser.instantiate_classes(parser.parse_object(config)).data
    if arguments["columns"].get("regions"):
        data.asked = {"train": frozenset({"masks"})}
    data.prepare_data()
    data.setup("fit")
    return data


def names(data: Any, split: str) -> list[str]:
    source = data.source(split)
    return [source.rows.names[int(i)] for i in source.chosen]


def concepts(data: Any, sample: Any) -> dict[str, float]:
    """What a sample says of the concepts that it knows of."""
    known = zip(data.concept_names, sample.labels.tolist(), strict=True)
    return {name: value for name, value in known if value == value}


def present(data: Any, sample: Any) -> set[str]:
    return {name for name, value in concepts(data, sample).items() if value == 1}


def test_mimic_cxr(whole: Open) -> None:
    data = whole("mimic_cxr")
    assert names(data, "train") == [
        "files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg",
        "files/p10/p10000764/s57375967/096052b7-d256dc40.jpg",
    ]
    assert names(data, "val") == ["files/p11/p11000898/s50771383/3e90d4f3-0db1ee5b.jpg"]
    first, second = data.source("train").samples([0, 1])
    assert (first.report.findings, first.report.impression) == (
        "Small left pleural effusion. The heart is normal.",
        "Left effusion.",
    )
    assert (second.report.findings, second.report.impression) == ("Clear lungs.", "")
    assert present(data, first) == {"pleural_effusion"} and present(data, second) == {"no_finding"}
    assert "pneumonia" not in concepts(data, first), "uncertain is unknown"
    assert concepts(data, first)["edema"] == 0, "not mentioned is absent"
    (val,), (test,) = data.source("val").samples([0]), data.source("test").samples([0])
    assert val.report.findings == "The lungs are clear." and test.report.impression == "Edema."
    assert concepts(data, val) == {}, "a study that the labeler did not read is unknown"
    assert (first.view, second.view) == (0, 1)


def test_chexpert(whole: Open) -> None:
    data = whole("chexpert")
    assert len(names(data, "test")) == 3 and all(name.startswith("valid/") for name in names(data, "test"))
    training = names(data, "train") + names(data, "val")
    assert len(training) == 40 and all("frontal" in name for name in training)
    assert 1 <= len(names(data, "val")) <= 6
    (sample,) = data.source("test").samples([0])
    assert present(data, sample) == {"edema"} and "pneumonia" not in concepts(data, sample)
    assert len(concepts(data, sample)) == 13


def test_chexpert_plus(whole: Open) -> None:
    data = whole("chexpert_plus", splits={"train": 0.6, "val": 0.4})
    assert len(names(data, "test")) == 3
    assert len(names(data, "train") + names(data, "val")) == 26, "the empty report is set aside"
    (sample,) = data.source("test").samples([0])
    assert sample.report.text == "FINDINGS: The lungs are clear. IMPRESSION: No acute disease."


def test_nih_chestxray14_by_its_official_split(whole: Open) -> None:
    data = whole("nih_chestxray14_official")
    assert names(data, "test") == [f"{30 + i // 2:08}_{i % 2:03}.png" for i in range(6)]
    patients = {split: {name[:8] for name in names(data, split)} for split in ("train", "val")}
    assert len(names(data, "train") + names(data, "val")) == 60
    assert not patients["train"] & patients["val"] and len(set.union(*patients.values())) == 30
    assert 1 <= len(patients["val"]) <= 6
    first, second = data.source("test").samples([0, 1])
    assert present(data, first) == {"no_finding"} and present(data, second) == {"pleural_effusion", "edema"}
    assert len(concepts(data, second)) == 15 and (first.view, second.view) == (0, 1)


def test_rsna_pneumonia(whole: Open) -> None:
    data = whole("rsna_pneumonia")
    sizes = {split: len(names(data, split)) for split in ("train", "val", "test")}
    assert sum(sizes.values()) == 30 and sizes["train"] > max(sizes["val"], sizes["test"])
    expected = {
        "Lung Opacity": {"pneumonia"},
        "Normal": {"no_finding"},
        "No Lung Opacity / Not Normal": set(),
    }
    for name, sample in zip(
        names(data, "train"), data.source("train").samples(range(sizes["train"])), strict=True
    ):
        kind = list(expected)[int(name[:8], 16) % 3]
        assert present(data, sample) == expected[kind] and set(concepts(data, sample)) == {
            "pneumonia",
            "no_finding",
        }
        assert sample.masks.shape == (len(expected[kind] & {"pneumonia"}), 16, 16)
        if kind == "Lung Opacity":
            # 64 × 48 pixels: scaled by 1/3, then the middle 16 rows of 21. Boxes: left half, rows 8 to 56;
            # right half, rows 8 to 18.
            (mask,) = sample.masks
            assert data.concept_names[int(sample.mask_concepts)] == "pneumonia"
            assert mask[1:15, :8].all() and not mask[5:, 8:].any() and mask[1:3, 8:].all()
            assert len(sample.boxes) == 2, "they touch, and are two all the same"
            assert sample.box_concepts.tolist() == sample.mask_concepts.tolist() * 2
    (batch, *_) = data.val_dataloader()
    assert len(batch["masks"]) == len(batch["mask_concepts"]) == len(batch["image"])
    assert len(batch["boxes"]) == len(batch["box_concepts"]) == len(batch["image"])


def test_the_images_of_an_rsna_patient_stay_together_where_the_mapping_is_given(whole: Open) -> None:
    table = yaml.safe_load(preset("rsna_pneumonia"))["data"]["init_args"]["table"]
    table["init_args"] = {"mapping": "pneumonia-challenge-dataset-mappings_2018.json"}
    data = whole("rsna_pneumonia", table=table)
    patients = [{int(name[:8], 16) // 2 for name in names(data, split)} for split in ("train", "val", "test")]
    assert len(set.union(*patients)) == sum(map(len, patients)) == 15


def test_siim_pneumothorax(whole: Open) -> None:
    data = whole("siim_pneumothorax")
    for name, sample in zip(
        names(data, "val"), data.source("val").samples(range(len(names(data, "val")))), strict=True
    ):
        ill = int(name.split(".")[-2]) % 3 == 0
        assert concepts(data, sample) == {"pneumothorax": float(ill)}
        expected = torch.zeros(int(ill), 16, 16, dtype=torch.bool)
        expected[:, :8, 4:8] = True
        assert torch.equal(sample.masks, expected)


def test_padchest(whole: Open) -> None:
    data = whole("padchest")
    samples = dict(zip(names(data, "test"), data.source("test").samples(range(4)), strict=True))
    assert sorted(samples) == [f"2168401_{i}.png" for i in range(4)], "frontal, labelled by physicians"
    normal, effusion, unchanged, pneumonia = (samples[f"2168401_{i}.png"] for i in range(4))
    assert present(data, normal) == {"no_finding"} and present(data, effusion) == {"pleural_effusion"}
    assert concepts(data, unchanged) == {"cardiomegaly": 1.0}, "beside 'unchanged' nothing else is known"
    assert present(data, pneumonia) == {"pneumonia"} and concepts(data, pneumonia)["edema"] == 0
    assert normal.image.float().std() > 20, "16 bits are spread over the grey levels"


def test_vindr_cxr(whole: Open) -> None:
    data = whole("vindr_cxr")
    assert names(data, "test") == ["test0.dicom"]
    expected = [{"cardiomegaly"}, {"no_finding"}, {"pleural_effusion"}]
    listed = names(data, "train")
    assert 18 <= len(listed) < 30 and len(listed) + len(names(data, "val")) == 30
    for name, sample in zip(listed, data.source("train").samples(range(len(listed))), strict=True):
        assert present(data, sample) == expected[int(name[5:-6]) % 3]
        assert concepts(data, sample)["edema"] == 0 and "nodule" not in concepts(data, sample)
        drawn = {data.concept_names[int(i)] for i in sample.mask_concepts}
        assert drawn == expected[int(name[5:-6]) % 3] - {"no_finding"}
        assert all(mask[1:15, :8].all() and not mask[:, 8:].any() for mask in sample.masks)
    (test,) = data.source("test").samples([0])
    assert present(data, test) == {"fracture"} and len(test.masks) == 1
    assert test.masks[0, :, 8:].all() and not test.masks[0, :, :8].any()


def test_a_lesion_that_several_readers_framed_has_one_box(broken: Open) -> None:
    def frame_otherwise(root: Path) -> None:
        path = root / "annotations" / "annotations_train.csv"
        lines = path.read_text().splitlines()
        # Of train0's three readers the first two frame one heart nearly alike, the third something else.
        lines = [line for line in lines if not line.startswith("train0,")]
        for reader, corners in ((1, "4,8,24,48"), (2, "4,8,28,48"), (3, "4,48,24,60"), (3, "4,8,24,20")):
            lines.append(f"train0,R{reader},Cardiomegaly,{corners}")
        path.write_text("\n".join(lines) + "\n")

    everything = {"train": ["train", "test"], "val": [], "test": []}
    data = broken("vindr_cxr", frame_otherwise, official=everything, splits={"train": 1.0}, fit="pad")
    sample = data.source("train").samples([names(data, "train").index("train0.dicom")])[0]
    # 64 × 48 pixels with 8 columns of border on either side, scaled by 1/4.
    pixels = sample.boxes * 16
    assert pixels.tolist() == [[5.75, 7, 5.5, 10], [5.5, 13.5, 5, 3], [5.5, 3.5, 5, 3]]


def test_the_minority_of_readers_can_leave_a_label_unknown(whole: Open) -> None:
    table = yaml.safe_load(preset("vindr_cxr"))["data"]["init_args"]["table"]
    table["init_args"] = {"minority": "unknown"}
    data = whole("vindr_cxr", table=table)
    rows = dict(
        zip(names(data, "train"), data.source("train").samples(range(len(names(data, "train")))), strict=True)
    )
    cardiomegaly = next(sample for name, sample in rows.items() if int(name[5:-6]) % 3 == 0)
    assert "edema" not in concepts(data, cardiomegaly) and concepts(data, cardiomegaly)["pneumonia"] == 0


def test_open_i(whole: Open) -> None:
    data = whole("open_i", splits={"train": 0.5, "val": 0.25, "test": 0.25})
    found = {}
    for split in ("train", "val", "test"):
        listed = names(data, split)
        found |= dict(zip(listed, data.source(split).samples(range(len(listed))), strict=True))
    assert len(found) == 19 and all(name.endswith("-3001.png") for name in found), "frontal, with a report"
    normal, ill = found["CXR1_1_IM-0001-3001.png"], found["CXR2_1_IM-0001-3001.png"]
    assert normal.report.text == "FINDINGS: Heart size is normal. IMPRESSION: No acute disease."
    assert present(data, normal) == {"no_finding"}
    assert present(data, ill) == {"cardiomegaly", "pleural_thickening", "nodule"}


def test_covidx(whole: Open) -> None:
    data = whole("covidx")
    assert names(data, "test") == ["test-0.png", "test-1.png", "test-2.png"]
    assert len(names(data, "train")) > len(names(data, "val")) > 0
    samples = data.source("test").samples([0, 1, 2])
    assert [present(data, s) for s in samples] == [{"no_finding"}, {"pneumonia"}, {"covid_19"}]
    classes = [data.catalog.index(name) for name in ("no_finding", "pneumonia", "covid_19")]
    assert all(sample.labels[classes].sum() == 1 for sample in samples), "each has one of the three"
    others = [i for i in range(len(data.catalog)) if i not in classes]
    assert all(sample.labels[others].isnan().all() for sample in samples)


def asked(data: Any, split: str) -> list[tuple[str, str, bool, str]]:
    """Image, question, answer and kind of each sample."""
    samples = data.source(split).samples(range(len(data.source(split))))
    rows = zip(names(data, split), (sample.question for sample in samples), strict=True)
    return [(name, question.text, question.answer, question.kind) for name, question in rows]


def test_vqa_rad(whole: Open, caplog: pytest.LogCaptureFixture) -> None:
    data = whole("vqa_rad", loader={"batch_size": 4, "num_workers": 0})
    found = {split: asked(data, split) for split in ("train", "val", "test")}
    expected = [(f"synpic{i}.jpg", "Is the heart enlarged?", i % 2 == 1, "size") for i in range(30)]
    expected += [(f"synpic{i}.jpg", "Is there a mass?", i % 3 == 0, "presence") for i in range(30)]
    assert sorted(row for rows in found.values() for row in rows) == sorted(expected)
    images = [{name for name, *_ in rows} for rows in found.values()]
    assert sum(map(len, images)) == 30, "no image is asked about in two splits"
    for said in (
        "`where` keeps 61 of 92 rows; left out are column 'image_organ': 'HEAD' (1); "
        "column 'answer_type': 'OPEN' (30)",
        "row 91 (synpic7.jpg), column 'answer', value 'left': is neither yes nor no",
    ):
        assert said in caplog.text
    (batch, *_) = data.train_dataloader()
    rows = zip(batch["question"], batch["answer"].tolist(), batch["question_kind"], strict=True)
    assert {(text, bool(answer), kind) for text, answer, kind in rows} <= {row[1:] for row in found["train"]}
    assert "report" not in batch and len(batch["input_ids"]) == len(batch["image"])
    source = data.source("train")
    first, second, third = source.samples([0, 1, 2])
    assert names(data, "train")[0] == names(data, "train")[1] != names(data, "train")[2]
    assert torch.equal(first.image, second.image) and not torch.equal(first.image, third.image)


def test_questions_of_a_table_need_no_type(broken: Open) -> None:
    def convert(root: Path) -> None:
        asked_of = [
            entry for entry in json.loads((root / VQA_RAD).read_text()) if entry["answer"] in ("yes", "no")
        ]
        rows = [(entry["image_name"], entry["question"], entry["answer"].upper()) for entry in asked_of]
        fake_data_sets.write_csv(root / "own.csv", ["file", "asked", "said"], rows)

    table = {"class_path": "datamodules.tables.manifests.TableFile", "init_args": {"path": "own.csv"}}
    columns, questions = {"image": "file"}, {"question": "asked", "answer": "said"}
    data = broken("vqa_rad", convert, table=table, columns=columns, questions=questions, where=None)
    assert {row[1:] for row in asked(data, "train")} == {
        ("Is there a mass?", True, "closed"),
        ("Is there a mass?", False, "closed"),
    }


def test_rad_restruct(whole: Open, caplog: pytest.LogCaptureFixture) -> None:
    data = whole("rad_restruct")
    pleura, lung = "Are there any signs in the pleura?", "Are there any signs in the lung?"
    assert asked(data, "val") == [
        ("CXR7_IM-0001-1001", pleura, False, "level_1"),
        ("CXR7_IM-0001-1001", lung, True, "level_1"),
        ("CXR7_IM-0001-1001", "Is there an opacity in the lung?", True, "level_2"),
        ("CXR8_IM-0001-1001", pleura, False, "level_1"),
        ("CXR8_IM-0001-1001", lung, False, "level_1"),
    ]
    assert [name for name, *_ in asked(data, "test")][-4:] == ["CXR12_a"] * 2 + ["CXR12_b"] * 2
    assert len(set(data.source("test").groups().tolist())) == 4, "a report is a patient"
    assert "30 of 42 questions of the reports are used; left out are 6 that choose among" in caplog.text


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_ms_cxr(whole: Open, suffix: str) -> None:
    table = yaml.safe_load(preset("ms_cxr"))["data"]["init_args"]["table"]
    table["init_args"] = {"path": f"{fake_data_sets.MS_CXR}{suffix}"}
    data = whole("ms_cxr", table=table, fit="pad", image_size=24)
    source = data.source("test")
    assert len(source) == 20 and len(set(source.groups().tolist())) == 10
    right, left = source.samples([0, 1])
    assert concepts(data, right) == {"pneumothorax": 1.0}, "nothing is said to be absent"
    assert right.phrases == ["Pneumothorax at the right base"]
    assert left.phrases == ["Pleural Effusion at the left base"]
    # Half of what was drawn on 48 × 40 pixels; two rows of border above the image.
    expected = torch.zeros(2, 24, 24, dtype=torch.bool)
    expected[0, 2:12, :12] = expected[1, 2:12, :18] = True
    assert torch.equal(torch.cat([right.masks, left.masks]), expected) and len(left.boxes) == 2
    assert ("pneumothorax", "Pneumothorax at the left base") in data.phrases and len(data.phrases) == 6


def test_ms_cxr_without_paths_names_images_by_their_ids(tmp_path: Path) -> None:
    header = "dicom_id,category_name,label_text,x,y,w,h,image_width,image_height"
    boxes = ["a,Edema,Mild edema,1,2,3,4", "a,Edema,Mild edema,5,2,3,4", "b,Edema,Edema,1,2,9,4"]
    rows = [f"{box},10,20" for box in boxes]
    (tmp_path / "own.csv").write_text("\n".join([header, *rows]))
    frame = MsCxr("own.csv").frame(tmp_path)
    assert frame["image"].tolist() == frame["patient"].tolist() == ["a.jpg", "b.jpg"]
    first, second = (json.loads(cell) for cell in frame["regions"])
    assert [region["box"] for region in first] == [[1, 2, 3, 4], [5, 2, 3, 4]]
    assert second == [{"label": "Edema", "phrase": "Edema", "box": [1, 2, 9, 4], "size": [20, 10]}]
    (tmp_path / "own.csv").write_text("\n".join([header, "a,Edema,Mild edema,1,2,wide,4,10,20"]))
    with pytest.raises(TableError, match=r"own\.csv, row 1 \(a\.jpg\), values \['1', '2', 'wide', '4'\]"):
        MsCxr("own.csv").frame(tmp_path)


def test_chestx_det10(whole: Open) -> None:
    data = whole("chestx_det10", splits={"train": 0.6, "val": 0.4})
    assert len(names(data, "test")) == 10 and len(names(data, "train")) > len(names(data, "val")) > 0
    samples = dict(zip(names(data, "test"), data.source("test").samples(range(10)), strict=True))
    clear, effusion, mass = (samples[f"{i // 2 + 1:08}_{i % 2:03}.png"] for i in (21, 22, 23))
    assert not present(data, clear) and concepts(data, clear)["mass"] == 0 and not len(clear.masks)
    assert present(data, effusion) == {"pleural_effusion"} and len(effusion.boxes) == 2
    (mask,) = effusion.masks
    assert mask[8:, :4].all() and mask[8:, 8:12].all() and int(mask.sum()) == 64
    assert present(data, mass) == {"mass"} and len(mass.boxes) == 1, "calcifications have no concept"
    assert not data.phrases


def rewrite(name: str, old: str, new: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = root / name
        if path.suffix == ".gz":
            path.write_bytes(
                gzip.compress(gzip.decompress(path.read_bytes()).replace(old.encode(), new.encode()))
            )
        else:
            path.write_text(path.read_text().replace(old, new))

    return damage


def without(name: str) -> Callable[[Path], object]:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def no_reports(root: Path) -> None:
    for path in root.rglob("s*.txt"):
        path.unlink()


MISSING = {
    "mimic_cxr": [
        "mimic-cxr-2.0.0-metadata.csv.gz",
        "mimic-cxr-2.0.0-split.csv.gz",
        "mimic-cxr-2.0.0-chexpert.csv.gz",
    ],
    "chexpert": ["train.csv", "valid.csv"],
    "chexpert_plus": ["df_chexpert_plus_240401.csv"],
    "nih_chestxray14_official": ["Data_Entry_2017_v2020.csv", "train_val_list.txt", "test_list.txt"],
    "rsna_pneumonia": ["stage_2_train_labels.csv", "stage_2_detailed_class_info.csv", "stage_2_train_images"],
    "siim_pneumothorax": ["train-rle.csv", "dicom-images-train"],
    "padchest": ["PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"],
    "vindr_cxr": ["annotations/image_labels_test.csv", "annotations/annotations_train.csv"],
    "open_i": ["ecgen-radiology", "indiana_projections.csv"],
    "covidx": ["train_COVIDx9A.txt"],
    "vqa_rad": [VQA_RAD],
    "rad_restruct": ["id_to_img_mapping_frontal_reports.json", "val_qa_pairs"],
    "ms_cxr": [MS_CXR],
    "chestx_det10": ["test.json"],
}


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, files in MISSING.items() for file in files]
)
def test_a_missing_list_is_named_with_its_source_and_terms(broken: Open, name: str, file: str) -> None:
    origin = yaml.safe_load(preset(name))["data"]["init_args"]["origin"]
    with pytest.raises(TableError) as error:
        broken(name, without(file))
    for words in (file.removesuffix(".gz"), origin["name"], origin["home"], origin["terms"]):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "mimic_cxr",
            no_reports,
            r"no report of the 4 studies is there.*mimic-cxr-reports\.zip.*physionet\.org",
        ),
        (
            "mimic_cxr",
            rewrite("mimic-cxr-2.0.0-split.csv.gz", "validate", "dev"),
            r"column 'split': 'dev' \(1 rows\) belongs to no split",
        ),
        ("mimic_cxr", rewrite("mimic-cxr-2.0.0-split.csv.gz", "dicom_id", "image"), "no column 'dicom_id'"),
        (
            "chexpert",
            rewrite("train.csv", "/patient00007/", "/p7/"),
            r"row 7, column 'Path'.*patient is not to be",
        ),
        (
            "chexpert",
            rewrite("valid.csv", "Pleural Other", "Pleural"),
            "only one of them has .*Pleural Other",
        ),
        (
            "chexpert_plus",
            rewrite("df_chexpert_plus_240401.csv", "section_findings", "findings"),
            "did you mean",
        ),
        (
            "nih_chestxray14_official",
            rewrite("train_val_list.txt", "00000003_001.png\n", ""),
            r"row 8, .*'00000003_001\.png': stands in none of train_val_list\.txt, test_list\.txt \(1 such",
        ),
        (
            "nih_chestxray14_official",
            rewrite("test_list.txt", "00030804_000.png", "00000000_000.png\n00000000_001.png"),
            r"row 1, column 'Image Index', value '00000000_000\.png': stands in both of .*\(2 such rows\)",
        ),
        (
            "nih_chestxray14_official",
            lambda root: (root / "test_list.txt").write_text(""),
            r"test_list\.txt: has no rows",
        ),
        (
            "nih_chestxray14_official",
            rewrite("Data_Entry_2017_v2020.csv", "Image Index", "Image"),
            r"no column 'Image Index'; did you mean 'Image'\?",
        ),
        (
            "rsna_pneumonia",
            rewrite("stage_2_train_labels.csv", "24.0,48.0", "0.0,48.0"),
            r"column 'regions'.*box without extent",
        ),
        (
            "rsna_pneumonia",
            rewrite("stage_2_detailed_class_info.csv", ",Normal", ",Healthy"),
            r"no concept for 'Healthy' \(10 rows",
        ),
        (
            "siim_pneumothorax",
            rewrite("train-rle.csv", " -1", ""),
            r"row 3 .*neither -1 nor pairs of numbers",
        ),
        (
            "siim_pneumothorax",
            rewrite("train-rle.csv", "1048575 1", "1048575 2"),
            r"do not fit into 1024 × 1024",
        ),
        (
            "vindr_cxr",
            rewrite("annotations/annotations_train.csv", "24.2", "wide"),
            r"columns \['x_min'.*are no box",
        ),
        (
            "vindr_cxr",
            rewrite("annotations/image_labels_train.csv", "R2,0", "R2,2"),
            r"row 2 \(train0\), column 'Aortic enlargement', value '2'",
        ),
        (
            "open_i",
            rewrite("ecgen-radiology/3.xml", "</eCitation>", ""),
            r"3\.xml: is no XML.*NLMCXR_reports\.tgz",
        ),
        (
            "covidx",
            rewrite("test_COVIDx9A.txt", "COVID-19", "positive"),
            r"no concept for 'positive' \(1 rows",
        ),
        (
            "vqa_rad",
            rewrite(VQA_RAD, '"left"', '"maybe"'),
            r"Public\.json: .*row 91 \(synpic7\.jpg\), column 'answer', value 'maybe': is neither yes nor no",
        ),
        (
            "vqa_rad",
            rewrite(VQA_RAD, '"question_type": "PRES"', '"question_type": "PRES, FEEL"'),
            r"row 2 .*column 'question_type', value 'PRES, FEEL': is no known type.*questions\.kinds",
        ),
        ("vqa_rad", rewrite(VQA_RAD, '"answer":', '"reply":'), r"no column 'answer'"),
        (
            "vqa_rad",
            rewrite(VQA_RAD, "Is there a  mass?", "Is the heart enlarged?"),
            r"row 2 .*column 'answer', value 'yes': answers what row 1 asks of the same image otherwise",
        ),
        (
            "vqa_rad",
            lambda root: (root / "VQA_RAD Image Folder" / "synpic3.jpg").unlink(),
            r"row 10 \(synpic3\.jpg\), .*no such file in the image folders",
        ),
        (
            "vqa_rad",
            lambda root: (root / VQA_RAD).write_text('{"qid": 1}'),
            r"holds no list of objects, but dict",
        ),
        (
            "vqa_rad",
            lambda root: [rewrite(VQA_RAD, word, '"no"')(root) for word in ('"Yes"', '"yes"', '"left"')],
            r"all \d+ questions of split 'train' are answered 'no'",
        ),
        (
            "rad_restruct",
            rewrite("train_qa_pairs/3.json", '["yes"], []', '["perhaps"], []'),
            r"column 'answer', value 'perhaps': is neither yes nor no",
        ),
        (
            "rad_restruct",
            rewrite("train_qa_pairs/3.json", ', "path": "pleura_signs"', ""),
            r"3\.json, row 1, .*is no \[question, answers, history.*KeyError: 'path'",
        ),
        (
            "rad_restruct",
            rewrite("id_to_img_mapping_frontal_reports.json", '"3"', '"03"'),
            r"3\.json: .*names no images of report '3'",
        ),
        (
            "ms_cxr",
            rewrite(MS_CXR, "image-3.jpg,0,0,24", "image-3.jpg,0,0,-24"),
            r"1\.0\.csv, row 5 \(.*image-3\.jpg\), value .*: is empty, or its corners are swapped",
        ),
        (
            "ms_cxr",
            rewrite(MS_CXR, "image-0.jpg,0,0,24", "image-0.jpg,48,0,24"),
            r"row 1 .*lies outside its image of 48 × 40 pixels",
        ),
        (
            "ms_cxr",
            rewrite(MS_CXR, ",48,40,image-2,", ",40,48,image-2,"),
            r"row 3 .*has a box drawn on 40 × 48 pixels, which is no scaled form of the image",
        ),
        (
            "ms_cxr",
            rewrite(MS_CXR, "Lung Opacity,", "Opacity,"),
            r"row 3 .*has a region 'Opacity', which the vocabulary does not know",
        ),
        ("ms_cxr", rewrite(MS_CXR, "label_text", "text"), r"no column 'label_text'"),
        (
            "chestx_det10",
            rewrite("train.json", "[0, 512, 256, 1024]", "[256, 512, 0, 1024]"),
            r"train\.json, row 2 \(00000001_001\.png\), value .*corners are swapped",
        ),
        (
            "chestx_det10",
            rewrite("test.json", '"syms": ["Effusion", "Effusion"]', '"syms": ["Effusion"]'),
            r"test\.json, row 3 .*are no lists of equal length",
        ),
        ("chestx_det10", rewrite("test.json", '"Mass"', '"Tumor"'), r"no concept for 'Tumor' \(4 rows"),
        (
            "covidx",
            lambda root: (root / "train" / "train-5.png").unlink(),
            r"row 6 \(train-5\.png\).*no such file in the image folders",
        ),
    ],
)
def test_a_broken_tree_is_refused_with_the_place(broken: Open, name: str, damage: Any, message: str) -> None:
    with pytest.raises(TableError, match=f"(?s){message}"):
        broken(name, damage, on_bad="refuse")


def test_padchest_sets_a_broken_list_of_labels_aside(broken: Open, caplog: pytest.LogCaptureFixture) -> None:
    list_ = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    data = broken("padchest", rewrite(list_, "['pneumonia']", "['pneumonia'"))
    assert len(names(data, "test")) == 3 and "is no list of labels" in caplog.text


def test_masks_of_another_size_than_the_image_are_named(broken: Open, trees: Path) -> None:
    def damage(root: Path) -> None:
        for path in root.rglob("*.dcm"):
            fake_data_sets.dicom(path, 0, (64, 64))

    with pytest.raises(TableError, match=r"(?s)row 1 .*for a size .*\[1024, 1024\]; the image has 64 × 64"):
        broken("siim_pneumothorax", damage)


def test_official_splits() -> None:
    official = {"train": ["train"], "val": ["train"], "test": ["valid"]}
    patients = [str(i) for i in range(2000)]
    values = ["valid" if i < 100 else "train" for i in range(2000)]
    found = official_splits(values, patients, official, {"train": 0.6, "val": 0.2, "test": 0.2}, "salt")
    assert found[:100] == ["test"] * 100 and set(found[100:]) == {"train", "val"}
    assert 0.2 < found.count("val") / 1900 < 0.3, "in the proportion of their shares"
    again = official_splits(values[::-1], patients[::-1], official, {"train": 0.6, "val": 0.2}, "salt")
    assert again[::-1] == found
    with pytest.raises(ValueError, match="have no share"):
        official_splits(values, patients, official, {"test": 1.0}, "salt")


def test_patients_that_official_splits_share_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    official = {"train": ["a"], "test": ["b"]}
    official_splits(["a", "b", "b"], ["7", "7", "8"], official, {}, "salt")
    assert "share 1 patients, the first '7'" in caplog.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            fake_data_sets.MIMIC_REPORT,
            ("Small left pleural effusion. The heart is normal.", "Left effusion."),
        ),
        ("FINDINGS AND IMPRESSION: Clear.\nRECOMMENDATION: none.", ("Clear.", "")),
        ("WET READ: clear.\n\nFINAL REPORT\nHISTORY: pain.\n\nREASON: Cough.", ("", "")),
        ("FINAL REPORT\nPA AND LATERAL CHEST:  First.\n\n Lungs are clear.", ("Lungs are clear.", "")),
        ("Clear lungs, no headings.", ("Clear lungs, no headings.", "")),
        ("", ("", "")),
    ],
)
def test_reports_are_cut_into_sections(text: str, expected: tuple[str, str]) -> None:
    assert findings_and_impression(text) == expected
