"""Which structure every voxel of a CT belongs to: TotalSegmentator's output, or any label map with names."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.simulator.ct_volume import Array, CtError, CtVolume, load_nifti, on_patient_axes

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

LOBES = (
    "lung_upper_lobe_left",
    "lung_lower_lobe_left",
    "lung_upper_lobe_right",
    "lung_middle_lobe_right",
    "lung_lower_lobe_right",
)
_VERTEBRAE = [f"L{k}" for k in range(5, 0, -1)] + [f"T{k}" for k in range(12, 0, -1)]
_VERTEBRAE += [f"C{k}" for k in range(7, 0, -1)]
TOTAL_SEGMENTATOR = {  # the classes of version 2, task "total", that lie in or near a chest
    **{name: 10 + k for k, name in enumerate(LOBES)},
    "esophagus": 15, "trachea": 16, "thyroid_gland": 17,
    **{f"vertebrae_{name}": 27 + k for k, name in enumerate(_VERTEBRAE)},
    "heart": 51, "aorta": 52, "pulmonary_vein": 53, "brachiocephalic_trunk": 54, "atrial_appendage_left": 61,
    "superior_vena_cava": 62, "inferior_vena_cava": 63, "humerus_left": 69, "humerus_right": 70,
    "scapula_left": 71, "scapula_right": 72, "clavicula_left": 73, "clavicula_right": 74, "spinal_cord": 79,
    **{f"rib_left_{k}": 91 + k for k in range(1, 13)}, **{f"rib_right_{k}": 103 + k for k in range(1, 13)},
    "sternum": 116, "costal_cartilages": 117,
}  # fmt: skip
TURNED = "say where the axes lead, as in --orientation=LPS, or convert it again from DICOM"
OTHERS_OF_TOTAL = 117  # all its numbers: those that are not named above are of no use here


@dataclass(frozen=True)
class LabelMap:
    """Labels of a CT.

    Attributes:
        path: File or folder; None where they were made from the CT itself.
        labels: int16, axes as `CtVolume.hounsfield`.
        ids: Name of a structure, as TotalSegmentator calls it → its label.
    """

    path: Path | None
    labels: Array
    ids: dict[str, int]

    def mask(self, *names: str) -> Array:
        """Return where any of these structures is."""
        return np.isin(self.labels, [self.ids[name] for name in names if name in self.ids])

    def starting(self, *prefixes: str) -> Array:
        """Return where a structure is whose name begins so."""
        return np.isin(self.labels, [i for name, i in self.ids.items() if name.startswith(prefixes)])


def read_labels(path: Path, ct: CtVolume, structures: Path | None = None) -> LabelMap:
    """Read the labels of a CT.

    Args:
        path: A NIfTI file with a number for each structure, or a folder with a file for each.
        ct: The CT that they are of.
        structures: CSV with the columns structure and id; without it the names in the file's header, else
            those of TotalSegmentator's task "total".

    Raises:
        CtError: They lie on another grid or not on this chest, or what is needed is missing; names the file
            and the remedy.
    """
    if not path.exists():
        raise CtError(f"{path}: no such file or folder; correct --segmentation, or leave it out")
    if path.is_dir():
        labels, ids = _of_folder(path, ct)
    else:
        image = load_nifti(path)
        labels, ids = _on_grid(image, path, ct), _names(image, structures)
        unknown = sorted(set(np.unique(labels).tolist()) - {0, *ids.values()})
        if structures is None and not _in_header(image):
            unknown = [number for number in unknown if not 0 < number <= OTHERS_OF_TOTAL]
        if unknown:
            raise CtError(
                f"{path}: holds labels without a name: {', '.join(map(str, unknown[:8]))}; give their names "
                "in a CSV with the columns structure,id: --structures=names.csv"
            )
    found = LabelMap(path, labels, ids)
    _check(found, ct)
    return found


def _of_folder(folder: Path, ct: CtVolume) -> tuple[Array, dict[str, int]]:
    files = {
        path.name.removesuffix(".gz").removesuffix(".nii"): path for path in sorted(folder.glob("*.nii*"))
    }
    if not files:
        raise CtError(f"{folder}: holds no .nii or .nii.gz file; give a folder with one for each structure")
    labels = np.zeros(ct.hounsfield.shape, dtype=np.int16)
    ids = {name: number for number, name in enumerate(files, start=1)}
    for name, path in files.items():
        labels[_on_grid(load_nifti(path), path, ct) > 0] = ids[name]
    return labels, ids


def _on_grid(image: Nifti1Image, path: Path, ct: CtVolume) -> Array:
    """Return labels of a file whose grid is the CT's."""
    volume = on_patient_axes(image, path)
    shape, wanted = volume.hounsfield.shape, ct.hounsfield.shape
    corner = np.abs(volume.affine @ [*shape, 1] - ct.affine @ [*wanted, 1]).max()
    apart = max(corner, np.abs(volume.affine[:3, 3] - ct.affine[:3, 3]).max())
    if shape != wanted or apart > 0.5 * float(ct.spacing.min()):
        grids = [_grid(volume), _grid(ct)]
        raise CtError(
            f"{path}: labels on another grid than {ct.path} ({grids[0]} against {grids[1]}, {apart:.0f} "
            "mm apart); "
            "segment this very CT, or resample the labels to it (nibabel.processing.resample_from_to, "
            "order=0)"
        )
    values = volume.hounsfield
    labels = np.rint(values)
    if np.abs(labels - values).max() > 1e-3 or labels.min() < 0 or labels.max() > 32_000:
        raise CtError(
            f"{path}: labels from {values.min():g} to {values.max():g} are no whole numbers; resample "
            "them with "
            "order=0 (nearest neighbour)"
        )
    return labels.astype(np.int16)


