"""Bad tables of real images: rows, columns, encodings, splits, labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripts.torture.bad_inputs.bad_input import BadInput
from scripts.torture.bad_inputs.table_data import HEADER, ROWS, table, with_table

R = "IMPRESSION: Normal."
LABELS = {"columns": "labels", "vocabulary": "nih", "separator": "|"}
TABLES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty": ("", ("table.csv",)),
    "header only": (HEADER + "\n", ("table.csv",)),
    "no column of images": (table(header="picture,patient,view,report,labels"), ("table.csv", "image")),
    "no column of reports": (table(header="image,patient,view,text,labels"), ("table.csv", "report")),
    "column in capitals": (table(header="Image,patient,view,report,labels"), ("table.csv", "image")),
    "repeated header": (table(header="image,patient,view,report,report"), ("table.csv", "report")),
    "semicolons": (table().replace(",", ";"), ("table.csv", "image")),
    "tabs": (table().replace(",", "\t"), ("table.csv", "image")),
    "missing image": (table({2: f"9.png,p2,PA,{R},Effusion"}), ("row 3", "9.png")),
    "empty image": (table({2: f",p2,PA,{R},Effusion"}), ("row 3",)),
    "image is a folder": (table({2: f".,p2,PA,{R},Effusion"}), ("row 3",)),
    "image twice": (table({2: f"1.png,p2,PA,{R},Effusion"}), ("1.png",)),
    "image twice, other spelling": (table({2: f"./1.png,p2,PA,{R},Effusion"}), ("1.png",)),
    "image twice, other patient": (table({2: f"1.png,p9,PA,{R},Effusion"}), ("1.png",)),
    "image outside": (table({2: f"../images/2.png,p2,PA,{R},Effusion"}), ("row 3", "../images/2.png")),
    "image absolute": (table({2: f"/etc/hostname,p2,PA,{R},Effusion"}), ("row 3", "/etc/hostname")),
    "image with a NUL": (table({2: f"2\0.png,p2,PA,{R},Effusion"}), ("row 3|table.csv",)),
    "image in capitals": (table({2: f"2.PNG,p2,PA,{R},Effusion"}), ("row 3", "2.PNG")),
    "image is an address": (table({2: f"http://127.0.0.1/2.png,p2,PA,{R},Effusion"}), ("row 3", "http")),
    "patient empty": (table({2: f"2.png,,PA,{R},Effusion"}), ("row 3", "patient")),
    "patient nan": (table({2: f"2.png,nan,PA,{R},Effusion"}), ()),
    "view unknown word": (table({2: f"2.png,p2,sideways,{R},Effusion"}), ()),
    "a cell short": (table({2: "2.png,p2,PA"}), ("row 3",)),
    "a cell more": (table({2: f"2.png,p2,PA,{R},Effusion,more"}), ("table.csv", "line 4|row 3")),
    "a cell more everywhere": (table({k: f"{row},more" for k, row in enumerate(ROWS)}), ("table.csv",)),
    "open quote": (table({2: f'2.png,p2,PA,"{R},Effusion'}), ("table.csv",)),
    "report empty": (table({2: "2.png,p2,PA,,Effusion"}), ("row 3", "report")),
    "report blank": (table({2: "2.png,p2,PA,  ,Effusion"}), ("row 3", "report")),
    "report nan": (table({2: "2.png,p2,PA,nan,Effusion"}), ("row 3", "report")),
    "report dots": (table({2: "2.png,p2,PA,...,Effusion"}), ("row 3", "report")),
    "report underscores": (table({2: "2.png,p2,PA,___,Effusion"}), ("row 3", "report")),
    "report N/A": (table({2: "2.png,p2,PA,N/A,Effusion"}), ("row 3", "report")),
    "report a heading": (table({2: "2.png,p2,PA,FINDINGS:,Effusion"}), ("row 3", "report")),
    "report headings": (table({2: "2.png,p2,PA,FINDINGS: IMPRESSION:,Effusion"}), ("row 3", "report")),
    "report a dash": (table({2: "2.png,p2,PA,-,Effusion"}), ("row 3", "report")),
    "report a number": (table({2: "2.png,p2,PA,17,Effusion"}), ("row 3", "report")),
    "report null": (table({2: "2.png,p2,PA,null,Effusion"}), ("row 3", "report")),
    "report question mark": (table({2: "2.png,p2,PA,?,Effusion"}), ("row 3", "report")),
    "report error text": (table({2: "2.png,p2,PA,#REF!,Effusion"}), ("row 3", "report")),
    "Latin-1": (table({2: "2.png,p2,PA,Gr\xf6\xdfe normal.,Effusion"}).encode("latin-1"), ("table.csv",)),
    "UTF-16": (table().encode("utf-16"), ("table.csv",)),
    "NUL bytes": (table().encode() + b"\0" * 64, ("table.csv|row 7",)),
    "binary": (bytes(range(256)) * 20, ("table.csv",)),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(200), ("table.csv",)),
    "HTML": ("<!DOCTYPE html><html><body>Sign in</body></html>", ("table.csv",)),
    "LFS pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", ("table.csv",)),
    "one row": ("\n".join([HEADER, ROWS[0]]), ("train|batch_size",)),
}  # fmt: skip
"""What → the table, and what a clear answer says."""
SETTINGS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no table": ({"table": "{own}/nothing.csv"}, ("nothing.csv",)),
    "table is a folder": ({"table": "{own}/images"}, ("images",)),
    "no image root": ({"image_root": "{own}/nothing"}, ("nothing",)),
    "image root is a file": ({"image_root": "{own}/table.csv"}, ("table.csv",)),
    "no such image folder": ({"image_folders": "[nothing]"}, ("nothing",)),
    "suffix without dot": ({"image_suffix": "png"}, ("image_suffix", "png")),
    "where unknown column": ({"where": "{sex: [M]}"}, ("sex",)),
    "where nothing left": ({"where": "{view: [LATERAL]}"}, ("view", "LATERAL")),
    "splits above one": ({"splits": "{train: 0.9, val: 0.9}"}, ("splits", "0.9")),
    "splits negative": ({"splits": "{train: 1.2, val: -0.2}"}, ("-0.2",)),
    "splits of a word": ({"splits": "{train: most}"}, ("splits", "most")),
    "splits unknown": ({"splits": "{training: 1.0}"}, ("training",)),
    "splits nan": ({"splits": "{train: .nan}"}, ("splits", "nan")),
    "no training": ({"splits": "{test: 1.0}"}, ("train",)),
    "official without column": ({"official": "{train: [a]}"}, ("official|split",)),
    "fit unknown": ({"fit": "squeeze"}, ("fit", "squeeze")),
    "colour unknown": ({"colour": "ignore"}, ("colour", "ignore")),
    "on_bad unknown": ({"on_bad": "hope"}, ("on_bad", "hope")),
    "labels unknown vocabulary": ({"labels": {**LABELS, "vocabulary": "nhi"}}, ("nhi",)),
    "labels unknown column": ({"labels": {**LABELS, "columns": "nothing"}}, ("nothing",)),
    "labels other separator": ({"labels": {**LABELS, "separator": ""}}, ("separator",)),
    "labels uncertain": ({"labels": {**LABELS, "uncertain": "perhaps"}}, ("uncertain", "perhaps")),
    "image size other": ({"image_size": 32}, ("image_size|image", "32")),
    "image size 0": ({"image_size": 0}, ("image_size", "0")),
    "catalogue": ({"catalog": "no/such.yaml"}, ("no/such.yaml",)),
    "columns the same": ({"columns": "{image: image, report: image}"}, ("image",)),
    "no columns": ({"columns": "{}"}, ("columns|image",)),
    "columns unknown key": ({"columns": "{image: image, text: report}"}, ("text",)),
    "batch larger than table": ({"loader.batch_size": 64}, ("batch_size|64",)),
}  # fmt: skip
LABEL_CELLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown label": ("Efusion", ("row 3", "Efusion")),
    "empty": ("", ("row 3", "labels")),
    "No Finding beside a finding": ("No Finding|Effusion", ("No Finding",)),
    "number": ("7", ("row 3", "7")),
    "repeated": ("Effusion|Effusion", ("Effusion",)),
    "list": ("['Effusion']", ()),
    "separator at the end": ("Effusion|", ("row 3",)),
    "nan": ("nan", ("row 3", "nan")),
}
MEANT = {
    "semicolons": "the separator is found by the header, as spreadsheets of other countries write it",
    "tabs": "the separator is found by the header",
    "image outside": "the name leads back into the folder of images",
    "patient nan": "a table may call a patient so; it is one patient, not an absent one",
    "view unknown word": "a view that is neither PA nor AP is unknown: laterals, obliques and other wording",
    "list": "a list as pandas writes one is a form of this column",
    "repeated": "a label that is named twice is present once",
    "column in capitals": "headers are found whatever their capitals",
    "separator at the end": "nothing is named behind it, as where a program ends each label with one",
    "no columns": "every column has a usual name, which is looked for",
    "UTF-16": "spreadsheets save tables as UTF-16, with its mark",
}


def inputs() -> Iterator[BadInput]:
    """Yield the bad inputs of this kind."""
    for what, (text, names) in TABLES.items():
        yield BadInput(f"table/{what}", with_table(text), names, MEANT.get(what, ""))
    for what, (changes, names) in SETTINGS.items():
        yield BadInput(f"table setting/{what}", with_table(table(), changes), names, MEANT.get(what, ""))
    for what, (cell, names) in LABEL_CELLS.items():
        text = table({2: f"2.png,p2,PA,{R},{cell}"})
        words = with_table(text, {"labels": LABELS})
        yield BadInput(f"table label/{what}", words, names, MEANT.get(what, ""))
