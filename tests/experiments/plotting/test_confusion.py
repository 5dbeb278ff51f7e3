"""The plot of a confusion matrix shows the numbers of ``confusion.csv``, as shares of the true class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from eval.results.reading import Results, read_confusion
from experiments.plotting.confusion import NO_CLASS, confusion, shares_of

from eval.results.columns import CONFUSION

LINES = [
    (0, "DiffSeg", "present", 0, "sky", 0, "sky", 30),
    (0, "DiffSeg", "present", 0, "sky", 2, "boat", 10),
    (0, "DiffSeg", "present", 2, "boat", "", "", 5),
    (0, "DiffSeg", "present", 2, "boat", 0, "sky", 15),
    (0, "DiffSeg", "official", 0, "sky", 1, "NA", 40),
    (1, "other", "present", 0, "sky", 0, "sky", 99),
]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    pd.DataFrame(LINES, columns=CONFUSION).to_csv(tmp_path / "confusion.csv", index=False)
    row = {"job": "", "number": 0, "setting": "tau=0.3", "name": "DiffSeg", "row": "DiffSeg", "dataset": "photos"}
    summary = [{**row, "protocol": protocol, "backbone": "b", "images": 2} for protocol in ("official", "present")]
    nothing = pd.DataFrame()
    return Results(pd.DataFrame(summary), nothing, nothing, nothing, {"": tmp_path}, ())


def test_shares_of_the_true_class_are_in_percent(results: Results) -> None:
    lines = read_confusion(results, "tau=0.3")
    table = shares_of(lines, "present")
    expected = pd.DataFrame([[75.0, 25.0, 0.0], [75.0, 0.0, 25.0]], ["sky", "boat"], ["sky", "boat", NO_CLASS])
    pd.testing.assert_frame_equal(table, expected)
    assert list(shares_of(lines, "official").columns) == ["NA"]  # the name of a class, not a gap


def test_each_protocol_has_a_panel(results: Results) -> None:
    figure = confusion(results, "tau=0.3", "the best setting")
    assert figure is not None
    official, present = figure.axes[:2]
    assert (official.get_title(), present.get_title()) == ("protocol official", "protocol present")
    np.testing.assert_allclose(present.images[0].get_array(), [[75, 25, 0], [75, 0, 25]])
    assert [label.get_text() for label in present.get_yticklabels()] == ["sky", "boat"]
    assert "tau=0.3; the best setting" in figure.get_suptitle().replace("\n", " ")


def test_older_results_have_no_confusion_matrix(results: Results) -> None:
    (results.folders[""] / "confusion.csv").unlink()
    assert confusion(results, "tau=0.3") is None
