"""Pictures as people save them: each kind is shown rightly, or refused by name."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.tables.image_file import ImageFileError, read_grey, read_picture, read_radiograph
from datamodules.tables.picture_file import picture_pixels
from tests.radiograph_files import RAMP, SIZE, assert_ramp, columns, save

EIGHT = (RAMP * 255).round().astype(np.uint8)


def refused(path: Path, message: str, kind: str | None = None) -> None:
    with pytest.raises(ImageFileError, match=f"(?s){message}") as caught:
        read_radiograph(path, SIZE)
    assert str(path) in str(caught.value)
    assert kind is None or caught.value.kind == kind


def png(values: np.ndarray[Any, Any]) -> bytes:
    """A PNG of 16 bits with any number of channels, which Pillow does not write."""
    import struct
    import zlib

    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("count", [1, SIZE * SIZE])
def test_floats_that_are_no_numbers_are_named(tmp_path: Path, bad: float, count: int) -> None:
    assert_ramp(read_radiograph(save(tmp_path / "good.tif", (RAMP * 9 - 4).astype(np.float32)), SIZE))
    values = RAMP.astype(np.float32).ravel()
    with np.errstate(over="ignore"):
        values[-count:] = bad
    path = save(tmp_path / "bad.tif", values.reshape(SIZE, SIZE))
    refused(path, rf"{count:,} of 1,024 pixels are no usable numbers.*\(row, column\)", "not finite")
    with pytest.raises(ImageFileError, match=r"row 7: .*no usable numbers"):
        read_picture(io.BytesIO(path.read_bytes()), "row 7")


@pytest.mark.parametrize("top", [65535, 4095, 1000])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour_keeps_its_depth(tmp_path: Path, top: int, channels: int) -> None:
    values = np.stack([(RAMP * top).round()] * 3 + [np.full(RAMP.shape, 65535)], -1)[..., :channels]
    path = tmp_path / "deep.png"
    path.write_bytes(png(values))
    assert_ramp(read_radiograph(path, SIZE))
    assert len(np.unique(read_grey(path))) == SIZE, "no level is lost"
    assert np.array_equal(read_picture(io.BytesIO(path.read_bytes()), "x"), read_grey(path))
    values[..., 1] = 0
    path.write_bytes(png(values))
    refused(path, "in colour", "colour")


def tiff(path: Path, values: np.ndarray[Any, Any], order: str, photometric: int, alpha: bool = False) -> Path:
    """An uncompressed TIFF of any order and polarity."""
    import struct

    channels = 1 if values.ndim == 2 else values.shape[2]
    bits, data = values.dtype.itemsize * 8, values.astype(values.dtype.newbyteorder(order)).tobytes()
    height, width = values.shape[:2]
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 0),
            (277, channels), (278, height), (279, len(data))]  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    extra = struct.pack(f"{order}{channels}H", *[bits] * channels) if channels > 1 else b""
    entries = b""
    for tag, value in tags:
        if tag == 258 and channels > 1:
            entries += struct.pack(f"{order}HHII", tag, 3, channels, start)
        else:
            value = start + len(extra) if tag == 273 else value
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    path.write_bytes(head + entries + b"\0" * 4 + extra + data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_either_order_and_polarity(tmp_path: Path, order: str) -> None:
    deep = (RAMP * 4000).round().astype(np.uint16)
    assert_ramp(read_radiograph(tiff(tmp_path / "grey.tif", deep, order, 1), SIZE))
    assert_ramp(read_radiograph(tiff(tmp_path / "rgb.tif", np.stack([deep] * 3, -1), order, 2), SIZE))
    assert_ramp(read_radiograph(tiff(tmp_path / "eight.tif", 255 - EIGHT, order, 0), SIZE))
    if order == "<":  # Pillow does not open the other
        assert_ramp(read_radiograph(tiff(tmp_path / "white.tif", 4000 - deep, order, 0), SIZE))


def test_compressed_sixteen_bit_colour_of_tiff(tmp_path: Path) -> None:
    deep = np.stack([(RAMP * 4000).round().astype(np.uint16)] * 3, -1)
    path = tiff(tmp_path / "plain.tif", deep, "<", 2)
    with Image.open(path) as plain:
        plain.save(tmp_path / "packed.tif", compression="tiff_lzw")
    assert read_radiograph(tmp_path / "packed.tif", SIZE).shape == (1, SIZE, SIZE)


def test_what_is_transparent_is_black_and_has_no_colour(tmp_path: Path) -> None:
    opacity = np.full_like(EIGHT, 255)
    opacity[:, : SIZE // 2] = 0
    under = EIGHT.copy()
    under[:, : SIZE // 2] = 255  # what editors leave there
    grey = save(tmp_path / "la.png", np.stack([under, opacity], -1))
    red = np.stack([under, under, under, opacity], -1)
    red[:, : SIZE // 2, 1:3] = 0
    for path in (grey, save(tmp_path / "rgba.png", red), save(tmp_path / "rgba.tif", red)):
        levels = columns(read_radiograph(path, SIZE)).numpy()
        assert (
            levels[: SIZE // 2].max() == 0 and np.abs(levels[SIZE // 2 :] - RAMP[0, SIZE // 2 :]).max() < 0.02
        )
    hidden = save(tmp_path / "hidden.png", np.stack([under, np.zeros_like(under)], -1))
    refused(hidden, "every pixel is transparent", "transparent")


def test_palettes_with_a_transparent_entry(tmp_path: Path) -> None:
    palette = Image.fromarray(EIGHT).convert("P")
    palette.save(tmp_path / "p.png", transparency=0)
    assert_ramp(read_radiograph(tmp_path / "p.png", SIZE))
    Image.fromarray(EIGHT).save(tmp_path / "l.png", transparency=255)
    levels = columns(read_radiograph(tmp_path / "l.png", SIZE)).numpy()
    assert levels[-1] == 0 and abs(levels[-2] - RAMP[0, -2]) < 0.02


def test_many_layouts_show_the_same(tmp_path: Path) -> None:
    image = Image.fromarray(EIGHT)
    cmyk = Image.merge("CMYK", [Image.new("L", image.size)] * 3 + [Image.fromarray(255 - EIGHT)])
    for name, layout, options in [
        ("cmyk.tif", cmyk, {}), ("cmyk.jpg", cmyk, {"quality": 95}), ("grey.jp2", image, {}),
        ("rgb.jp2", image.convert("RGB"), {}),
        ("deep.jp2", Image.fromarray((RAMP * 65535).astype(np.uint16)), {}),
        ("progressive.jpg", image, {"progressive": True, "quality": 95}),
        ("i.tif", Image.fromarray((RAMP * 1e5).astype(np.int32)), {}),
        ("p.bmp", image.convert("P"), {}),
    ]:  # fmt: skip
        layout.save(tmp_path / name, **options)
        assert_ramp(read_radiograph(tmp_path / name, SIZE), 0.03)
    marked = (tmp_path / "grey.jpg", io.BytesIO())
    image.save(marked[1], "jpeg", quality=95)
    content = marked[1].getvalue()  # with Adobe's marker, as scanners' software writes it
    marked[0].write_bytes(content[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01" + content[2:])
    assert_ramp(read_radiograph(marked[0], SIZE))
    half = Image.fromarray(RAMP > 0.5)
    half.save(tmp_path / "one.png")
    assert (columns(read_radiograph(tmp_path / "one.png", SIZE)).numpy() == (RAMP[0] > 0.5)).all()


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "jp2", "bmp"])
def test_wherever_a_file_is_cut_it_is_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    content = save(tmp_path / f"whole.{suffix}", noise).read_bytes()
    for share in (0.05, 0.3, 0.6, 0.9):
        path = tmp_path / f"cut-{share}.{suffix}"
        path.write_bytes(content[: int(len(content) * share)])
        refused(path, "cannot be read as an image")


def test_bombs_and_films_are_refused_by_name(tmp_path: Path) -> None:
    bomb = bytearray(save(tmp_path / "a.png", EIGHT).read_bytes())
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bomb)
    refused(tmp_path / "bomb.png", "decompression bomb.*scale it down", "too large")
    frames = [Image.fromarray(EIGHT), Image.fromarray(255 - EIGHT)]
    frames[0].save(tmp_path / "film.png", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])
    for name in ("film.png", "pages.tif"):
        refused(tmp_path / name, "holds 2 frames", "several frames")


def test_every_way_of_not_being_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    for name, message in {
        "dangling.png": r"a link to .*gone\.png, which is not there",
        "loop.png": "a link to",
        "pipe.png": "a device or pipe",
        ".": "but a folder",
        "n" * 300: "no such file",
    }.items():
        refused(tmp_path / name, message, "missing file")
    (tmp_path / "good.png").symlink_to(save(tmp_path / "real.png", EIGHT))
    assert_ramp(read_radiograph(tmp_path / "good.png", SIZE))
    for content, name in {
        b"GIF89a" + bytes(40): "x.png",
        b"PK\3\4" + bytes(99): "y.jpg",
        b"\0" * 200: "z.dcm",
        b"\x08\0" * 90: "w",
    }.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "no image at all|without pixels|cannot be read")


@settings(max_examples=40, deadline=None)
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4),
    suffix=st.sampled_from(["png", "jpg", "tif", "bmp"]),
)
def test_damage_gives_a_picture_or_a_named_error(flips: Any, suffix: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(EIGHT).save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    content = bytearray(buffer.getvalue())
    for place, mask in flips:
        content[int(place * len(content))] ^= mask
    try:
        grey = read_picture(io.BytesIO(bytes(content)), "row 3", "convert")
    except ImageFileError as error:
        assert "row 3" in str(error)
        return
    assert np.isfinite(grey).all() and 0 <= grey.min() < grey.max() <= 1


def test_strips_and_pictures_of_one_pixel_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 60), np.uint8)
    refused(save(tmp_path / "strip.png", noise), "2 × 60 pixels, a strip", "strip")
    outlier = RAMP.astype(np.float32)
    outlier[4, 4] = 3e38
    refused(
        save(tmp_path / "outlier.tif", outlier), "blank, all but 1 of 1,024 pixels have the same", "blank"
    )
    speckled = np.zeros((SIZE, SIZE), np.uint8)
    speckled[::8, ::8] = 200
    assert read_radiograph(save(tmp_path / "speckled.png", speckled), SIZE).max() == 200


def test_a_png_without_its_end_was_cut_off(tmp_path: Path) -> None:
    """Pillow reads it without a word: all pixels are there."""
    path = tmp_path / "film.png"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b"a remark after the end")
    assert picture_pixels(path, "film", "refuse").shape == (32, 32)
    path.write_bytes(whole[:-20])
    with Image.open(path) as file:
        file.load()
    with pytest.raises(ImageFileError, match="film: the PNG has no end mark"):
        picture_pixels(path, "film", "refuse")
