"""Small trees with the layouts of the public data sets: one function each."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.nih_table import HEADER, nih_rows

MIMIC_REPORT = """\
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough

 COMPARISON:  None.

 FINDINGS:

 Small left pleural effusion. The heart is
 normal.

 IMPRESSION:

 Left effusion.

 NOTIFICATION:  Dr. ___ was told.
"""
CHEXPERT_LABELS = [
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other",
    "Fracture", "Support Devices",
]  # fmt: skip


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def picture(path: Path, seed: int, shape: tuple[int, int] = (20, 24), deep: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(
        0, 65536 if deep else 256, shape, np.uint16 if deep else np.uint8
    )
    Image.fromarray(noise).save(path)


def dicom(path: Path, seed: int, shape: tuple[int, int] = (64, 48)) -> None:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns = shape
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit = 7
    file.PhotometricInterpretation = "MONOCHROME2"
    file.PixelData = np.random.default_rng(seed).integers(0, 256, shape, np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, file, enforce_file_format=True)


def mimic_cxr(root: Path) -> None:
    images = [  # patient, study, image, view, split
        ("10000032", "50414267", "02aa804e-bde0afdd", "PA", "train"),
        ("10000032", "50414267", "174413ec-4ec4c1f7", "LATERAL", "train"),
        ("10000764", "57375967", "096052b7-d256dc40", "AP", "train"),
        ("11000898", "50771383", "3e90d4f3-0db1ee5b", "AP", "validate"),
        ("12000935", "51178377", "9b314ad7-fbcb0422", "PA", "test"),
    ]
    reports = {
        "50414267": MIMIC_REPORT,
        "57375967": " FINAL REPORT\n INDICATION: pain.\n\n COMPARISON: None.\n\n Clear lungs.\n",
        "50771383": " CHEST PA:  The lungs are\n clear.\n",
        "51178377": " FINAL REPORT\n CONCLUSION: Edema.\n",
    }
    for i, (patient, study, image, *_) in enumerate(images):
        folder = root / "files" / f"p{patient[:2]}" / f"p{patient}"
        picture(folder / f"s{study}" / f"{image}.jpg", i)
        (folder / f"s{study}.txt").write_text(reports[study])
    write_csv(
        root / "mimic-cxr-2.0.0-metadata.csv.gz",
        ["dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows"],
        [(image, patient, study, "CHEST", view, 20) for patient, study, image, view, _ in images],
    )
    write_csv(
        root / "mimic-cxr-2.0.0-split.csv.gz",
        ["dicom_id", "study_id", "subject_id", "split"],
        [(image, study, patient, split) for patient, study, image, _, split in reversed(images)],
    )
    labels = sorted(CHEXPERT_LABELS)
    found = {"50414267": {"Pleural Effusion": "1.0", "Pneumonia": "-1.0"}, "51178377": {"Edema": "1.0"}}
    found |= {"57375967": {"No Finding": "1.0"}}  # 50771383 was not read by the labeler
    write_csv(
        root / "mimic-cxr-2.0.0-chexpert.csv.gz",
        ["subject_id", "study_id", *labels],
        [("1", study, *(values.get(label, "") for label in labels)) for study, values in found.items()],
    )


def chexpert(root: Path) -> None:
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS]
    for table, patients in {"train": range(1, 41), "valid": range(64541, 64544)}.items():
        rows = []
        for patient in patients:
            path = f"{table}/patient{patient:05}/study1/view1_frontal.jpg"
            picture(root / path, patient)
            values = [
                "1.0" if label == "Edema" else "-1.0" if label == "Pneumonia" else ""
                for label in CHEXPERT_LABELS
            ]
            rows.append([f"CheXpert-v1.0-small/{path}", "Female", 60, "Frontal", "AP", *values])
        rows.append([f"CheXpert-v1.0-small/{table}/none.jpg", "Male", 1, "Lateral", "", *[""] * 14])
        rows[-1][0] = f"CheXpert-v1.0-small/{table}/patient{patients[0]:05}/study1/view2_lateral.jpg"
        write_csv(root / f"{table}.csv", header, rows)


def chexpert_plus(root: Path) -> None:
    rows = []
    for i in range(30):
        split = "train" if i < 27 else "valid"
        path = f"{split}/patient{i:05}/study1/view1_frontal"
        picture(root / "PNG" / f"{path}.png", i)
        findings = "" if i == 3 else "The lungs are clear."
        impression = "" if i in (3, 4) else "No acute disease."
        rows.append([f"{path}.jpg", "", "Frontal", "PA", f"patient{i:05}", findings, impression, split])
    header = [
        "path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id", "section_findings",
        "section_impression", "split",
    ]  # fmt: skip
    write_csv(root / "df_chexpert_plus_240401.csv", header, rows)


def nih_chestxray14_official(root: Path) -> None:
    rows = nih_rows(66)  # two images a patient
    for i, (name, *_) in enumerate(rows):
        picture(root / f"images_{i % 12 + 1:03}" / "images" / name, i)
    write_csv(root / "Data_Entry_2017_v2020.csv", HEADER, rows)
    names = [row[0] for row in rows]
    # The lists are those of the whole data set: this part lacks the last image of each.
    (root / "train_val_list.txt").write_text("\n".join([*names[:60], "00030805_000.png"]))
    (root / "test_list.txt").write_text("\n".join([*names[60:], "00030804_000.png"]) + "\n")


def rsna_pneumonia(root: Path) -> None:
    classes = ["Lung Opacity", "Normal", "No Lung Opacity / Not Normal"]
    boxes, listed, mapping = [], [], []
    for i in range(30):
        image, kind = f"{i:08x}-aaaa", classes[i % 3]
        dicom(root / "stage_2_train_images" / f"{image}.dcm", i)
        if kind == "Lung Opacity":
            boxes += [[image, "0.0", "8.0", "24.0", "48.0", 1], [image, "24.0", "8.0", "24.0", "10.0", 1]]
            listed += [[image, kind]] * 2  # a line for each box, as in the challenge
        else:
            boxes.append([image, "", "", "", "", 0])
            listed.append([image, kind])
        mapping.append({"subset_img_id": image, "img_id": f"{i // 2:08}_{i % 2:03}.png", "orig_labels": []})
    write_csv(root / "stage_2_train_labels.csv", ["patientId", "x", "y", "width", "height", "Target"], boxes)
    write_csv(root / "stage_2_detailed_class_info.csv", ["patientId", "class"], listed)
    (root / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping))


def siim_pneumothorax(root: Path) -> None:
    rows = []
    for i in range(30):
        image = f"1.2.276.0.7230010.3.1.4.8323329.{i}"
        folder = root / "dicom-images-train" / f"1.2.276.{i}" / f"1.2.276.{i}.1"
        dicom(folder / f"{image}.dcm", i, (1024, 1024))
        if i % 3:
            rows.append([image, " -1"])
        else:  # columns 256 to 511, rows 0 to 511; and one pixel of the last column
            rows.append([image, " 262144 512 " + "512 512 " * 255])
            rows.append([image, f" {1024 * 1024 - 1} 1"])
    write_csv(root / "train-rle.csv", ["ImageId", " EncodedPixels"], rows)


def padchest(root: Path) -> None:
    header = [
        "",
        "ImageID",
        "ImageDir",
        "StudyID",
        "PatientID",
        "Projection",
        "Report",
        "MethodLabel",
        "Labels",
    ]
    labels = [
        "['normal']",
        "['pleural effusion', 'goiter']",
        "['unchanged', 'cardiomegaly']",
        "['pneumonia']",
    ]
    rows = []
    for i in range(4):
        picture(root / str(i % 2) / f"2168401_{i}.png", i, deep=True)
        rows.append([i, f"2168401_{i}.png", i % 2, i, i, "PA", "sin hallazg .", "Physician", labels[i]])
    rows.append([4, "2168401_4.png", 0, 4, 4, "L", "", "Physician", "['normal']"])
    rows.append([5, "2168401_5.png", 0, 5, 5, "PA", "", "RNN_model", "['normal']"])
    write_csv(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", header, rows)


VINDR_LABELS = [
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture",
    "Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift", "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax",
    "Pulmonary fibrosis", "Rib fracture", "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis",
    "Other disease", "No finding",
]  # fmt: skip


def vindr_cxr(root: Path) -> None:
    votes: list[dict[str, int]] = [
        {"Cardiomegaly": 3, "Edema": 1},
        {"No finding": 3},
        {"Pleural effusion": 2, "No finding": 1},
    ]
    labels: list[list[Any]] = []
    boxes: list[list[Any]] = []
    for i in range(30):
        dicom(root / "train" / f"train{i}.dicom", i)
        for reader in range(3):
            seen = [int(votes[i % 3].get(label, 0) > reader) for label in VINDR_LABELS]
            labels.append([f"train{i}", f"R{reader + 1}", *seen])
            for label, value in zip(VINDR_LABELS, seen, strict=True):
                box = ["", "", "", ""] if label == "No finding" else ["0.0", "8", "24.2", "56"]
                boxes += [[f"train{i}", f"R{reader + 1}", label, *box]] * value
    annotations = root / "annotations"
    corners = ["x_min", "y_min", "x_max", "y_max"]
    write_csv(annotations / "image_labels_train.csv", ["image_id", "rad_id", *VINDR_LABELS], labels)
    write_csv(annotations / "annotations_train.csv", ["image_id", "rad_id", "class_name", *corners], boxes)
    dicom(root / "test" / "test0.dicom", 99)
    one = [int(label in ("Rib fracture", "Calcification")) for label in VINDR_LABELS]
    write_csv(annotations / "image_labels_test.csv", ["image_id", *VINDR_LABELS], [["test0", *one]])
    found = [["test0", "Rib fracture", 24, 0, 48, 64], ["test0", "Calcification", 0, 0, 9, 9]]
    write_csv(annotations / "annotations_test.csv", ["image_id", "class_name", *corners], found)


def open_i(root: Path) -> None:
    projections = []
    for study in range(1, 21):
        images = [f"CXR{study}_1_IM-0001-{view}001" for view in (3, 4)]
        for k, image in enumerate(images):
            picture(root / "NLMCXR_png" / f"{image}.png", 2 * study + k)
            kind = "Frontal" if k == 0 else "Lateral"
            projections.append([study, f"{image.removeprefix('CXR')}.dcm.png", kind])
        major = "<major>normal</major>" if study % 2 else (
            "<major>Cardiomegaly/mild</major><major> Thickening/pleura/apex </major><major>Nodule</major>"
        )  # fmt: skip
        text = "" if study == 4 else "Heart size is <b>normal</b>."
        parents = "".join(f'<parentImage id="{image}"><panel/></parentImage>' for image in images)
        (root / "ecgen-radiology").mkdir(parents=True, exist_ok=True)
        (root / "ecgen-radiology" / f"{study}.xml").write_text(
            f'<?xml version="1.0"?><eCitation><uId id="CXR{study}"/><MedlineCitation><Article><Abstract>'
            f'<AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="FINDINGS">{text}'
            f'</AbstractText><AbstractText Label="IMPRESSION">{text and "No acute disease."}</AbstractText>'
            f"</Abstract></Article></MedlineCitation><MeSH>{major}</MeSH>{parents}</eCitation>"
        )
    write_csv(root / "indiana_projections.csv", ["uid", "filename", "projection"], projections)


def covidx(root: Path) -> None:
    classes = ["normal", "pneumonia", "COVID-19"]
    for split, count in {"train": 40, "test": 3}.items():
        lines = []
        for i in range(count):
            picture(root / split / f"{split}-{i}.png", i)
            lines.append(f"{split}{i} {split}-{i}.png {classes[i % 3]} rsna\n")
        (root / f"{split}_COVIDx9A.txt").write_text("".join(lines))


def vqa_rad(root: Path) -> None:
    """Thirty radiographs with three questions each, two of them closed; another, and one about a head."""
    entries: list[dict[str, Any]] = []

    def ask(image: int, question: str, answer: Any, kind: str, closed: str, organ: str = "CHEST") -> None:
        entries.append(
            {
                "qid": len(entries), "phrase_type": "freeform", "image_name": f"synpic{image}.jpg",
                "image_organ": organ, "question": question, "question_type": kind, "answer": answer,
                "answer_type": closed,
            }
        )  # fmt: skip

    for i in range(30):
        picture(root / "VQA_RAD Image Folder" / f"synpic{i}.jpg", i)
        ask(i, "Is the heart enlarged?", "Yes" if i % 2 else "No", "SIZE, PRES", "CLOSED ")
        ask(i, "Is there a  mass?", "no" if i % 3 else "yes", "PRES", "CLOSED")
        ask(i, "How many masses are there?", 4, "COUNT", "OPEN")
    ask(7, "Is the mass on the left or the right?", "left", "POS", "CLOSED")
    ask(98, "Is this an MRI?", "Yes", "MODALITY", "CLOSED", "HEAD")
    (root / "VQA_RAD Dataset Public.json").write_text(json.dumps(entries))


def rad_restruct(root: Path) -> None:
    """Twelve reports with an image each, the last with two, in the layout of data/radrestruct."""
    images = {str(i): [f"CXR{i}_IM-0001-1001"] for i in range(1, 12)} | {"12": ["CXR12_a", "CXR12_b"]}
    (root / "images").mkdir(parents=True)
    (root / "id_to_img_mapping_frontal_reports.json").write_text(json.dumps(images))
    closed = {"answer_type": "single_choice", "options": ["yes", "no"]}
    for report, names in images.items():
        for i, name in enumerate(names):
            picture(root / "images" / f"{name}.png", 100 * i + int(report))
        ill = int(report) % 2
        found: list[Any] = [
            ["Are there any signs in the pleura?", ["no"], [], closed | {"path": "pleura_signs"}],
            [
                "Are there any signs in the lung?",
                ["yes" if ill else "no"],
                [],
                closed | {"path": "lung_signs"},
            ],
        ]
        if ill:
            history = [["Are there any signs in the lung?", ["yes"]]]
            opacity = closed | {"path": "lung_signs_opacity"}
            where = {"answer_type": "multi_choice", "options": ["apex", "hilum"], "path": "lung_where"}
            found += [
                ["Is there an opacity in the lung?", ["yes"], history, opacity],
                ["In which part of the body?", ["apex"], history, where],
                ["Is there another opacity in the lung?", ["no"], history, opacity],
            ]
        split = "train" if int(report) <= 6 else "val" if int(report) <= 8 else "test"
        path = root / f"{split}_qa_pairs" / f"{report}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found))


MS_CXR = "MS_CXR_Local_Alignment_v1.1.0"


def ms_cxr(root: Path) -> None:
    """Twenty radiographs of half the size that boxes were drawn on; the annotations in both forms."""
    header = [
        "category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height", "dicom_id",
        "split",
    ]  # fmt: skip
    kinds = ["Pneumothorax", "Pleural Effusion", "Lung Opacity"]
    categories = [{"id": i, "name": name} for i, name in enumerate(kinds, 1)]
    rows: list[list[Any]] = []
    images, annotations = [], []
    for i in range(20):
        path = f"files/p10/p{10000000 + i // 2}/s{i}/image-{i}.jpg"
        picture(root / path, i)
        images.append({"id": i, "path": path, "width": 48, "height": 40})
        kind, phrase = kinds[i % 3], f"{kinds[i % 3]} at the {'left' if i % 2 else 'right'} base"
        for box in ([0, 0, 24, 20], [24, 0, 12, 20])[: 1 + i % 2]:
            rows.append([kind, phrase, path, *box, 48, 40, f"image-{i}", "test"])
            drawn = {"image_id": i, "category_id": 1 + i % 3, "bbox": box, "label_text": phrase}
            annotations.append({"id": len(rows), **drawn, "width": 48, "height": 40})
    write_csv(root / f"{MS_CXR}.csv", header, rows)
    coco = {"images": images, "categories": categories, "annotations": annotations}
    (root / f"{MS_CXR}.json").write_text(json.dumps(coco))


def chestx_det10(root: Path) -> None:
    """Thirty radiographs of 64 pixels; the boxes are in 1024."""
    for split, numbers in {"train": range(20), "test": range(20, 30)}.items():
        entries = []
        for i in numbers:
            name = f"{i // 2 + 1:08}_{i % 2:03}.png"
            picture(root / f"{split}_data" / name, i, (64, 64))
            syms = [[], ["Effusion", "Effusion"], ["Mass", "Calcification"]][i % 3]
            boxes = [[0, 512, 256, 1024], [512, 512, 768, 1024]][: len(syms)]
            entries.append({"file_name": name, "syms": syms, "boxes": boxes})
        (root / f"{split}.json").write_text(json.dumps(entries))
