"""Label maps survive their files."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from eval.label_maps import BYTE, SHORT, LabelMapError, read_label_map, write_label_map

EDGES = st.sampled_from([-7, -1, 0, 1, BYTE - 1, BYTE, BYTE + 1, SHORT - 1, SHORT, SHORT + 1, 2**40])


@given(arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=EDGES | st.integers(-1, 70_000)))
@settings(deadline=None)
def test_a_map_is_read_as_it_was_written(labels: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in" / "a.b.png"
        write_label_map(path, labels)
        read = read_label_map(path)
        assert [each.name for each in path.parent.iterdir()] == ["a.b.png"]
    np.testing.assert_array_equal(read, np.maximum(labels, -1))
    assert read.dtype == np.int64


@pytest.mark.parametrize(
    ("numbers", "mode", "renumbered"),
    [
        ([0, 254], "P", False),
        ([-1, 254], "P", False),
        ([0, 255], "I;16", False),
        ([-1, 65534], "I;16", False),
        ([-1, 9, 65535], "P", True),
    ],
)
def test_the_format_is_the_smallest_that_holds_the_numbers(
    tmp_path: Path, numbers: list[int], mode: str, renumbered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        write_label_map(tmp_path / "a.png", np.array([numbers], dtype=np.int32))
    assert ("renumbered" in caplog.text) == renumbered
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
    assert read_label_map(tmp_path / "a.png").tolist() == [numbers]


def test_a_map_that_was_damaged_or_changed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_label_map(path, np.arange(10_000).reshape(100, 100))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(LabelMapError, match=r"a\.png: cannot be decoded \(image file is truncated"):
        read_label_map(path)
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(LabelMapError, match=r"a\.png: holds colours"):
        read_label_map(path)


def test_more_segments_than_a_map_can_hold_are_an_error_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(LabelMapError, match="65535 segments, got 65536"):
        write_label_map(tmp_path / "a.png", np.arange(SHORT + 1).reshape(256, 256))
    write_label_map(tmp_path / "b.png", np.arange(SHORT).reshape(255, 257) * 2)
    assert read_label_map(tmp_path / "b.png").max() == 2 * (SHORT - 1)
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
