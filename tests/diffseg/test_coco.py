"""COCO files, read by pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from diffseg.coco import SEGMENT, write_coco


def test_pycocotools_reads_pictures_masks_and_names(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    first, second = generator.integers(-1, 4, (9, 13)), generator.integers(0, 3, (5, 4))
    path = tmp_path / "segments.json"
    write_coco(path, [("a/Bär.jpg", first, None), ("b.png", second, {0: "sky", 1: "tree", 2: "sky"})])
    read = COCO(str(path))
    assert [image["file_name"] for image in read.loadImgs(read.getImgIds())] == ["a/Bär.jpg", "b.png"]
    assert [each["name"] for each in read.loadCats(read.getCatIds())] == [SEGMENT, "sky", "tree"]
    for number, labels in ((1, first), (2, second)):
        found = read.loadAnns(read.getAnnIds(imgIds=[number]))
        assert [each["segment"] for each in found] == sorted(set(labels[labels >= 0].tolist()))
        for each in found:
            mask = labels == each["segment"]
            np.testing.assert_array_equal(read.annToMask(each).astype(bool), mask)
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert (each["area"], each["bbox"], each["iscrowd"]) == (mask.sum(), box, 0)
    assert len(read.getAnnIds(catIds=read.getCatIds(catNms=["sky"]))) == 2
    results = read.loadRes([each | {"score": 1.0} for each in json.loads(path.read_text("utf-8"))["annotations"]])
    assert len(results.getAnnIds()) == len(read.getAnnIds())
