"""`make atlas`: phantoms as NIfTI and DICOM, with labels and without, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from scripts.simulator.build_atlas import main
from scripts.simulator.label_map import TOTAL_SEGMENTATOR
from synthesis.images.simulator.atlas import MAP_NAMES
from tests.chest_phantom import VOXEL, chest, save_folder, save_nifti, save_series

Array = np.ndarray[Any, Any]
SMALL = ["--poses=2", "--spacing=6"]


@pytest.fixture(scope="module")
def phantom() -> tuple[Array, Array]:
    return chest()


@pytest.fixture(scope="module")
def files(phantom: tuple[Array, Array], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ct.nii.gz, labels.nii.gz and the atlas of both."""
    folder = tmp_path_factory.mktemp("phantom")
    save_nifti(folder / "ct.nii.gz", phantom[0])
    save_nifti(folder / "labels.nii.gz", phantom[1])
    built(folder / "atlas.npz", folder / "ct.nii.gz", folder / "labels.nii.gz")
    return folder


def built(out: Path, ct: Path, segmentation: Path | None, *more: str) -> dict[str, Array]:
    """Run the program and return the maps of its straight pose."""
    given = [] if segmentation is None else [f"--segmentation={segmentation}"]
    main([f"--ct={ct}", *given, f"--out={out}", *SMALL, *more])
    return maps(out)


def maps(path: Path) -> dict[str, Array]:
    with np.load(path) as file:
        levels = (
            np.cumsum(file["differences"], axis=2, dtype=np.uint8) / 255 * file["scales"][None, :, None, None]
        )
    return dict(zip(MAP_NAMES, levels[0], strict=True))


def test_maps_are_path_lengths_on_the_right_side(files: Path) -> None:
    made = maps(files / "atlas.npz")
    x = (np.arange(60) - 29.5) * 6
    lobes = {name: made[name] for name in MAP_NAMES[:5]}
    for name, lobe in lobes.items():
        assert np.sign((lobe.sum(0) * x).sum()) == (1 if "left" in name else -1), name
    rows = np.arange(56)[:, None]
    heights = {name: (lobe * rows).sum() / lobe.sum() for name, lobe in lobes.items()}
    assert heights["lobe_left_upper"] < heights["lobe_left_lower"]
    assert heights["lobe_right_upper"] < heights["lobe_right_middle"]
    assert 78 < made["heart"].max() < 100  # 90 mm deep, magnified a little
    assert 140 < sum(lobes.values()).max() < 185  # 170 mm
    assert made["spine"].sum() > made["sternum"].sum() > 0


def test_a_folder_of_structures_and_names_of_ones_own_give_the_same(
    files: Path, phantom: tuple[Array, Array], tmp_path: Path
) -> None:
    expected = maps(files / "atlas.npz")
    folder = save_folder(tmp_path / "structures", phantom[1])
    renumbered = np.where(phantom[1] > 0, phantom[1] + 200, 0).astype(np.int16)
    save_nifti(tmp_path / "own.nii.gz", renumbered)
    names = tmp_path / "names.csv"
    lines = "".join(f"{name},{number + 200}\n" for name, number in TOTAL_SEGMENTATOR.items())
    names.write_text("structure,id\n" + lines)
    for made in (
        built(tmp_path / "a.npz", files / "ct.nii.gz", folder),
        built(tmp_path / "b.npz", files / "ct.nii.gz", tmp_path / "own.nii.gz", f"--structures={names}"),
    ):
        for name in MAP_NAMES:
            np.testing.assert_array_equal(made[name], expected[name], err_msg=name)


