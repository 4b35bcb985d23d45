"""A table in the layout of NIH ChestX-ray14, and small images for it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datamodules import Columns, LabelColumns

HEADER = [
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
]
COLUMNS = Columns(image="Image Index", patient="Patient ID", view="View Position")
NIH = LabelColumns("Finding Labels", "nih")
ALL_TEST = {"test": 1.0}

Row = list[Any]


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (20, 24), np.uint8)
    Image.fromarray(noise).save(path)


def write_table(path: Path, rows: Sequence[Sequence[Any]], header: Sequence[str] = HEADER) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def nih_rows(n: int) -> list[Row]:
    labels = ["No Finding", "Effusion|Edema", "Pleural_Thickening", "Hernia|Mass|Nodule"]
    views = ["PA", "AP"]
    return [
        [f"{i // 2:08}_{i % 2:03}.png", labels[i % 4], i % 2, i // 2, 50, "F", views[i % 2]] for i in range(n)
    ]
