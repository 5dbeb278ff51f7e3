"""Label maps give the stored numbers, whatever the file's bits; formats that change numbers are refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from diffseg.files.images import PhotoError
from diffseg.files.label_maps import colour_number, read_label_map

SHAPE = (13, 17)
needs_avif = pytest.mark.skipif(".avif" not in Image.registered_extensions(), reason="this Pillow has no AVIF")
NUMBERS = np.random.default_rng(0).integers(0, 4, SHAPE)


def png_of(values: NDArray[np.integer], bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits, which Pillow does not write."""
    unpacked = [np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :].ravel() for row in values]
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in unpacked)
    height, width = values.shape
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def pgm_of(values: NDArray[np.integer], largest: int) -> bytes:
    numbers = values.astype(">u2" if largest > 255 else np.uint8).tobytes()
    return b"P5\n%d %d\n%d\n" % (*values.shape[::-1], largest) + numbers


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_of_few_bits(tmp_path: Path, bits: int) -> None:
    values = NUMBERS % 2**bits
    (tmp_path / "a.png").write_bytes(png_of(values, bits))
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.png"), values)


@pytest.mark.parametrize("largest", [3, 255, 1000, 65535])
def test_pgm_of_any_range(tmp_path: Path, largest: int) -> None:
    (tmp_path / "a.pgm").write_bytes(pgm_of(NUMBERS, largest))
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.pgm"), NUMBERS)


@pytest.mark.parametrize(
    ("dtype", "offset", "options"),
    [
        ("int8", -1, {}),
        ("int16", -1, {"byteorder": ">"}),
        ("uint16", 65_000, {}),
        ("int32", -1, {}),
        ("uint32", 2**31, {}),
        ("uint8", 0, {"photometric": "miniswhite"}),
        ("uint8", 0, {"tile": (16, 16)}),
        ("uint8", 0, {"bigtiff": True}),
    ],
)
def test_every_kind_of_whole_numbers_in_a_tiff(
    tmp_path: Path, dtype: str, offset: int, options: dict[str, Any]
) -> None:
    values = NUMBERS + offset
    tifffile.imwrite(tmp_path / "a.tif", values.astype(dtype), **options)
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.tif"), values)


@pytest.mark.parametrize("kind", ["palette.png", "palette.gif", "8.bmp", "16.png", "bool.png", "bool.npy", "big.npy"])
def test_other_lossless_files(tmp_path: Path, kind: str) -> None:
    path, values, small = tmp_path / kind, NUMBERS, Image.fromarray(NUMBERS.astype(np.uint8))
    if kind.startswith("palette"):
        small.putpalette([9, 9, 9, 200, 0, 0, 9, 9, 9, 0, 200, 0])  # two indices of one colour
    if kind.startswith("bool"):
        values = NUMBERS > 1
        small = Image.fromarray(values)
    elif kind == "16.png":
        small = Image.fromarray(NUMBERS.astype(np.uint16))
    np.save(path, values.astype(">i8") if kind == "big.npy" else values) if path.suffix == ".npy" else small.save(path)
    np.testing.assert_array_equal(read_label_map(path), values)


def test_a_smaller_copy_in_a_tiff_is_no_second_map(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(NUMBERS.astype(np.uint8))
        file.write(NUMBERS[::2, ::2].astype(np.uint8), subfiletype=1)
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.tif"), NUMBERS)


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "JPEG2000", "WEBP", pytest.param("AVIF", marks=needs_avif), "TIFF"])
def test_lossy_formats_are_refused_whatever_their_name(tmp_path: Path, kind: str) -> None:
    grey = Image.fromarray(NUMBERS.astype(np.uint8))
    options = {"TIFF": {"compression": "jpeg"}, "MPO": {"save_all": True, "append_images": [grey]}}
    grey.save(tmp_path / "a.png", format=kind, **options.get(kind, {}))
    with pytest.raises(PhotoError, match=r"a\.png: .* changes the numbers of a label map; export the map as PNG$"):
        read_label_map(tmp_path / "a.png", colours="allowed")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF"])
