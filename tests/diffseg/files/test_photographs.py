"""Photographs of every kind become RGB pixels."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from diffseg.files.images import PhotoError
from diffseg.files.photographs import ALMOST_BLACK, BELOW_ZERO, read_photo, to_picture

RNG = np.random.default_rng(0)
needs_avif = pytest.mark.skipif(".avif" not in Image.registered_extensions(), reason="this Pillow has no AVIF")
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)
ALPHA = np.linspace(0, 255, GREY.size).astype(np.uint8).reshape(GREY.shape)


def on_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8] = ALPHA) -> NDArray[np.float64]:
    share = alpha[..., None] / 255
    return share * colour + (1 - share) * 255


def read_back(folder: Path, image: Image.Image, kind: str = "PNG", **options: Any) -> NDArray[np.uint8]:
    """Saves the image in that format and reads it with `read_photo`."""
    image.save(folder / "photo", format=kind, **options)
    read = read_photo(folder / "photo")
    assert read.dtype == np.uint8
    return read


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP", "PPM"])
def test_rgb_is_read_exactly(tmp_path: Path, kind: str) -> None:
    np.testing.assert_array_equal(read_back(tmp_path, Image.fromarray(RGB), kind, lossless=True), RGB)


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        pytest.param(Image.fromarray(GREY), "PNG", GREY_RGB, id="grey"),
        pytest.param(Image.fromarray(GREY > 127), "PNG", np.where(GREY_RGB > 127, 255, 0), id="black and white"),
        pytest.param(Image.fromarray(RGB).quantize(GREY.size), "PNG", RGB, id="palette"),
        pytest.param(Image.fromarray(np.dstack([RGB, ALPHA])), "PNG", on_white(RGB), id="transparent"),
        pytest.param(Image.fromarray(np.dstack([GREY, ALPHA])), "PNG", on_white(GREY_RGB), id="grey, transparent"),
        pytest.param(
            Image.frombytes("CMYK", (7, 5), np.dstack([RGB, GREY]).tobytes()),
            "TIFF",
            (255.0 - RGB) * (255.0 - GREY_RGB) / 255,
            id="CMYK",
        ),
        pytest.param(Image.fromarray(GREY_RGB).convert("YCbCr"), "JPEG", GREY_RGB, id="YCbCr"),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, image: Image.Image, kind: str, expected: NDArray[Any]) -> None:
    read = read_back(tmp_path, image, kind, **({"quality": 100} if kind == "JPEG" else {}))
    # JPEG rounds twice, alpha and CMYK are rounded by Pillow.
    np.testing.assert_allclose(read, expected, atol=2 if kind == "JPEG" else 1)


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_transparent_colour_becomes_white(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(GREY_RGB).quantize(GREY.size) if mode == "P" else Image.fromarray(GREY_RGB).convert(mode)
    chosen = image.getpixel((3, 2))
    expected = np.where(GREY[2, 3] == GREY_RGB, 255, GREY_RGB)
    np.testing.assert_array_equal(read_back(tmp_path, image, transparency=chosen), expected)


@pytest.mark.parametrize(("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("PPM", "<u2")])
def test_16_bits_are_scaled_not_cut(tmp_path: Path, kind: str, order: str) -> None:
    levels = np.linspace(0, 65535, 1000).round().astype(order).reshape(10, 100)
    image = Image.frombytes("I;16B" if order == ">u2" else "I;16", (100, 10), levels.tobytes())
    expected = (levels / 257).round()[..., None].repeat(3, axis=2)
    np.testing.assert_array_equal(read_back(tmp_path, image, kind), expected)


@pytest.mark.parametrize(
    ("dtype", "top", "white"),
    [(np.int32, 65535, 65535), (np.int32, 10**9, 10**9), (np.float32, 1, 1), (np.float32, 9, 9)],
)
def test_32_bits_and_floats_are_scaled(tmp_path: Path, dtype: type, top: float, white: float) -> None:
    levels = np.linspace(-0.1 * top, top, 600).reshape(20, 30).astype(dtype)
    expected = np.rint(levels.clip(min=0) * (255 / white))[..., None].repeat(3, axis=2)
    np.testing.assert_array_equal(read_back(tmp_path, Image.fromarray(levels), "TIFF"), expected)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, RGB),
        (2, RGB[:, ::-1]),
        (3, RGB[::-1, ::-1]),
        (4, RGB[::-1]),
        (5, RGB.swapaxes(0, 1)),
        (6, np.rot90(RGB, -1)),
        (7, np.rot90(RGB, 2).swapaxes(0, 1)),
        (8, np.rot90(RGB, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(tmp_path: Path, kind: str, orientation: int, upright: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_back(tmp_path, Image.fromarray(RGB), kind, exif=exif), upright)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_the_first_frame_is_read(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    read = read_back(tmp_path, frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read, np.broadcast_to((255, 0, 0), (8, 8, 3)), atol=2)


def cut_png(width: int, height: int) -> bytes:
    """A PNG that gives its size and ends where its pixels begin."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\1\0IDAT"


