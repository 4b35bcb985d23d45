"""A CT as Hounsfield units on patient axes, read from NIfTI or from a DICOM series and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datamodules.tables.dicom_file import modality_values, numbers
from datamodules.tables.image_file_error import ImageFileError
from synthesis.progress import write_line

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from pydicom import Dataset

Array = np.ndarray[Any, Any]

AIR = -1024.0  # HU: what padding outside the scanner's circle is set to
TILT = 0.6  # degrees by which axes may miss a right angle
OBLIQUE = 20.0  # degrees by which a volume may be turned against the patient
THICKEST = 10.0  # mm between slices
UNEVEN = 0.06  # share of the usual distance by which that of two slices may differ


class CtError(ValueError):
    """A CT or its labels cannot become an atlas; the message names the file and the remedy."""


@dataclass(frozen=True)
class CtVolume:
    """A CT.

    Attributes:
        path: File or folder.
        hounsfield: float32 (x patient's right→left, y posterior→anterior, z inferior→superior).
        spacing: Voxel size in mm, (3,).
        affine: Voxel indices of the file, in its closest canonical order, to patient millimetres; (4, 4).
    """

    path: Path
    hounsfield: Array
    spacing: Array
    affine: Array


@dataclass(frozen=True)
class CtUnits:
    """How stored values become Hounsfield units, where the file does not say.

    Attributes:
        add: Added to every value.
        window: Lowest and highest Hounsfield unit of a CT that was windowed to 8 bits. What lies below it
            has become 0 and counts as air.
    """

    add: float = 0.0
    window: tuple[float, float] | None = None

    def applied(self, values: Array) -> Array:
        """Return Hounsfield units."""
        if self.window is not None:
            low, high = self.window
            values = np.where(values <= 0, AIR, low + values * ((high - low) / 255)).astype(np.float32)
        return values + np.float32(self.add)


def read_ct(path: Path, units: CtUnits | None = None, orientation: str | None = None) -> CtVolume:
    """Read a CT of a chest.

    Args:
        path: A NIfTI file, or a folder with one DICOM series.
        units: How its values become Hounsfield units.
        orientation: Where the axes of a NIfTI file lead, as in "LPS", if it does not say or is wrong.

    Raises:
        CtError: It is no CT that an atlas can be made of; names file and remedy.
    """
    if not path.exists():
        raise CtError(f"{path}: no such file or folder; correct --ct")
    image = _of_series(path) if path.is_dir() else load_nifti(path, orientation)
    volume = on_patient_axes(image, path)
    values = volume.hounsfield
    if not np.isfinite(values).all():
        raise CtError(f"{path}: holds values that are no numbers; export it again from the DICOM series")
    _check_slices(volume)
    values = (units or CtUnits()).applied(values)
    _check_units(values, path)
    return replace(volume, hounsfield=np.maximum(values, AIR))


def load_nifti(path: Path, orientation: str | None = None) -> Nifti1Image:
    """Open a NIfTI file of one volume whose axes are known.

    Raises:
        CtError: If it cannot be read, holds several volumes, or does not say how it is oriented.
    """
    import nibabel

    try:
        image = nibabel.Nifti1Image.from_filename(path)
        values = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:  # nibabel raises whatever the decompressor does
        raise CtError(f"{path}: cannot be read as NIfTI ({error}); give a .nii or .nii.gz file") from error
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3 or min(values.shape) < 8:
        raise CtError(f"{path}: has the shape {values.shape}; give one volume of at least 8 slices")
    if orientation is not None:
        affine = _affine_of(orientation, image.header.get_zooms()[:3])
    elif int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        raise CtError(
            f"{path}: does not say how it is oriented (sform_code and qform_code are 0); convert it "
            "again from DICOM, or say where its axes lead, as in --orientation=LPS"
        )
    else:
        affine = image.affine
    opened = nibabel.Nifti1Image(values, affine)
    opened.header.extensions.extend(image.header.extensions)
    return opened


def _affine_of(orientation: str, zooms: Sequence[float]) -> Array:
    """Return the affine of axes that lead where letters say: R, A and S are positive."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, letter in enumerate(orientation.upper()[:3]):
        for row, (negative, positive) in enumerate((("L", "R"), ("P", "A"), ("I", "S"))):
            if letter in (negative, positive):
                affine[row, axis] = zooms[axis] if letter == positive else -zooms[axis]
    if len(orientation) != 3 or np.linalg.matrix_rank(affine) < 4:
        raise CtError(f"--orientation={orientation}: give one letter each of LR, PA and IS, as in LPS")
    return affine


def on_patient_axes(image: Nifti1Image, path: Path) -> CtVolume:
    """Return a volume with its axes along the patient's.

    Raises:
        CtError: Its axes are not at right angles (gantry tilt), or it lies across the patient's axes.
    """
    import nibabel

    image = nibabel.as_closest_canonical(image)
    affine = np.asarray(image.affine, dtype=np.float64)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or (spacing <= 0).any():
        raise CtError(
            f"{path}: its axes have no length (affine {affine.tolist()}); convert it again from DICOM"
        )
    directions = affine[:3, :3] / spacing
    cosines = [abs(float(directions[:, a] @ directions[:, b])) for a, b in ((0, 1), (0, 2), (1, 2))]
    tilt = float(np.degrees(np.arcsin(min(1.0, max(cosines)))))
    if tilt > TILT:
        raise CtError(_tilted(path, tilt))
    turned = float(np.degrees(np.arccos(np.clip(np.diag(directions).min(), -1, 1))))
    if turned > OBLIQUE:
        raise CtError(
            f"{path}: lies {turned:.0f}° across the patient's axes; resample it along them "
            "(nibabel.processing.resample_to_output), its labels too"
        )
    if spacing[2] > THICKEST:
        raise CtError(
            f"{path}: slices are {spacing[2]:.1f} mm apart; give a reconstruction of {THICKEST:g} mm or less"
        )
    # RAS: the first axis grows towards the patient's right. Reversed, index 0 is the viewer's left.
    values = np.ascontiguousarray(np.asarray(image.dataobj, dtype=np.float32)[::-1])
    return CtVolume(path, values, spacing, affine)


def _tilted(path: Path, angle: float) -> str:
    return (
        f"{path}: the gantry was tilted, its slices are sheared by {angle:.1f}°; convert the DICOM series "
        "with a program that corrects this (dcm2niix writes a file …_Tilt), or give another scan"
    )


def _check_slices(volume: CtVolume) -> None:
    """Refuse slices that hold nothing, or the same as their neighbour."""
    values = volume.hounsfield
    sample = values[::2, ::2]
    blank = [k for k in range(values.shape[2]) if np.ptp(sample[:, :, k]) == 0]
    inner = [k for k in blank if 0 < k < values.shape[2] - 1]
    if inner:
        raise CtError(
            f"{volume.path}: slices {', '.join(map(str, inner[:5]))} of {values.shape[2]} hold one value: "
            "there are gaps; convert the whole series again"
        )
    same = [k for k in range(1, values.shape[2]) if np.array_equal(sample[:, :, k], sample[:, :, k - 1])]
    if same:
        raise CtError(
            f"{volume.path}: slices {same[0] - 1} and {same[0]} are the same: a gap was filled with a copy; "
            "convert the whole series again"
        )


def _check_units(values: Array, path: Path) -> None:
    """Refuse values that are no Hounsfield units: air lies near -1000, soft tissue near 40."""
    sample = values[::3, ::3, ::2]
    low, high = float(sample.min()), float(sample.max())
    tissue = float(np.median(sample[sample > low + 0.35 * (np.percentile(sample, 99) - low)]))
    told = f"{path}: its values run from {low:.0f} to {high:.0f}"
    if low < -700 and -150 < tissue < 250:
        return
    if low >= -1 and high <= 255.5:
        raise CtError(
            f"{told}: windowed to 8 bits, no Hounsfield units; give the CT itself, or the window that was "
            "used, as in --window=-1000,1000"
        )
    if low >= -100 and 700 < tissue < 1400:
        raise CtError(f"{told}, soft tissue {tissue:.0f}: Hounsfield units + 1024; give --add-hu=-1024")
    raise CtError(
        f"{told}, soft tissue {tissue:.0f}: no Hounsfield units (air -1000, water 0); give the CT as it "
        "came from the scanner, or the number that makes it so, as in --add-hu=-1024"
    )


# --------------------------------------------------------------------------------------------- DICOM series
def _of_series(folder: Path) -> Nifti1Image:
    """Stack the slices of a DICOM series by their positions."""
    import nibabel

    slices = sorted(_slices(folder), key=lambda one: one.place)
    if len(slices) < 8:
        raise CtError(f"{folder}: holds {len(slices)} CT slices; give the folder of a whole series")
    _check_alike(folder, slices)
    first = slices[0]
    places = np.array([one.place for one in slices])
    steps = np.diff(places)
    usual = float(np.median(steps))
    for k, step in enumerate(steps):
        if step < 0.1 * max(usual, 0.1):
            raise CtError(
                f"{folder}: {slices[k].path.name} and {slices[k + 1].path.name} lie at the same place "
                f"({places[k]:.1f} mm): two series or a copy; leave one of each in the folder"
            )
        if abs(step - usual) > max(UNEVEN * usual, 0.05):
            raise CtError(
                f"{folder}: slices are {usual:.2f} mm apart, but {slices[k].path.name} and "
                f"{slices[k + 1].path.name} {step:.2f} mm: uneven, or slices are missing; fetch the whole "
                "series, or give a reconstruction with even slices"
            )
    stacking = (slices[-1].position - first.position) / (len(slices) - 1)
    rows, columns = first.spacing
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = first.along_row * columns, first.along_column * rows
    lps[:3, 2], lps[:3, 3] = stacking, first.position
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    values = np.stack([one.values.T for one in slices], axis=2).astype(np.float32)
    return nibabel.Nifti1Image(values, affine)


@dataclass(frozen=True)
class _Slice:
    path: Path
    values: Array
    position: Array
    along_row: Array
    along_column: Array
    spacing: tuple[float, float]
    series: str
    tilt: float

    @property
    def place(self) -> float:
        return float(np.cross(self.along_row, self.along_column) @ self.position)


def _slices(folder: Path) -> Iterator[_Slice]:
    from pydicom.misc import is_dicom

    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    other = [path.name for path in files if path.name == "DICOMDIR" or not is_dicom(path)]
    if other:
        write_line(f"{folder}: not read, no DICOM slices: {', '.join(other[:5])}{' …' * (len(other) > 5)}")
    found = [path for path in files if path.name not in other]
    if not found:
        raise CtError(f"{folder}: holds no DICOM file; give a folder with a CT series, or a NIfTI file")
    for path in found:
        try:
            dataset, values = modality_values(path)
        except ImageFileError as error:
            raise CtError(str(error)) from error
        kinds = [str(kind) for kind in dataset.get("ImageType") or ()]
        if "LOCALIZER" in kinds:
            write_line(f"{path}: a localizer, not read")
            continue
        if str(dataset.get("Modality") or "CT") != "CT":
            raise CtError(
                f"{path}: its Modality is {dataset.Modality}; leave only the CT series in the folder"
            )
        yield _slice(path, dataset, values)


def _slice(path: Path, dataset: Dataset, values: Array) -> _Slice:
    cosines = numbers(dataset, "ImageOrientationPatient", path)
    position = numbers(dataset, "ImagePositionPatient", path)
    spacing = numbers(dataset, "PixelSpacing", path)
    for keyword, given, count in (
        ("ImageOrientationPatient", cosines, 6),
        ("ImagePositionPatient", position, 3),
        ("PixelSpacing", spacing, 2),
    ):
        if len(given) != count:
            raise CtError(
                f"{path}: has no {keyword}, so that nobody knows how it lies; fetch the series again from "
                "the archive, or convert it to NIfTI with a known orientation"
            )
    return _Slice(
        path,
        values,
        np.array(position),
        np.array(cosines[:3]),
        np.array(cosines[3:]),
        (spacing[0], spacing[1]),
        str(dataset.get("SeriesInstanceUID") or ""),
        (numbers(dataset, "GantryDetectorTilt", path) or [0.0])[0],
    )


def _check_alike(folder: Path, slices: list[_Slice]) -> None:
    series = sorted({one.series for one in slices})
    if len(series) > 1:
        counts = ", ".join(f"{sum(one.series == uid for one in slices)} of {uid}" for uid in series)
        raise CtError(f"{folder}: holds {len(series)} series ({counts}); give a folder with one")
    first = slices[0]
    for one in slices:
        same = (
            one.values.shape == first.values.shape
            and np.allclose(one.spacing, first.spacing, rtol=1e-3)
            and np.allclose(
                [one.along_row, one.along_column], [first.along_row, first.along_column], atol=2e-3
            )
        )
        if not same:
            raise CtError(
                f"{one.path}: has other rows, columns, spacing or orientation than {first.path.name}: it "
                "belongs to another series; take it out of the folder"
            )
        if abs(one.tilt) > TILT:
            raise CtError(_tilted(one.path, abs(one.tilt)))
