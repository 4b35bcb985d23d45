from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.tables.image_file import ImageFileError, read_radiograph
from tests.radiograph_files import RAMP, SIZE, assert_ramp, columns, save, save_dicom


@pytest.mark.parametrize("name", ["ramp.png", "ramp.jpg", "ramp.bmp", "ramp.tif"])
def test_eight_bit_pictures_come_as_they_are(tmp_path: Path, name: str) -> None:
    assert_ramp(read_radiograph(save(tmp_path / name, (RAMP * 255).round().astype(np.uint8)), SIZE))
    narrow = save(tmp_path / f"narrow-{name}", (RAMP * 40 + 100).round().astype(np.uint8))
    levels = columns(read_radiograph(narrow, SIZE)) * 255
    assert abs(float(levels.min()) - 100) < 3 and abs(float(levels.max()) - 140) < 3, "not spread"


@pytest.mark.parametrize("top", [65535, 4095])
def test_sixteen_bit_pictures_are_spread_over_their_range(tmp_path: Path, top: int) -> None:
    path = save(tmp_path / "deep.png", (RAMP * top * 0.8 + top * 0.1).astype(np.uint16))
    assert_ramp(read_radiograph(path, SIZE))


def test_grey_in_colour_formats_is_grey(tmp_path: Path) -> None:
    grey = (RAMP * 255).round().astype(np.uint8)
    rgb = np.stack([grey] * 3, -1)
    for path in (
        save(tmp_path / "rgb.png", rgb),
        save(tmp_path / "rgb.jpg", rgb, quality=80),
        save(tmp_path / "rgba.png", np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], -1)),
        save(tmp_path / "la.png", np.stack([grey, np.full_like(grey, 255)], -1)),
    ):
        assert_ramp(read_radiograph(path, SIZE))
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    assert_ramp(read_radiograph(tmp_path / "palette.png", SIZE))


