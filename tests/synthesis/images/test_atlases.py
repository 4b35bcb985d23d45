"""Simulated patients from several atlases, and subjects brought into one frame."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.simulator.build_atlas import main
from synthesis.cases import Case, Finding
from synthesis.images.simulator import Simulator
from synthesis.images.simulator.atlas import ATLAS_PATH, MAP_NAMES, load_atlas
from synthesis.images.simulator.atlas_mixture import AtlasMixture
from synthesis.images.simulator.landmarks import REFERENCE, measure_landmarks
from synthesis.seeding import pair_seed
from tests.chest_phantom import chest, save_nifti

SIZE = 64
SEEDS = [pair_seed(12, "atlases", k) for k in range(24)]
HEALTHY = [Case((), (), "PA" if k % 2 else "AP") for k in range(24)]


@pytest.fixture(scope="module")
def atlases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the atlases of two chests, one of them higher up in its scan and smaller."""
    folder = tmp_path_factory.mktemp("atlases")
    for name, (hounsfield, labels) in {"a": chest(), "b": chest(shift=18, tall=0.85, heart=1.25)}.items():
        scan, segmentation = folder / f"{name}.nii", folder / f"{name}_labels.nii"
        save_nifti(scan, hounsfield)
        save_nifti(segmentation, labels)
        out = f"--out={folder / 'both' / name}.npz"
        main([f"--ct={scan}", f"--segmentation={segmentation}", out, "--poses=2", "--spacing=3"])
    return folder / "both"


def test_the_reference_is_the_shipped_atlas() -> None:
    atlas = load_atlas(ATLAS_PATH, 0.5)
    straight = dict(zip(MAP_NAMES, atlas.poses[0].maps, strict=True))
    np.testing.assert_allclose(
        astuple(measure_landmarks(straight, atlas.spacing)), astuple(REFERENCE), atol=0.01
    )
    assert {pose.heart_offset for pose in atlas.poses} == {(0.0, 0.0)}


def test_every_subject_is_brought_to_the_reference(atlases: Path) -> None:
    for name in ("a", "b"):
        atlas = load_atlas(atlases / f"{name}.npz", 0.5)
        straight = dict(zip(MAP_NAMES, atlas.poses[0].maps, strict=True))
        found = measure_landmarks(straight, atlas.spacing)
        for place in ("apex", "carina", "dome", "base", "right", "midline", "left"):
            off = abs(getattr(found, place) - getattr(REFERENCE, place))
            assert off < 3.5 * atlas.spacing, (name, place, off)
        own = np.subtract(
            (found.heart_column, found.heart_row), (REFERENCE.heart_column, REFERENCE.heart_row)
        )
        np.testing.assert_allclose(own, atlas.poses[0].heart_offset, atol=3 * atlas.spacing)


@pytest.mark.parametrize("name", ["a", "b"])
def test_findings_lie_where_they_are_named(atlases: Path, name: str) -> None:
    """Zones, sides, the carina and the heart are those of the atlas, not of the shipped CT."""
    simulator = Simulator(image_size=SIZE, atlas=str(atlases / f"{name}.npz"))

    def masks(count: int, concept: str, *given: str | None) -> list[torch.Tensor]:
        case = Case((Finding(concept, *given),), (), "PA")
        made = simulator.make([case] * count, None, SEEDS[:count])
        return [mask[0] for mask in made.masks if len(mask)]

    def centre(found: list[torch.Tensor]) -> np.ndarray:
        return np.mean([torch.nonzero(mask).float().mean(0).numpy() for mask in found], axis=0)

    upper, lower = (
        centre(masks(6, "nodule", "right", zone, "large")) for zone in ("upper zone", "lower zone")
    )
    assert upper[0] + 6 < lower[0] and upper[1] < SIZE / 2
    drawings = list(simulator.draw([Case((), (), "PA")] * 6, SEEDS[:6]))
    heart = centre([d.anatomy.heart > 30 for d in drawings])
    grown = centre(masks(6, "cardiomegaly", None, None, "severe"))
    assert np.abs(grown - heart).max() < 6
    for drawing in drawings:
        lungs = drawing.anatomy.lungs > 30
        assert 0.25 < float(lungs[(drawing.anatomy.v > 0.05) & (drawing.anatomy.v < 0.6)].float().mean())
        assert not lungs[drawing.anatomy.v < -0.1].any() and not lungs[drawing.anatomy.v > 1.15].any()


