"""DICOM as scanners and data sets write it: each kind is shown rightly, or refused by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset

from datamodules.tables.image_file import ImageFileError, read_grey, read_radiograph
from tests.radiograph_files import RAMP, SIZE, assert_ramp, columns, save, save_dicom

TWELVE = (RAMP * 4095).round().astype(np.uint16)
BITS = {"BitsStored": 12, "HighBit": 11}


def refused(path: Path, message: str, kind: str | None = None) -> None:
    with pytest.raises(ImageFileError, match=f"(?s){message}") as caught:
        read_radiograph(path, SIZE)
    assert str(path) in str(caught.value)
    assert kind is None or caught.value.kind == kind


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 2000, "WindowWidth": ""},
        {"WindowCenter": 2000},
        {"WindowCenter": 2000, "WindowWidth": 0},
        {"WindowCenter": 2000, "WindowWidth": -4000},
        {"WindowCenter": "nan", "WindowWidth": "nan"},
        {"WindowCenter": [100, 2048], "WindowWidth": [0, 4096]},
        {"WindowCenter": [2048, 1], "WindowWidth": [4096, 1]},
        {"WindowCenter": 2047.5, "WindowWidth": 4095, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": ""},
    ],
    ids=str,
)
def test_a_window_that_is_none_is_passed_over(tmp_path: Path, window: dict[str, Any]) -> None:
    assert_ramp(read_radiograph(save_dicom(tmp_path / "x.dcm", TWELVE, **BITS, **window), SIZE))


def test_windows_that_cannot_be_followed_are_named(tmp_path: Path) -> None:
    text = save_dicom(
        tmp_path / "text.dcm", TWELVE, **BITS, VOILUTFunction="CURVE", WindowCenter=1, WindowWidth=9
    )
    refused(text, "VOILUTFunction 'CURVE' is none of LINEAR")
    beside = save_dicom(tmp_path / "beside.dcm", TWELVE + 100, WindowCenter=-5000, WindowWidth=400)
    refused(
        beside,
        r"blank, .*run from 100 to 4195 and its window \(WindowCenter -5000, WindowWidth 400\)",
        "blank",
    )


def test_a_sigmoid_and_a_narrow_window_are_followed(tmp_path: Path) -> None:
    path = save_dicom(
        tmp_path / "s.dcm", TWELVE, **BITS, WindowCenter=2048, WindowWidth=1000, VOILUTFunction="SIGMOID"
    )
    expected = 1 / (1 + np.exp(-4 * (TWELVE[0].astype(float) - 2048) / 1000))
    assert np.abs(columns(read_radiograph(path, SIZE)).numpy() - expected).max() < 0.01
    small = {"RescaleSlope": 1 / 4095, "RescaleIntercept": 0, "WindowCenter": 0.5, "WindowWidth": 1.0}
    exact = save_dicom(tmp_path / "n.dcm", TWELVE, **BITS, **small, VOILUTFunction="LINEAR_EXACT")
    assert_ramp(read_radiograph(exact, SIZE))
    below = save_dicom(
        tmp_path / "b.dcm", TWELVE, **BITS, **{**small, "WindowCenter": 0.25, "WindowWidth": 0.5}
    )
    assert (columns(read_radiograph(below, SIZE)).numpy() - np.clip(RAMP[0] * 2, 0, 1)).__abs__().max() < 0.02


@pytest.mark.parametrize(
    "rescaling",
    [{"RescaleSlope": "", "RescaleIntercept": ""}, {"RescaleSlope": 2}, {"RescaleIntercept": -9}],
    ids=str,
)
def test_rescaling_may_be_empty_or_half(tmp_path: Path, rescaling: dict[str, Any]) -> None:
    assert_ramp(read_radiograph(save_dicom(tmp_path / "x.dcm", TWELVE, **BITS, **rescaling), SIZE))


@pytest.mark.parametrize("slope", ["1e300", "inf", "nan", "-1e308"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2000, "WindowWidth": 4000}], ids=["none", "window"])
def test_values_that_are_no_numbers_once_rescaled_are_named(tmp_path: Path, slope: str, window: Any) -> None:
    path = save_dicom(tmp_path / "x.dcm", TWELVE, RescaleSlope=slope, RescaleIntercept=0, **window)
    refused(
        path, r"pixels are no usable numbers, the first, at \(row, column\) \(0, \d+\), is ", "not finite"
    )
    refused(save_dicom(tmp_path / "0.dcm", TWELVE, RescaleSlope=0, **window), "RescaleSlope is 0", "blank")


def test_float_pixels_are_spread_and_checked(tmp_path: Path) -> None:
    def write(values: Any, **more: Any) -> Path:
        path = save_dicom(tmp_path / "f.dcm", np.zeros((SIZE, SIZE), np.uint32), **more)
        dataset = pydicom.dcmread(path)
        del dataset.PixelData, dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit
        dataset.FloatPixelData = np.asarray(values, "<f4").tobytes()
        dataset.save_as(path)
        return path

    assert_ramp(read_radiograph(write(RAMP * 7 - 3), SIZE))
    for bad in (np.nan, np.inf, -np.inf):
        values = RAMP.copy()
        values[3, 5] = bad
        refused(write(values), r"1 of 1,024 pixels .* at \(row, column\) \(3, 5\), is", "not finite")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("words", [False, True])
def test_palettes_are_looked_up(tmp_path: Path, bits: int, words: bool) -> None:
    """The index runs against the grey, so reading indices would turn the picture round."""
    ramp = (RAMP[0][::-1] * (2**bits - 1)).round()
    entries = np.concatenate([ramp, np.full(256 - SIZE, ramp[-1])]).astype(
        "<u2" if bits == 16 or words else "u1"
    )
    table = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in {"Descriptor": [256, 0, bits], "Data": entries.tobytes()}.items()
    }
    index = np.tile(np.arange(SIZE, dtype=np.uint8), (SIZE, 1))[:, ::-1]
    path = save_dicom(tmp_path / "p.dcm", index, PhotometricInterpretation="PALETTE COLOR", **table)
    assert_ramp(read_radiograph(path, SIZE))
    bare = save_dicom(tmp_path / "bare.dcm", index, PhotometricInterpretation="PALETTE COLOR")
    refused(bare, "PALETTE COLOR with a palette that cannot be used .*convert the file to RGB")


def test_red_palettes_are_colour(tmp_path: Path) -> None:
    table: dict[str, Any] = {
        f"{n}PaletteColorLookupTableDescriptor": [256, 0, 8] for n in ("Red", "Green", "Blue")
    }
    table |= {"RedPaletteColorLookupTableData": bytes(range(256))}
    table |= {f"{n}PaletteColorLookupTableData": bytes(256) for n in ("Green", "Blue")}
    index = (RAMP * 255).astype(np.uint8)
    refused(
        save_dicom(tmp_path / "p.dcm", index, PhotometricInterpretation="PALETTE COLOR", **table),
        "in colour",
        "colour",
    )


@pytest.mark.parametrize("top", [65535, 4095, 255])
def test_sixteen_bit_colour_is_not_cut_to_eight(tmp_path: Path, top: int) -> None:
    stored = np.stack([(RAMP * top).round().astype(np.uint16)] * 3, -1)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    assert_ramp(read_radiograph(save_dicom(tmp_path / "x.dcm", stored, **colour), SIZE))
    stored[..., 0] = 0
    refused(save_dicom(tmp_path / "red.dcm", stored, **colour), "in colour", "colour")


@pytest.mark.parametrize("planar", [0, 1])
def test_luma_and_chroma_become_grey(tmp_path: Path, planar: int) -> None:
    luma = (RAMP * 255).round().astype(np.uint8)
    stored = np.stack([luma, np.full_like(luma, 128), np.full_like(luma, 128)], -1)
    data = stored if planar == 0 else np.moveaxis(stored, -1, 0)
    path = save_dicom(
        tmp_path / "y.dcm", stored, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL",
        PlanarConfiguration=planar, PixelData=np.ascontiguousarray(data).tobytes(),
    )  # fmt: skip
    assert_ramp(read_radiograph(path, SIZE))
    for kind in ("HSV", "CMYK", "YBR_PARTIAL_420", "", "LUMA"):
        other = save_dicom(tmp_path / "o.dcm", luma, PhotometricInterpretation=kind)
        refused(other, "PhotometricInterpretation|Photometric Interpretation")


@pytest.mark.parametrize("polarity", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("padding", ["value", "range", "wrong sign"])
def test_padding_in_every_form_is_masked_before_the_range(
    tmp_path: Path, polarity: str, dtype: Any, padding: str
) -> None:
    high = 30000
    stored = (RAMP * 100 + 1000).round().astype(dtype)
    stored[:4], stored[4:6] = high, high + (500 if padding == "range" else 0)
    path = save_dicom(tmp_path / "x.dcm", stored, PhotometricInterpretation=polarity)
    dataset = pydicom.dcmread(path)
    value = high - 65536 if padding == "wrong sign" else high
    if padding == "wrong sign":
        stored[:6] = np.array(-2000).astype(dtype) if dtype == np.int16 else 63536
        value = 63536 if dtype == np.int16 else -2000
        dataset.PixelData = stored.tobytes()
    vr = "US" if value > 0 else "SS"
    dataset.add_new("PixelPaddingValue", vr, value)
    if padding == "range":
        dataset.add_new("PixelPaddingRangeLimit", vr, high + 1000)
    dataset.save_as(path)
    image = read_radiograph(path, SIZE)
    assert image[0, :6].max() == 0
    expected = RAMP[0] if polarity == "MONOCHROME2" else 1 - RAMP[0]
    assert np.abs(image[0, 8:].float().mean(0).numpy() / 255 - expected).max() < 0.02


def test_nothing_but_padding_is_blank(tmp_path: Path) -> None:
    refused(
        save_dicom(tmp_path / "x.dcm", np.full((8, 8), 9, np.uint16), PixelPaddingValue=9),
        "every pixel is padding",
        "blank",
    )


def without_meta(path: Path, keep: str) -> Path:
    """Strip what files of VinDr-CXR and of old archives lack."""
    dataset = pydicom.dcmread(path)
    if keep == "meta":
        del dataset.file_meta.TransferSyntaxUID
        content = path.read_bytes()
        raw = pydicom.dcmread(path)
        raw.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
        raw.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        content = path.read_bytes()
        start = content.index(b"\x02\x00\x10\x00UI")
        length = int.from_bytes(content[start + 6 : start + 8], "little")
        content = content[:start] + content[start + 8 + length :]
        group = content.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
        size = int.from_bytes(content[group : group + 4], "little") - 8 - length
        path.write_bytes(content[:group] + size.to_bytes(4, "little") + content[group + 4 :])
    else:
        implicit, little = {"implicit": (True, True), "explicit": (False, True), "big": (False, False)}[keep]
        del dataset.file_meta
        if not little:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.preamble = None
        pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, force_encoding=True)
    return path


@pytest.mark.parametrize("keep", ["implicit", "explicit", "big", "meta"])
@pytest.mark.parametrize("name", ["x.dcm", "x"])
def test_files_without_transfer_syntax_are_read(tmp_path: Path, keep: str, name: str) -> None:
    path = save_dicom(tmp_path / name, TWELVE, **BITS, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1")
    assert_ramp(read_radiograph(without_meta(path, keep), SIZE))


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    path = save_dicom(tmp_path / "x.dcm", TWELVE, **BITS)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    dataset.PixelData = TWELVE.astype(">u2").tobytes()
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    assert_ramp(read_radiograph(path, SIZE))


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(
    ("count", "declared", "entry_bits", "layout"),
    [(4096, 16, 12, "words"), (4096, 12, 12, "words"), (256, 8, 8, "words"), (256, 8, 8, "packed"),
     (4096, 16, 8, "packed"), (65536, 16, 16, "words"), (4096, 16, 16, "numbers"), (255, 8, 8, "packed"),
     (256, 8, 8, "packed numbers")],
)  # fmt: skip
def test_lookup_tables_of_any_depth_use_their_range(
    tmp_path: Path, sequence: str, count: int, declared: int, entry_bits: int, layout: str
) -> None:
    """A parabola, so that a table that is passed over would show."""
    entries = np.round((2**entry_bits - 1) * np.linspace(0, 1, count) ** 2)
    table = Dataset()
    table.LUTDescriptor = [count % 65536, 0, declared]
    packed = entries.astype("<u1").tobytes() + b"\0" * (count % 2)
    words = entries.astype("<u2")
    data: Any = words.tobytes() if "words" in layout else packed
    table.LUTData = (
        np.frombuffer(words.tobytes() if layout == "numbers" else packed, "<u2").tolist()
        if "numbers" in layout
        else data
    )
    table["LUTData"].VR = "US" if "numbers" in layout else "OW"
    stored = (RAMP * (count - 1)).round().astype(np.uint16)
    path = save_dicom(tmp_path / "x.dcm", stored, **{sequence: [table]})
    found = columns(read_radiograph(path, SIZE)).numpy()
    assert np.abs(found - RAMP[0] ** 2).max() < 0.02


@pytest.mark.parametrize("first", [-1000, 64536])
def test_the_first_value_of_a_table_may_be_negative(tmp_path: Path, first: int) -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US" if first > 0 else "SS", [2000, first, 16])
    table.add_new("LUTData", "OW", np.linspace(0, 65535, 2000).astype("<u2").tobytes())
    stored = (RAMP * 1999 - 1000).round().astype(np.int16)
    assert_ramp(read_radiograph(save_dicom(tmp_path / "x.dcm", stored, VOILUTSequence=[table]), SIZE))


def test_tables_that_do_not_hold_what_they_say_are_named(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], bytes(100)
    refused(
        save_dicom(tmp_path / "x.dcm", TWELVE, VOILUTSequence=[table]),
        "neither 4096 entries of 8 nor of 16 bits",
    )
    assert_ramp(read_radiograph(save_dicom(tmp_path / "y.dcm", TWELVE, VOILUTSequence=[Dataset()]), SIZE))


@pytest.mark.parametrize("polarity", ["MONOCHROME2", "MONOCHROME1"])
def test_the_inverse_shape_inverts_once(tmp_path: Path, polarity: str) -> None:
    stored = 4095 - TWELVE
    path = save_dicom(
        tmp_path / "x.dcm", stored, **BITS, PresentationLUTShape="INVERSE", PhotometricInterpretation=polarity
    )
    assert_ramp(read_radiograph(path, SIZE))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("high_bit", [11, 15])
def test_unused_bits_may_hold_anything(tmp_path: Path, dtype: Any, high_bit: int) -> None:
    values = TWELVE.astype(np.int32) - (2048 if dtype == np.int16 else 0)
    noise = np.random.default_rng(0).integers(0, 16, values.shape)
    stored = (values & 4095) | noise << 12 if high_bit == 11 else (values & 4095) << 4 | noise
    path = save_dicom(
        tmp_path / "x.dcm", stored.astype(np.uint16).view(dtype), BitsStored=12, HighBit=high_bit
    )
    assert_ramp(read_radiograph(path, SIZE))


def test_pixels_and_header_have_to_agree(tmp_path: Path) -> None:
    for name, attributes, message in [
        ("short", {"PixelData": TWELVE.tobytes()[:-64]}, "do not fit its attributes .*less than|truncated"),
        ("twice", {"PixelData": TWELVE.tobytes() * 2}, "2 frames, though no NumberOfFrames"),
        ("frames", {"NumberOfFrames": 2, "PixelData": TWELVE.tobytes() * 2}, "holds 2 frames"),
        ("width", {"Columns": 0}, r"says 32 × 0 pixels"),
        ("height", {"Rows": 0}, r"says 0 × 32 pixels"),
        ("bomb", {"Rows": 65535, "Columns": 65535}, "decompression bomb"),
        ("spacing", {"PixelSpacing": [0.1, 0.2]}, "PixelSpacing 0.1 by 0.2: pixels that are not square"),
        ("imager", {"ImagerPixelSpacing": [0.14, 0.1]}, "pixels that are not square"),
        ("aspect", {"PixelAspectRatio": [4, 3]}, "PixelAspectRatio 4 by 3"),
    ]:  # fmt: skip
        refused(save_dicom(tmp_path / f"{name}.dcm", TWELVE, **attributes), message)
    for attributes in (
        {"NumberOfFrames": 1}, {"NumberOfFrames": 0}, {"PixelSpacing": [0.139, 0.14]}, {"PixelSpacing": ""},
        {"PixelAspectRatio": [1, 1]}, {"PixelData": TWELVE.tobytes() + bytes(12)},
    ):  # fmt: skip
        assert_ramp(read_radiograph(save_dicom(tmp_path / "x.dcm", TWELVE, **attributes), SIZE))


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.3.4", "1.2.840.10008.1.2.4.51"]
)
def test_compression_without_a_decoder_names_the_remedy(tmp_path: Path, syntax: str) -> None:
    from pydicom.encaps import encapsulate

    path = save_dicom(tmp_path / "x.dcm", TWELVE, **BITS)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xc3" + bytes(60)])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    refused(path, "(cannot decode .*install the plug-in it names.*|cannot be read as an image.*)")


def test_compressed_pixels_without_a_syntax_are_named(tmp_path: Path) -> None:
    from pydicom.encaps import encapsulate

    path = save_dicom(tmp_path / "x.dcm", TWELVE, **BITS)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([b"\xff\xd8" + bytes(60)])
    dataset["PixelData"].is_undefined_length = True
    del dataset.file_meta
    dataset.preamble = None
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
    refused(path, "compressed, but it has no TransferSyntaxUID")


@pytest.mark.parametrize("kind", ["MONOCHROME2", "YBR_FULL_422", "RGB"])
def test_jpeg_within_dicom(tmp_path: Path, kind: str) -> None:
    from pydicom.encaps import encapsulate

    grey = Image.fromarray((RAMP * 255).round().astype(np.uint8))
    content = io.BytesIO()
    grey.convert("L" if kind == "MONOCHROME2" else "RGB").save(
        content, "jpeg", quality=95, keep_rgb=kind == "RGB"
    )
    samples = 1 if kind == "MONOCHROME2" else 3
    path = save_dicom(tmp_path / "x.dcm", np.zeros((SIZE, SIZE), np.uint8), SamplesPerPixel=samples)
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = kind, 0
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    dataset.PixelData = encapsulate([content.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    assert_ramp(read_radiograph(path, SIZE))


@pytest.mark.parametrize("name", ["x.dcm", "x.png", "x"])
@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "bmp", "dicom"])
def test_what_a_file_is_its_content_says(tmp_path: Path, name: str, kind: str) -> None:
    eight = (RAMP * 255).round().astype(np.uint8)
    path = tmp_path / name
    save_dicom(path, eight) if kind == "dicom" else save(path, eight, format=kind)
    assert_ramp(read_radiograph(path, SIZE))


@settings(max_examples=60, deadline=None)
@given(
    center=st.one_of(st.none(), st.floats(width=32), st.integers(-70000, 70000)),
    width=st.one_of(st.none(), st.floats(width=32), st.integers(-70000, 70000)),
    slope=st.one_of(st.none(), st.floats(width=32)),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", "", "X"]),
    polarity=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    padding=st.one_of(st.none(), st.integers(0, 65535)),
)
def test_whatever_a_header_says_pixels_are_in_range_or_the_file_is_named(
    tmp_path_factory: pytest.TempPathFactory,
    center: Any,
    width: Any,
    slope: Any,
    function: str,
    polarity: str,
    padding: Any,
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.dcm"
    text = {
        k: f"{v:.9g}"
        for k, v in {"WindowCenter": center, "WindowWidth": width, "RescaleSlope": slope}.items()
        if v is not None
    }
    more = {} if padding is None else {"PixelPaddingValue": padding}
    save_dicom(path, TWELVE, VOILUTFunction=function, PhotometricInterpretation=polarity, **text, **more)
    try:
        grey = read_grey(path)
    except ImageFileError as error:
        assert str(path) in str(error)
        return
    assert grey.dtype == np.float32 and np.isfinite(grey).all() and 0 <= grey.min() < grey.max() <= 1
    assert isinstance(read_radiograph(path, 8), torch.Tensor)