def test_colour_is_refused_unless_it_is_to_be_converted(tmp_path: Path) -> None:
    red = np.zeros((SIZE, SIZE, 3), np.uint8)
    red[:, SIZE // 2 :, 0] = 200
    for path in (save(tmp_path / "red.png", red), save_dicom(tmp_path / "red.dcm", red, SamplesPerPixel=3,
                 PhotometricInterpretation="RGB", PlanarConfiguration=0)):  # fmt: skip
        with pytest.raises(ImageFileError, match=rf"{path.name}: in colour \(50.0% .*set colour: convert"):
            read_radiograph(path, SIZE)
        levels = columns(read_radiograph(path, SIZE, colour="convert")) * 255
        assert (levels[0], levels[-1].round()) == (0, 60), "0.299 × 200"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_dicom_without_a_window_is_spread(tmp_path: Path, dtype: Any) -> None:
    low = -1000 if dtype == np.int16 else 20
    stored = (RAMP * 200 + low).round().astype(dtype)
    assert_ramp(read_radiograph(save_dicom(tmp_path / "x.dcm", stored), SIZE))


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    stored = ((1 - RAMP) * 4000).astype(np.uint16)
    path = save_dicom(
        tmp_path / "x.dcm", stored, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11
    )
    assert_ramp(read_radiograph(path, SIZE))


def test_a_window_cuts_and_keeps_its_own_range(tmp_path: Path) -> None:
    stored = (RAMP * 4000).astype(np.uint16)
    narrow = save_dicom(tmp_path / "a.dcm", stored, WindowCenter=2000, WindowWidth=1000)
    levels = columns(read_radiograph(narrow, SIZE))
    expected = ((torch.from_numpy(stored[0].astype(np.float32)) - 1500) / 1000).clamp(0, 1)
    assert (levels - expected).abs().max() < 0.02
    wide = save_dicom(tmp_path / "b.dcm", stored, WindowCenter=4000, WindowWidth=8000)
    assert_ramp_of(columns(read_radiograph(wide, SIZE)), top=0.5)


def assert_ramp_of(levels: torch.Tensor, top: float) -> None:
    assert (levels - torch.from_numpy(RAMP[0]).float() * top).abs().max() < 0.02


def test_rescaling_comes_before_the_window(tmp_path: Path) -> None:
    stored = (RAMP * 2000).astype(np.uint16)
    path = save_dicom(
        tmp_path / "x.dcm",
        stored,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=1000,
        WindowWidth=4000,
    )
    assert_ramp(read_radiograph(path, SIZE))


@pytest.mark.parametrize("polarity", ["MONOCHROME2", "MONOCHROME1"])
def test_a_lookup_table_is_followed(tmp_path: Path, polarity: str) -> None:
    from pydicom.dataset import Dataset

    lut = Dataset()
    lut.LUTDescriptor = [1000, 500, 16]
    lut.LUTData = (65535 * np.linspace(0, 1, 1000) ** 2).astype("<u2").tobytes()  # a parabola
    stored = (RAMP * 999 + 500).round().astype(np.uint16)
    path = save_dicom(tmp_path / "x.dcm", stored, VOILUTSequence=[lut], PhotometricInterpretation=polarity)
    levels = columns(read_radiograph(path, SIZE))
    expected = torch.from_numpy(RAMP[0] ** 2).float()
    assert (levels - (expected if polarity == "MONOCHROME2" else 1 - expected)).abs().max() < 0.02


def test_padding_is_black_and_does_not_spoil_the_range(tmp_path: Path) -> None:
    stored = (RAMP * 100 + 1000).astype(np.int16)
    stored[:4] = -2000
    for polarity in ("MONOCHROME2", "MONOCHROME1"):
        path = save_dicom(
            tmp_path / "x.dcm", stored, PixelPaddingValue=-2000, PhotometricInterpretation=polarity
        )
        image = read_radiograph(path, SIZE)
        assert image[0, :4].max() == 0
        levels = image[0, 8:].float().mean(0) / 255
        expected = torch.from_numpy(RAMP[0]).float()
        assert (levels - (expected if polarity == "MONOCHROME2" else 1 - expected)).abs().max() < 0.03


@pytest.mark.parametrize("shape", [(64, 40), (40, 64), (64, 64), (17, 16)])
@pytest.mark.parametrize("size", [16, 33])
def test_crop_and_pad_keep_the_middle_in_proportion(
    tmp_path: Path, shape: tuple[int, int], size: int
) -> None:
    """A bright disc in the middle stays a disc in the middle."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    radius = min(shape) / 4
    disc = (y[:, None] ** 2 + x**2 < radius**2).astype(np.uint8) * 200 + 20
    path = save(tmp_path / "disc.png", disc)
    for fit, side in (("crop", min(shape)), ("pad", max(shape))):
        image = read_radiograph(path, size, fit)[0].float()  # type: ignore[arg-type]
        assert image.shape == (size, size)
        rows, cols = torch.nonzero(image > 120, as_tuple=True)
        for centre in (rows, cols):
            assert abs(float(centre.float().mean()) - (size - 1) / 2) < 0.6
        expected = np.pi * (radius * size / side) ** 2
        assert abs(len(rows) - expected) < 0.25 * expected + 6
        if fit == "pad" and shape[0] != shape[1] and size == 33:
            assert image[0, 0] == 0, "black border"


def test_small_structures_do_not_alias(tmp_path: Path) -> None:
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 255
    image = read_radiograph(save(tmp_path / "stripes.png", stripes), 48)
    assert image.float().std() < 8 and abs(float(image.float().mean()) - 127.5) < 2


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 90), np.uint8)
    path = save(tmp_path / "noise.png", noise)
    assert torch.equal(read_radiograph(path, 33), read_radiograph(path, 33))


def test_orientation_of_the_camera_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = save(tmp_path / "turned.png", (RAMP[:, ::-1] * 255).astype(np.uint8), exif=exif)
    assert_ramp(read_radiograph(path, SIZE))


def truncated(path: Path, source: Path) -> Path:
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    return path


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    png, jpg = save(tmp_path / "a.png", noise), save(tmp_path / "a.jpg", noise)
    dicom = save_dicom(tmp_path / "a.dcm", noise)
    (tmp_path / "text.png").write_text("<html>not found</html>")
    (tmp_path / "text.dcm").write_text("<html>not found</html>")
    (tmp_path / "empty.png").touch()
    save(tmp_path / "blank.png", np.full((8, 8), 7, np.uint8))
    frames = save_dicom(tmp_path / "frames.dcm", np.stack([noise] * 2), NumberOfFrames=2, Rows=64, Columns=64)
    Image.fromarray(noise).save(
        tmp_path / "frames.tif", save_all=True, append_images=[Image.fromarray(noise)]
    )
    for path, message in {
        tmp_path / "none.png": "no such file",
        tmp_path: "no such file",
        tmp_path / "empty.png": r"the file is empty \(0 bytes\); fetch it again",
        tmp_path / "text.png": "cannot be read as an image .*fetch it again",
        tmp_path / "text.dcm": "DICOM file without pixels",
        truncated(tmp_path / "cut.png", png): "cannot be read as an image .*truncated",
        truncated(tmp_path / "cut.jpg", jpg): "cannot be read as an image .*truncated",
        truncated(tmp_path / "cut.dcm", dicom): "cannot be read as an image",
        tmp_path / "blank.png": "blank, every pixel has the same value",
        frames: "holds 2 frames",
        tmp_path / "frames.tif": "holds 2 frames",
    }.items():
        with pytest.raises(ImageFileError, match=message) as caught:
            read_radiograph(path, 16)
        assert str(path) in str(caught.value)