def test_names_in_the_header_are_read(files: Path, phantom: tuple[Array, Array], tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.where(phantom[1] > 0, 300 - phantom[1], 0), np.diag([-5.0, 5, 6, 1]))
    table = "".join(
        f'<Label Key="{300 - number}" Red="1" Green="0" Blue="0" Alpha="1"><![CDATA[{name}]]></Label>'
        for name, number in TOTAL_SEGMENTATOR.items()
    )
    image.header.extensions.append(
        nibabel.nifti1.Nifti1Extension(0, f"<LabelTable>{table}</LabelTable>".encode())
    )
    nibabel.save(image, tmp_path / "labels.nii.gz")
    made = built(tmp_path / "a.npz", files / "ct.nii.gz", tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(made["heart"], maps(files / "atlas.npz")["heart"])


def test_a_dicom_series_gives_what_nifti_gives(
    files: Path, phantom: tuple[Array, Array], tmp_path: Path
) -> None:
    series = save_series(tmp_path / "series", phantom[0])
    (series / "readme.txt").write_text("no slice")
    # Labels of a DICOM series lie where that lies.
    columns, rows, _ = phantom[1].shape
    affine = np.diag([-VOXEL[0], VOXEL[1], VOXEL[2], 1.0])
    affine[:3, 3] = 0.0, -(rows - 1) * VOXEL[1], 0.0
    nibabel.save(nibabel.Nifti1Image(phantom[1], affine), tmp_path / "labels.nii.gz")
    made, expected = built(tmp_path / "a.npz", series, tmp_path / "labels.nii.gz"), maps(files / "atlas.npz")
    for name in MAP_NAMES:
        np.testing.assert_allclose(made[name], expected[name], atol=1.0, err_msg=name)
    assert columns == 76


def test_without_labels_the_chest_is_found_roughly(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, expected = built(tmp_path / "a.npz", files / "ct.nii.gz", None), maps(files / "atlas.npz")
    assert "found roughly" in capsys.readouterr().out
    for part in (MAP_NAMES[:5], ("heart",), ("spine",), ("ribs_posterior", "ribs_anterior")):
        one, other = (sum(given[name] for name in part) for given in (made, expected))
        overlap = np.minimum(one > 0.2 * one.max(), other > 0.2 * other.max()).sum()
        union = np.maximum(one > 0.2 * one.max(), other > 0.2 * other.max()).sum()
        assert overlap / union > 0.6, part


def test_several_subjects_share_a_file(files: Path, phantom: tuple[Array, Array], tmp_path: Path) -> None:
    other = chest(shift=10, heart=1.2)
    save_nifti(tmp_path / "b.nii.gz", other[0])
    save_nifti(tmp_path / "b_labels.nii.gz", other[1])
    given = [f"--ct={files / 'ct.nii.gz'}", f"--segmentation={files / 'labels.nii.gz'}"]
    given += [f"--ct={tmp_path / 'b.nii.gz'}", f"--segmentation={tmp_path / 'b_labels.nii.gz'}"]
    main([*given, f"--out={tmp_path / 'two.npz'}", *SMALL])
    with np.load(tmp_path / "two.npz") as file:
        meta = json.loads(str(file["meta"]))
    assert [pose["subject"] for pose in meta["poses"]] == ["ct.nii.gz"] * 2 + ["b.nii.gz"] * 2
    lacking = other[1] * (other[1] != TOTAL_SEGMENTATOR["aorta"])
    save_nifti(tmp_path / "b_labels.nii.gz", lacking)
    with pytest.raises(
        ValueError, match=r"unequal maps: ct\.nii\.gz has aorta, b\.nii\.gz has none; segment both"
    ):
        main([*given, f"--out={tmp_path / 'two.npz'}", *SMALL])


# ---------------------------------------------------------------------------------------------- bad input
def sheared(path: Path, values: Array) -> None:
    affine = np.diag([-5.0, 5, 6, 1])
    affine[1, 2] = 6 * np.tan(np.radians(12))
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def turned(path: Path, values: Array) -> None:
    angle = np.radians(30)
    affine = np.eye(4)
    affine[:2, :2] = [[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    nibabel.save(nibabel.Nifti1Image(values, affine @ np.diag([5.0, 5, 6, 1])), path)


BAD: dict[str, tuple[Callable[[Path, Array], object], str]] = {
    "no orientation": (
        lambda path, ct: save_nifti(path, ct, oriented=False),
        r"does not say how it is oriented .* --orientation=LPS",
    ),
    "gap": (
        lambda path, ct: save_nifti(path, np.where(np.arange(62) // 2 == 15, -1000, ct)),
        "slices 30, 31 of 62 hold one value: there are gaps; convert the whole series",
    ),
    "copied slice": (
        lambda path, ct: save_nifti(path, ct[:, :, [*range(30), 29, *range(31, 62)]]),
        "slices 29 and 30 are the same: a gap was filled",
    ),
    "offset": (
        lambda path, ct: save_nifti(path, ct + 1024),
        r"Hounsfield units \+ 1024; give --add-hu=-1024",
    ),
    "8 bits": (
        lambda path, ct: save_nifti(path, np.clip((ct + 1000) / 8, 0, 255).astype(np.uint8)),
        r"run from 0 to 1\d\d: windowed to 8 bits, .* --window=-1000,1000",
    ),
    "0 to 1": (
        lambda path, ct: save_nifti(path, ((ct + 1000) / 2000).astype(np.float32)),
        "windowed to 8 bits, no Hounsfield units",
    ),
    "not a number": (
        lambda path, ct: save_nifti(path, np.where(ct > 400, np.nan, ct)),
        "no numbers; export it",
    ),
    "lungs cut off above": (
        lambda path, ct: save_nifti(path, ct[:, :, :45]),
        "lungs are cut off at the upper end",
    ),
    "lungs cut off below": (
        lambda path, ct: save_nifti(path, ct[:, :, 20:]),
        "lungs are cut off at the lower end",
    ),
    "tilt": (sheared, r"the gantry was tilted, its slices are sheared by 12\.0°; convert the DICOM series"),
    "oblique": (turned, "lies 30° across the patient's axes; resample it"),
    "upside down": (
        lambda path, ct: save_nifti(path, ct[:, :, ::-1]),
        "upside down: say where the axes lead",
    ),
    "back to front": (lambda path, ct: save_nifti(path, ct[:, ::-1]), "the spine lies in front of the lungs"),
    "no chest": (
        lambda path, ct: save_nifti(path, np.where(ct < -500, 40, ct)),
        "no two lungs are found|soft tissue",
    ),
    "two volumes": (
        lambda path, ct: save_nifti(path, np.stack([ct, ct], -1)),
        r"has the shape .* give one volume",
    ),
    "text": (lambda path, ct: path.write_text("no CT"), "cannot be read as NIfTI"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_ct_is_named_with_its_remedy(case: str, phantom: tuple[Array, Array], tmp_path: Path) -> None:
    spoil, message = BAD[case]
    path = tmp_path / "bad.nii"
    spoil(path, phantom[0])
    with pytest.raises(ValueError, match=message) as raised:
        main([f"--ct={path}", f"--out={tmp_path / 'a.npz'}", *SMALL])
    assert str(path) in str(raised.value) and not (tmp_path / "a.npz").exists()


def test_what_a_file_does_not_say_can_be_given(
    files: Path, phantom: tuple[Array, Array], tmp_path: Path
) -> None:
    expected = maps(files / "atlas.npz")
    save_nifti(tmp_path / "ct.nii", phantom[0] + 1024, oriented=False)
    affine = np.diag([-5.0, 5, 6, 1])
    affine[:3, 3] = 75 * 5, 0, 0
    nibabel.save(nibabel.Nifti1Image(phantom[1], affine), tmp_path / "labels.nii")
    options = ["--add-hu=-1024", "--orientation=LAS"]
    with pytest.raises(ValueError, match=r"labels\.nii: labels on another grid"):
        built(tmp_path / "a.npz", tmp_path / "ct.nii", tmp_path / "labels.nii", *options)
    affine[:3, 3] = 0
    nibabel.save(nibabel.Nifti1Image(phantom[1], affine), tmp_path / "labels.nii")
    made = built(tmp_path / "a.npz", tmp_path / "ct.nii", tmp_path / "labels.nii", *options)
    np.testing.assert_array_equal(made["heart"], expected["heart"])
    with pytest.raises(ValueError, match="--orientation=LL: give one letter each"):
        built(tmp_path / "a.npz", tmp_path / "ct.nii", None, "--add-hu=-1024", "--orientation=LL")


def hearts_as_lungs(labels: Array) -> Array:
    """Name the heart as lobes, from right to left, and the lungs as heart."""
    lobes = np.array([14, 13, 12, 11, 10], dtype=np.int16)
    stripes = lobes[((np.arange(76) - 32) // 5).clip(0, 4)][:, None, None]
    return np.where(labels == 51, stripes, np.where((labels >= 10) & (labels < 15), 51, labels))


LABELS: dict[str, tuple[Callable[[Path, Array], object], str]] = {
    "another grid": (lambda path, of: save_nifti(path, of[::2, ::2, ::2]), "another grid than .*38 × 28 "
    "× 31"),
    "mirrored": (lambda path, of: save_nifti(path, of[::-1]), "lies on the patient's right|HU: labels of"),
    "of another CT": (lambda path, of: save_nifti(path, hearts_as_lungs(of)), "HU: labels of another"),
    "interpolated": (lambda path, of: save_nifti(path, of * np.float32(0.9)), "no whole numbers; resample"),
    "without heart": (lambda path, of: save_nifti(path, of * (of != 51)), "lacks heart; segment the CT with"),
    "unknown": (lambda path, of: save_nifti(path, np.where(of == 51, 451, of)), "without a name: 451; .*CSV"),
    "empty folder": (lambda path, of: path.mkdir(), "holds no .nii"),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELS)
def test_bad_labels_are_named_with_their_remedy(
    case: str, files: Path, phantom: tuple[Array, Array], tmp_path: Path
) -> None:
    spoil, message = LABELS[case]
    path = tmp_path / "bad.nii"
    spoil(path, phantom[1])
    with pytest.raises(ValueError, match=message) as raised:
        built(tmp_path / "a.npz", files / "ct.nii.gz", path)
    assert str(path) in str(raised.value)


def without(folder: Path, *keywords: str) -> None:
    import pydicom

    path = sorted(folder.iterdir())[3]
    dataset = pydicom.dcmread(path)
    for keyword in keywords:
        delattr(dataset, keyword)
    dataset.save_as(path)


SERIES: dict[str, tuple[dict[str, Any], Callable[[Path], object], str]] = {
    "a slice missing": ({}, lambda f: (f / "009.dcm").unlink(), r"but .*dcm and .*dcm 12\.00 mm: uneven"),
    "two at a place": (
        {}, lambda f: (f / "x.dcm").write_bytes((f / "009.dcm").read_bytes()), "lie at the same place"
    ),
    "no orientation": (
        {}, lambda f: without(f, "ImageOrientationPatient"), "003.dcm: has no ImageOrientationPatient"
    ),
    "tilt": ({"GantryDetectorTilt": 15.0}, lambda f: None, r"sheared by 15\.0°"),
    "no units": ({"RescaleIntercept": 0}, lambda f: None, r"Hounsfield units \+ 1024; give --add-hu=-1024"),
    "another modality": ({"Modality": "MR"}, lambda f: None, "Modality is MR; leave only the CT"),
}  # fmt: skip


@pytest.mark.parametrize("case", SERIES)
def test_a_bad_series_is_named_with_its_remedy(
    case: str, phantom: tuple[Array, Array], tmp_path: Path
) -> None:
    attributes, spoil, message = SERIES[case]
    folder = save_series(tmp_path / "series", phantom[0], **attributes)
    spoil(folder)
    with pytest.raises(ValueError, match=message) as raised:
        built(tmp_path / "a.npz", folder, None)
    assert str(folder) in str(raised.value)


def test_two_series_in_a_folder_are_counted(phantom: tuple[Array, Array], tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    for name, uid in (("a", "1.2.3"), ("b", "1.2.4")):
        save_series(folder / name, phantom[0][:, :, :10], SeriesInstanceUID=uid)
    with pytest.raises(
        ValueError, match=re.escape("holds 2 series (10 of 1.2.3, 10 of 1.2.4); give a folder")
    ):
        built(tmp_path / "a.npz", folder, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--segmentation=a", "--segmentation=b"], "1 --ct but 2 --segmentation: give one for each CT"),
        (["--out=atlas.zip"], r"give a name that ends in \.npz"),
        (["--spacing=60"], r"--spacing=60: give 6\.7 mm or less"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--ct=x.nii", "--out=a.npz", *options])
    assert re.search(message, capsys.readouterr().err)