def tiff_of(values: NDArray[np.integer], bits: int) -> bytes:
    """An uncompressed TIFF of ``(h, w, channels)`` values of that many bits, below 16."""
    height, width, channels = values.shape
    pixels = np.packbits(np.unpackbits(values.astype(">u2").view(np.uint8)).reshape(-1, 16)[:, 16 - bits :]).tobytes()
    sizes = struct.pack(f"<{channels}H", *[bits] * channels)
    kind = 2 if channels == 3 else 1  # RGB, or grey with black as 0
    entries = {256: width, 257: height, 258: None, 259: 1, 262: kind, 273: None, 277: channels, 278: height}
    entries[279] = len(pixels)
    start = 8 + 2 + 12 * len(entries) + 4
    content = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, value in entries.items():
        if tag == 258:
            inside = sizes.ljust(4, b"\0") if channels == 1 else struct.pack("<I", start)
            content += struct.pack("<HHI", tag, 3, channels) + inside
        else:
            content += struct.pack("<HHII", tag, 4, 1, start + len(sizes) if value is None else value)
    return content + struct.pack("<I", 0) + sizes + pixels


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, format=kind)
    return file.getvalue()


UNREADABLE: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "No such file"),
    "empty": (b"", "is empty; copy, download or write it again"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1", "run git lfs pull"),
    "page": (b"\n<!DOCTYPE html>", "a web page instead of a picture; download it again"),
    "HEIF": (b"\0\0\0\x18ftypheic", "HEIF picture or a video (heic), which Pillow does not read; convert it to PNG"),
    "text": (b"These are not pixels.\n", "not a picture"),
    "TIFF": (tiff_of(np.full((4, 8, 3), 4095), 12), "TIFF of 3 bands of 12 bits, which Pillow does not read; convert"),
    "attention": (b'\x09\0\0\0\0\0\0\0{"maps.4"', "diffseg.AttentionMaps.load reads attention"),
    "no pixels": (cut_png(0, 4), ""),
    "cut PNG": (cut_png(4, 4), "truncated"),
    "cut JPEG": (encoded("JPEG")[:-500], "truncated"),
    "huge": (
        cut_png(10**5, 10**5),
        "set the environment variable DIFFSEG_MAX_PIXELS=10000000000 if you trust",
    ),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_file_is_one_line(tmp_path: Path, kind: str) -> None:
    content, complaint = UNREADABLE[kind]
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert complaint in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", pytest.param("AVIF", marks=needs_avif), "BMP", "JPEG2000"]
)
def test_damaged_files_raise_only_photo_error(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = tmp_path / "whole"
    Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(whole, format=kind, exif=exif)
    content, broken = whole.read_bytes(), tmp_path / "broken"
    errors: list[str] = []
    for trial in range(40):
        damaged = bytearray(content[: rng.integers(len(content))] if trial % 2 else content)
        for position in rng.integers(max(1, min(len(damaged), 400)), size=4 if damaged else 0):
            damaged[position] = rng.integers(256)
        broken.write_bytes(damaged)
        try:
            assert read_photo(broken).shape[2] == 3
        except PhotoError as error:
            errors.append(str(error))
    assert len(errors) > 10
    assert all(message.startswith(f"{broken}: ") and "\n" not in message for message in errors)


def test_white_of_a_grey_tiff_of_12_bits_is_4095(tmp_path: Path) -> None:
    levels = np.linspace(0, 4095, 32).round().astype(np.int64).reshape(4, 8, 1)
    (tmp_path / "grey.tif").write_bytes(tiff_of(levels, 12))
    expected = (levels / 4095 * 255).round().repeat(3, axis=2)
    np.testing.assert_array_equal(read_photo(tmp_path / "grey.tif"), expected)


def test_the_limit_of_pixels_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (30, 20), 200).save(tmp_path / "large.png")
    for limit in (100, 500):  # Pillow refuses more than twice its limit, and warns of less
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings(action="error"):
            assert read_photo(tmp_path / "large.png").shape == (20, 30, 3)
    monkeypatch.setenv("DIFFSEG_MAX_PIXELS", "599")
    with pytest.raises(PhotoError, match=r"is 30 x 20 pixels, and at most 599 are read; "):
        read_photo(tmp_path / "large.png")
    monkeypatch.setenv("DIFFSEG_MAX_PIXELS", "many")
    with pytest.raises(PhotoError, match=r"^DIFFSEG_MAX_PIXELS: must be a whole number of pixels, .* got many$"):
        read_photo(tmp_path / "large.png")


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("channels", [1, 3])
def test_12_bits_in_16_are_almost_black(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: type, channels: int
) -> None:
    levels = np.linspace(0, 4095, 64).astype(dtype).reshape(8, 8)
    pixels = np.stack([levels] * channels, axis=-1) if channels > 1 else levels
    tifffile.imwrite(tmp_path / "dark.tif", pixels, photometric="rgb" if channels > 1 else "minisblack")
    if channels > 1 and dtype == np.int16:
        with pytest.raises(PhotoError, match="3 bands of 16 bits, signed"):
            read_photo(tmp_path / "dark.tif")
        return
    read_photo(tmp_path / "dark.tif")
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path / 'dark.tif'}: is almost black; scale")
    assert message.endswith("(brightest 15 of 255)") or message.endswith("(brightest 16 of 255)")