def _grid(volume: CtVolume) -> str:
    voxels = " × ".join(str(n) for n in volume.hounsfield.shape)
    return f"{voxels} voxels of {' × '.join(f'{s:.2f}' for s in volume.spacing)} mm"


def _names(image: Nifti1Image, structures: Path | None) -> dict[str, int]:
    if structures is None:
        return _in_header(image) or dict(TOTAL_SEGMENTATOR)
    try:
        with structures.open(newline="") as file:
            rows = list(csv.DictReader(file))
        ids = {row["structure"]: int(row["id"]) for row in rows if row["id"].isdigit()}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise CtError(f"{structures}: {error!r}; give a CSV with the columns structure and id") from error
    if not ids:
        raise CtError(f"{structures}: names no structure; give a CSV with the columns structure and id")
    return ids


def _in_header(image: Nifti1Image) -> dict[str, int]:
    """Return the names that TotalSegmentator writes into the header, as Connectome Workbench does."""
    found: dict[str, int] = {}
    for extension in image.header.extensions:
        content = extension.get_content()
        text = content.decode(errors="replace") if isinstance(content, bytes) else str(content)
        for key, name in re.findall(r'<Label Key="(\d+)"[^>]*>(?:<!\[CDATA\[)?([\w ]+)', text):
            if int(key) > 0:
                found[name.strip()] = int(key)
    return found


def _check(found: LabelMap, ct: CtVolume) -> None:
    """Refuse labels of which no atlas can be made, or that do not lie on this chest."""
    present = set(np.unique(found.labels).tolist())
    groups = {name: (name,) for name in LOBES} | {
        "heart": ("heart",), "ribs": ("rib_",), "thoracic vertebrae": ("vertebrae_T",)
    }  # fmt: skip
    missing = [
        group
        for group, prefixes in groups.items()
        if not any(name.startswith(prefixes) and number in present for name, number in found.ids.items())
    ]
    if missing:
        raise CtError(
            f"{found.path}: lacks {', '.join(missing)}; segment the CT with all classes "
            "(TotalSegmentator, task "
            "total), or leave --segmentation out for a rough one"
        )
    lungs = found.starting("lung_")
    inside = float(np.median(ct.hounsfield[lungs]))
    if inside > -400:
        raise CtError(
            f"{found.path}: its lungs lie where {ct.path} has {inside:.0f} HU: labels of another CT, or "
            "mirrored; "
            "segment this very CT"
        )
    sides = [
        np.where(found.mask(*(n for n in LOBES if n.endswith(side))))[0].mean() for side in ("right", "left")
    ]
    if sides[0] >= sides[1]:
        raise CtError(
            f"{found.path}: its left lung lies on the patient's right: CT or labels are mirrored; "
            "convert both "
            "again from the same series"
        )


def check_placed(labels: LabelMap, ct: CtVolume) -> None:
    """Refuse a chest that is not upright, and lungs that the scan cuts off.

    Raises:
        CtError: Naming what is turned, or the end at which lungs reach the edge of the scan.
    """
    lungs = labels.starting("lung_")
    spine = float(np.median(np.where(labels.starting("vertebrae_"))[1]))
    if spine >= float(np.median(np.where(lungs)[1])):
        raise CtError(f"{ct.path}: the spine lies in front of the lungs: {TURNED}")
    levels = np.where(lungs.any(axis=(0, 1)))[0]
    rim = max(1, len(levels) // 7)
    below, above = (np.ptp(np.where(lungs[:, :, part])[0]) for part in (levels[:rim], levels[-rim:]))
    if below < 0.9 * above:
        raise CtError(f"{ct.path}: the lungs are narrower below than above: it is upside down: {TURNED}")
    # The outermost tenth of a slice's lung may be noise of a segmentation.
    for axis, ends in ((2, ("lower", "upper")), (0, ("right", "left")), (1, ("back", "front"))):
        areas = lungs.sum(axis=tuple(k for k in range(3) if k != axis))
        for end, area in zip(ends, (areas[0], areas[-1]), strict=True):
            if area > 0.02 * areas.max():
                raise CtError(
                    f"{ct.path}: the lungs are cut off at the {end} end of the scan ({area} voxels of "
                    "lung there); "
                    "give a CT of the whole chest, from above the apices to below the recesses"
                )
