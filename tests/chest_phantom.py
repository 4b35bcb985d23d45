"""A chest of ellipsoids as CT and label map: what the atlas importer is tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from scripts.simulator.label_map import TOTAL_SEGMENTATOR
from scripts.simulator.rough_labels import split_lobes
from tests.radiograph_files import save_dicom

Array = np.ndarray[Any, Any]
SHAPE, VOXEL = (
    (76, 56, 62),
    np.array([5.0, 5.0, 6.0]),
)  # x right→left, y posterior→anterior, z inferior→superior


def chest(shift: float = 0.0, tall: float = 1.0, heart: float = 1.0) -> tuple[Array, Array]:
    """Return Hounsfield units and labels.

    Args:
        shift: mm by which the chest lies higher.
        tall: Stretches the lungs.
        heart: Stretches the heart.
    """
    x, y, z = np.meshgrid(
        *((np.arange(n) - n / 2 + 0.5) * v for n, v in zip(SHAPE, VOXEL, strict=True)), indexing="ij"
    )
    z = (z - shift) / tall

    def ball(centre: tuple[float, float, float], half: tuple[float, float, float]) -> Array:
        return sum(((p - c) / h) ** 2 for p, c, h in zip((x, y, z), centre, half, strict=True)) < 1  # type: ignore

    labels = np.zeros(SHAPE, dtype=np.int16)
    hounsfield = np.full(SHAPE, -1000.0, dtype=np.float32)
    hounsfield[((x / 175) ** 2 + (y / 118) ** 2 < 1)] = -90  # fat
    hounsfield[((x / 165) ** 2 + (y / 108) ** 2 < 1)] = 45
    spine, chamber = ball((0, -78, 0), (20, 22, 900)), ball((28, 30, -25), (55 * heart, 45, 50 * heart))
    for sign, side in ((-1.0, "right"), (1.0, "left")):
        around = ball((sign * 72, 0, 0), (62, 92, 138))
        dome = ball((sign * 72, 5, -155), (75, 95, 100 + 10 * (sign < 0)))
        lung = ball((sign * 72, 0, 0), (55, 85, 130)) & ~dome & ~chamber & ~spine
        rib = (
            around
            & ~ball((sign * 72, 0, 0), (57, 87, 132))
            & (np.mod(z + 0.35 * np.abs(x) + 12 * (y > 0), 30) < 11)
        )
        rib &= (sign * x > 45) & ~chamber
        hounsfield[rib], labels[rib] = 420, TOTAL_SEGMENTATOR[f"rib_{side}_5"]
        hounsfield[lung] = -830
        hounsfield[lung & (np.hypot(y, z) < 9)] = 30  # a vessel from the hilum outwards
        for name, part in split_lobes(lung, side).items():
            labels[part] = TOTAL_SEGMENTATOR[name]
    pipe = ((np.hypot(x, y - 5) < 10) & (z > 35)) | ((np.hypot(y - 5, z - 32) < 9) & (np.abs(x) < 30))
    for part, value, name in (
        (chamber, 50, "heart"),
        (spine, 500, "vertebrae_T5"),
        (ball((0, 100, 5), (18, 7, 85)), 300, "sternum"),
        (pipe & (labels == 0), -990, "trachea"),
        (np.hypot(x - 18, y + 50) < 9, 60, "aorta"),
    ):
        hounsfield[part], labels[part] = value, TOTAL_SEGMENTATOR[name]
    noise = np.random.default_rng(0).normal(0, 6, SHAPE)  # no two slices of a scan are the same
    return np.rint(hounsfield + noise).astype(np.float32), labels


def save_nifti(path: Path, values: Array, oriented: bool = True) -> Path:
    """Write a volume whose axes are those of `chest`: the first grows to the patient's left (LAS)."""
    image = nibabel.Nifti1Image(values, np.diag([-VOXEL[0], VOXEL[1], VOXEL[2], 1]) if oriented else None)
    if not oriented:
        image.header.set_zooms(VOXEL)
    nibabel.save(image, path)
    return path


def save_folder(folder: Path, labels: Array) -> Path:
    """Write one file a structure, as TotalSegmentator does."""
    folder.mkdir()
    for name, number in TOTAL_SEGMENTATOR.items():
        if (labels == number).any():
            save_nifti(folder / f"{name}.nii.gz", (labels == number).astype(np.uint8))
    return folder


def save_series(folder: Path, hounsfield: Array, **attributes: Any) -> Path:
    """Write a DICOM series, stored as unsigned values with an intercept, in no order of names."""
    folder.mkdir()
    for k in range(hounsfield.shape[2]):
        # Rows of a slice run to the back, columns to the patient's left.
        stored = np.rint(hounsfield[:, ::-1, k].T + 1024).astype(np.uint16)
        own: dict[str, Any] = {
            "ImagePositionPatient": [0.0, 0.0, float(VOXEL[2] * k)],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [float(VOXEL[1]), float(VOXEL[0])],
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "Modality": "CT",
            "SeriesInstanceUID": "1.2.3",
        }
        save_dicom(folder / f"{(k * 37) % hounsfield.shape[2]:03d}.dcm", stored, **own | attributes)
    return folder
