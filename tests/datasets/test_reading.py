"""Reading pictures, label maps and lists. The error for a broken file is one line that names the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.base import VOID, DatasetError
from datasets.reading import join_picture, read_ids, read_image, read_label, read_photo

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


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    for read in (read_image, read_label, read_ids):
        with pytest.raises(DatasetError) as error:
            read(tmp_path / "absent.png")
        assert_one_line_about(error, tmp_path / "absent.png")


def test_pictures_and_maps_are_read_as_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), PIXELS)
    photo = read_photo(tmp_path / "turned.png", upright=True)
    np.testing.assert_array_equal(photo.pixels, np.rot90(PIXELS, -1))
    assert (photo.turned, photo.stored) == (True, PIXELS.shape[:2])
    (tmp_path / "label.png").write_bytes(FILES["label.png"])
    np.testing.assert_array_equal(read_label(tmp_path / "label.png"), PIXELS[..., 0])


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