def test_several_frames_are_refused(tmp_path: Path, kind: str) -> None:
    grey = Image.fromarray(NUMBERS.astype(np.uint8))
    grey.save(tmp_path / "a.png", format=kind, save_all=True, append_images=[Image.fromarray(3 - NUMBERS.astype("u1"))])
    with pytest.raises(PhotoError, match="holds 2 frames, a label map has one; "):
        read_label_map(tmp_path / "a.png")


@pytest.mark.parametrize(
    "options", [{"imagej": True, "truncate": True}, {"volumetric": True, "tile": (2, 16, 16)}], ids=["ImageJ", "tiles"]
)
def test_slices_behind_a_single_page_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    stack = np.stack([np.zeros_like(NUMBERS), NUMBERS]).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(file.pages) == 1
    with pytest.raises(PhotoError, match="holds 2 frames, a label map has one; "):
        read_label_map(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (np.zeros((4, 4, 3), np.uint8), r"has colours \(RGB\)"),
        (np.zeros((4, 4, 2), np.uint8), r"has colours \(LA\)"),
        (np.zeros((4, 4), np.float32), "has fractions"),
        (np.zeros((4, 4), np.float64), "is a TIFF of 1 band of 64 bits, floating point, which Pillow does not read"),
        (np.zeros((4, 4, 5), np.uint8), "is a TIFF of 5 bands of 8 bits, which Pillow does not read; convert it"),
    ],
)
def test_what_is_no_map_of_numbers_is_refused(tmp_path: Path, values: NDArray[Any], fault: str) -> None:
    path = tmp_path / "a.tif"
    if values.shape[2:] == (2,):
        Image.fromarray(values, "LA").save(path)
    else:
        kind = "rgb" if values.shape[2:] == (3,) else "minisblack"
        tifffile.imwrite(path, values, photometric=kind, planarconfig="contig" if values.ndim > 2 else None)
    with pytest.raises(PhotoError, match=fault):
        read_label_map(path)


@pytest.mark.parametrize("values", [NUMBERS * 1.0, NUMBERS[None], NUMBERS[:0], NUMBERS * 1j])
def test_arrays_that_are_no_maps_are_refused(tmp_path: Path, values: NDArray[Any]) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(PhotoError, match=r"one whole number per pixel, this file holds"):
        read_label_map(tmp_path / "a.npy")


def test_colours_are_numbers_of_their_own(tmp_path: Path) -> None:
    palette = np.array([[128, 64, 0], [0, 0, 0], [3, 3, 3], [255, 255, 255]], np.uint8)
    expected = np.array([colour_number(*map(int, colour)) for colour in palette])[NUMBERS]
    coloured = Image.fromarray(palette[NUMBERS])
    indexed = Image.fromarray(NUMBERS.astype(np.uint8), "P")
    indexed.putpalette(palette.tobytes())
    for name, image in {"rgb": coloured, "rgba": coloured.convert("RGBA"), "palette": indexed}.items():
        image.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_label_map(tmp_path / f"{name}.png", "only"), expected)
    np.testing.assert_array_equal(read_label_map(tmp_path / "rgb.png", "allowed"), expected)
    np.testing.assert_array_equal(read_label_map(tmp_path / "palette.png", "allowed"), NUMBERS)
    transparent = coloured.convert("RGBA")
    transparent.putalpha(254)
    transparent.save(tmp_path / "rgba.png")
    with pytest.raises(PhotoError, match="some pixels are transparent"):
        read_label_map(tmp_path / "rgba.png", "only")


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["a.npy", "a.png", "a.tif", "a.gif"]), st.integers(0, 10**6), st.binary(min_size=1, max_size=30))
def test_a_damaged_file_raises_only_photo_error(tmp_path: Path, name: str, start: int, noise: bytes) -> None:
    path = tmp_path / name
    np.save(path, NUMBERS) if name == "a.npy" else Image.fromarray(NUMBERS.astype(np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    start %= len(content)
    content[start : start + len(noise)] = noise
    path.write_bytes(content)
    try:
        assert read_label_map(path).ndim == 2
    except PhotoError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