def test_a_patient_of_a_mixture_is_as_from_its_own_atlas(atlases: Path) -> None:
    paths = [str(atlases / "a.npz"), str(atlases / "b.npz")]
    mixed = Simulator(image_size=SIZE, atlas=paths)
    made = mixed.make(HEALTHY, None, SEEDS).images
    alone = [Simulator(image_size=SIZE, atlas=path).make(HEALTHY, None, SEEDS).images for path in paths]
    chosen = [mixed.atlases.choose(seed) for seed in SEEDS]
    assert 0 < sum(chosen) < len(SEEDS)
    for k, source in enumerate(chosen):
        assert torch.equal(made[k], alone[source][k]) and not torch.equal(made[k], alone[1 - source][k])


def test_weights_are_shares_and_a_folder_shares_its_own(atlases: Path) -> None:
    given = AtlasMixture({str(ATLAS_PATH): 3.0, str(atlases): 1.0})
    assert given.shares == (0.75, 0.125, 0.125)
    drawn = np.bincount([given.choose(seed) for seed in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(drawn, given.shares, atol=0.03)
    assert AtlasMixture(str(atlases)).shares == (0.5, 0.5)


def test_fingerprints_name_every_atlas_by_its_hash(atlases: Path) -> None:
    one, both = (Simulator(image_size=SIZE, atlas=given) for given in (str(atlases / "a.npz"), str(atlases)))
    (sha256,) = {one.describe()["atlas_sha256"]}
    assert both.describe()["atlas_sha256"].keys() > {sha256} and len(sha256) == 64
    weighted = Simulator(image_size=SIZE, atlas={str(atlases / "a.npz"): 1.0, str(atlases / "b.npz"): 2.0})
    assert weighted.describe() != both.describe()


def test_atlases_of_other_resolutions_are_joined(atlases: Path) -> None:
    mixed = AtlasMixture([str(ATLAS_PATH), str(atlases)]).load(1.6)
    assert len({pose.maps.shape for pose in mixed.poses}) == 1
    assert {pose.source for pose in mixed.poses} == {0, 1, 2} and mixed.of_view("PA", 2)
    for pose in mixed.poses:
        assert pose.lung_columns.shape == (2, pose.maps.shape[1], 2)


def test_atlases_that_cannot_be_joined_are_named(atlases: Path, tmp_path: Path) -> None:
    with np.load(atlases / "a.npz") as file:
        content = dict(file)
    one, cut, copy = tmp_path / "one.npz", tmp_path / "cut.npz", tmp_path / "copy.npz"
    np.savez(one, **content)
    copy.write_bytes(one.read_bytes())
    np.savez(cut, **content | {"differences": content["differences"][:, :, :, 4:-4]})
    cases = {
        r"one\.npz and .*cut\.npz are unequal: 336 by 360 mm and 336 by 336 mm": [str(one), str(cut)],
        r"copy\.npz is there twice under two names|one\.npz is there twice": [str(one), str(copy)],
    }
    for message, given in cases.items():
        with pytest.raises(ValueError, match=message):
            AtlasMixture(given).load(3.0)
    np.savez(cut, **content | {"differences": content["differences"][:, :-1]})
    with pytest.raises(ValueError, match=r"cut\.npz holds 12 maps, this code knows 13: rebuild it"):
        AtlasMixture(str(cut)).load(3.1)
    np.savez(cut, **content | {"differences": content["differences"][:-1]})
    with pytest.raises(ValueError, match=r"cut\.npz holds maps of 1 poses but names 2: rebuild it"):
        AtlasMixture(str(cut)).load(3.2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "atlas is empty: name a file"),
        (["a.npz", "a.npz"], "names a file twice"),
        ({"a.npz": 0.0}, r"a\.npz has the weight 0\.0: give a number above 0"),
        ({"a.npz": float("nan")}, "has the weight nan"),
    ],
)
def test_mixtures_that_mean_nothing_are_refused(given: list[str] | dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AtlasMixture(given)


def test_a_folder_without_an_atlas_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no \.npz: run `make atlas`"):
        AtlasMixture(str(tmp_path))