@pytest.mark.parametrize(
    ("dtype", "brightest"), [(np.int8, 127), (np.int16, 32767), (np.float32, 1)], ids=["int8", "int16", "float"]
)
def test_values_below_zero_are_black_and_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: type, brightest: int
) -> None:
    values = np.linspace(-brightest, brightest, 7).astype(dtype)
    tifffile.imwrite(tmp_path / "signed.tif", values[None], photometric="minisblack")
    levels = read_photo(tmp_path / "signed.tif")[0, :, 0]
    assert (levels[:4] == 0).all()
    assert (np.diff(levels[3:].astype(int)) > 0).all()
    assert caplog.messages == [f"{tmp_path / 'signed.tif'}: {BELOW_ZERO} (lowest {-brightest})"]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY_RGB),
        (GREY[..., None], GREY_RGB),
        (RGB, RGB),
        (np.dstack([RGB, ALPHA]), on_white(RGB)),
        (GREY / 255, GREY_RGB),
    ],
    ids=["grey", "one channel", "RGB", "RGBA", "fractions"],
)
def test_arrays_and_tensors_are_read_as_pillow_takes_them(array: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(to_picture(array), expected, atol=1)
    tensor = torch.from_numpy(array)
    np.testing.assert_allclose(to_picture(tensor), expected, atol=1)
    if array.ndim == 3:
        np.testing.assert_allclose(to_picture(tensor.permute(2, 0, 1)), expected, atol=1)


@pytest.mark.parametrize(
    ("image", "error", "problem"),
    [
        (np.full((4, 4, 3), 2.0), ValueError, r"floating point must be in \[0, 1\], got 2 to 2"),
        (np.full((4, 4, 3), np.nan), ValueError, "got nan to nan"),
        (np.full((4, 4, 3), -1), ValueError, r"whole numbers must be in \[0, 255\], got -1 to -1"),
        (np.full((4, 4, 3), 256, np.uint16), ValueError, "got 256 to 256"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, r"must be grey \(h, w\), RGB .*got \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"got \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), bool), ValueError, "must be numbers, got bool"),
        (torch.zeros(2, 4, 5), ValueError, r"got \(2, 4, 5\)"),
        (Image.new("RGB", (0, 5)), ValueError, "must have at least one pixel, got 0 x 5"),
        (Image.open(io.BytesIO(encoded("PNG")[:-500])), PhotoError, r"image: cannot be decoded \(.*truncated"),
        (io.BytesIO(encoded("PNG")), TypeError, "must be a path, PIL image, array or tensor, got BytesIO"),
        (None, TypeError, "got NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(image: Any, error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=problem):
        to_picture(image)


def test_a_dark_picture_of_any_kind_is_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    dark = np.ones((4, 4, 3), np.uint8)  # fractions that somebody converted to uint8
    for image in (dark, torch.from_numpy(dark), Image.fromarray(dark)):
        to_picture(image)
    assert caplog.messages == 3 * [f"image: {ALMOST_BLACK} (brightest 1 of 255)"]
