"""Reading pictures, label maps and lists. The error for a broken file is one line that names the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.base import VOID, DatasetError
from datasets.reading import join_picture, read_ids, read_image, read_label
from diffseg.photos import read_photo
from tests.helpers.tiff import tiff_of

PIXELS = np.random.default_rng(0).integers(0, 200, (40, 60, 3), dtype=np.uint8)


def encoded(array: np.ndarray, format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format)
    return buffer.getvalue()


FILES = {"picture.jpg": encoded(PIXELS, "JPEG"), "label.png": encoded(PIXELS[..., 0], "PNG")}


def assert_one_line_about(error: pytest.ExceptionInfo[DatasetError], path: Path) -> None:
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert "; " in message, "the message must say what to do"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_file_cut_short_is_one_line(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name][: int(share * len(FILES[name]))])
    with pytest.raises(DatasetError) as error:
        read_image(path) if name.endswith("jpg") else read_label(path)
    assert_one_line_about(error, path)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(FILES)), st.integers(0, 10**6), st.binary(min_size=1, max_size=30))
def test_damaged_bytes_raise_only_dataset_error(tmp_path: Path, name: str, start: int, noise: bytes) -> None:
    content = bytearray(FILES[name])
    start %= len(content)
    content[start : start + len(noise)] = noise
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_image, read_label):
        message = ""
        try:
            read(path)
        except DatasetError as error:
            message = str(error)
        assert not message or (str(path) in message and "\n" not in message)


def test_damage_between_the_chunks_of_a_png_is_one_line(tmp_path: Path) -> None:
    """Pillow raises SyntaxError for this damage."""
    content = encoded(np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8), "PNG")
    second = content.index(b"IDAT", content.index(b"IDAT") + 1)
    path = tmp_path / "label.png"
    path.write_bytes(content[:second] + b"\0\0\0\0" + content[second + 4 :])
    with pytest.raises(DatasetError) as error:
        read_label(path)
    assert isinstance(error.value.__cause__, SyntaxError)
    assert_one_line_about(error, path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    for read in (read_image, read_label, read_ids):
        with pytest.raises(DatasetError) as error:
            read(tmp_path / "absent.png")
        assert_one_line_about(error, tmp_path / "absent.png")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "RGBA", "RGB"])
def test_pictures_of_every_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    Image.fromarray(PIXELS).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == PIXELS.shape
    assert image.dtype == np.uint8
    assert image.flags.writeable


def grey(dtype: str, top: float) -> Image.Image:
    return Image.fromarray((np.linspace(0, 1, 60 * 40).reshape(40, 60) * top).astype(dtype))


KINDS = {
    "16 bits.png": grey("uint16", 65535),
    "12 bits.png": grey("uint16", 4095),
    "16 bits.tif": grey("uint16", 65535),
    "32 bits.tif": grey("int32", 100_000),
    "negative.tif": grey("int32", -5),
    "floats.tif": grey("float32", 1.0),
    "bright floats.tif": grey("float32", 300.0),
    "not finite.tif": Image.fromarray(np.array([[0.5, np.nan, np.inf, -np.inf]], np.float32)),
    "transparent.png": Image.merge("RGBA", [*Image.fromarray(PIXELS).split(), Image.fromarray(PIXELS[..., 0])]),
    "grey and alpha.png": Image.fromarray(PIXELS).convert("LA"),
    "palette.png": Image.fromarray(PIXELS).convert("P"),
    "cmyk.tif": Image.fromarray(PIXELS).convert("CMYK"),
    "one bit.png": Image.fromarray(PIXELS).convert("1"),
}


@pytest.mark.parametrize("name", KINDS)
def test_pictures_are_decoded_as_on_the_command_line(tmp_path: Path, name: str) -> None:
    KINDS[name].save(tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name), read_photo(tmp_path / name))


def test_white_of_a_grey_tiff_of_12_bits_is_4095(tmp_path: Path) -> None:
    levels = np.linspace(0, 4095, 32).round().astype(np.int64).reshape(4, 8, 1)
    (tmp_path / "grey.tif").write_bytes(tiff_of(levels, 12))
    expected = (levels / 4095 * 255).round().repeat(3, axis=2)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.tif"), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.tif", upright=True), expected)


def test_deep_pictures_are_scaled_not_clipped(tmp_path: Path) -> None:
    """A picture of 8 bits that is saved with 16 bits is read unchanged."""
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name)[..., 1], PIXELS[..., 0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_left_as_stored_unless_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(PIXELS).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), PIXELS)
    np.testing.assert_array_equal(read_image(path, upright=True), read_photo(path))
    assert (orientation == 1) == (read_image(path, upright=True).tobytes() == PIXELS.tobytes())


def test_palette_labels_are_read_as_indices(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS[..., 0])
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(tmp_path / "palette.png")
    assert Image.open(tmp_path / "palette.png").mode == "P"
    np.testing.assert_array_equal(read_label(tmp_path / "palette.png"), PIXELS[..., 0])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1", "I;16"])
def test_labels_of_other_modes_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "label.png"
    Image.fromarray(PIXELS[..., 0]).convert(mode).save(path)
    with pytest.raises(DatasetError, match="one 8-bit channel") as error:
        read_label(path)
    assert_one_line_about(error, path)


def test_lists_of_ids_are_read_and_empty_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"000000000724\r\n\n  000000000139 \n000000000724\n")
    assert read_ids(path) == {"000000000139", "000000000724"}
    path.write_bytes(b"\xef\xbb\xbf000000017914\r\nmy photo\t\r\n")
    assert read_ids(path) == {"000000017914", "my photo"}
    for content in (b"", b" \n\n", b"\xff\xfe1\x00"):
        path.write_bytes(content)
        with pytest.raises(DatasetError) as error:
            read_ids(path)
        assert_one_line_about(error, path)


def test_a_picture_of_two_sizes_or_without_a_class_is_refused() -> None:
    label = np.zeros(PIXELS.shape[:2], np.int16)
    image_path, label_path = Path("a.jpg"), Path("a.png")
    with pytest.raises(DatasetError, match=r"a\.jpg is 60 x 40 .* a\.png are 40 x 60"):
        join_picture("a", PIXELS, label.T, image_path, label_path)
    with pytest.raises(DatasetError, match=r"a\.png: no pixel"):
        join_picture("a", PIXELS, np.full_like(label, VOID), image_path, label_path)
    picture = join_picture("a", PIXELS, label, image_path, label_path)
    assert (picture.id, picture.label is label, picture.image is PIXELS) == ("a", True, True)
