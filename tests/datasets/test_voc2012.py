"""PASCAL VOC 2012: the records of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.voc2012 import Voc2012
from eval.matching import match
from eval.protocols import PROTOCOLS
from eval.runs import read_run
from tests.helpers.paired_folder import image_of, label_of, write_label, write_list, write_pair
from tests.helpers.runs import SMALL, evaluate
from tests.helpers.squares import square_label

IDS = ("2007_000033", "2007_000042")
SIDE = 112  # pixels, as in SMALL


@pytest.mark.usefixtures("dinov2")
def test_records_of_a_run_hold_the_counts_with_a_background(tmp_path: Path) -> None:
    """The class of the background is part of the settings of a row."""
    root = tmp_path / "voc"
    for seed, id in enumerate(IDS):
        write_pair(root, Voc2012, id, seed, (SIDE, SIDE))
        values, pixels = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)
        values[:, SIDE // 2 :], pixels[:, SIDE // 2 :] = 12, (200, 120, 40)
        values[:, SIDE // 2 - 2 : SIDE // 2 + 2] = 255
        pixels[: SIDE // 2, : SIDE // 2] = (0, 90, 250)
        write_label(label_of(root, Voc2012, id), values, palette=True)
        Image.fromarray(pixels).save(image_of(root, Voc2012, id))
    write_list(root, Voc2012, IDS)
    options = ("dataset=voc2012", f"dataset.root={root}", "segmenter=kmeans_c", "segmenter.clusters=5")
    run = evaluate(tmp_path / "run", *options, *SMALL[:2], "panels=2")
    assert run.status == 0, run.err
    read = read_run(run.folder)
    (row,) = read.rows
    assert row.background == 0
    dataset = Voc2012(root=str(root))
    for protocol in PROTOCOLS:
        for record, counts in zip(row.evaluated, row.counts(protocol), strict=True):
            labels, truth = (
                read.label_map(row, record.picture),
                square_label(dataset.load(record.picture), SIDE).numpy(),
            )
            assert labels is not None
            assert counts == match(labels, truth, 21, protocol, background=0) != match(labels, truth, 21, protocol)
    assert list(run.table()["images"]) == [2, 2]
    assert run.table("per_class")["class"].iloc[0] == "background"
