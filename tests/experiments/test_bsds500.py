"""BSDS500 end to end: whole pictures, several people, families of rows, the authors' results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diffseg
from datasets.bsds500 import Bsds500
from diffseg.pictures import by_area
from eval.label_maps import read_label_map
from eval.results.scales import SCALE_COLUMNS
from experiments.running import panels
from tests.helpers.bsds import printed
from tests.helpers.runs import Run, command, evaluate

Evaluate = Callable[..., Run]
ID = "100007"
THRESHOLDS = (0.13, 0.24, 0.48)
SCORES = ("covering", "pri", "voi", "voi_over", "voi_under", "boundary_recall", "boundary_precision", "boundary_f")


@pytest.fixture
def run(shared: Path, tmp_path: Path) -> Evaluate:
    (tmp_path / "ids.txt").write_text(ID)
    data = ("dataset=bsds500", f"dataset.root={shared / 'data/bsds500'}", f"dataset.split_file={tmp_path / 'ids.txt'}")

    def call(*overrides: str) -> Run:
        swept = any("," in override for override in overrides)
        return evaluate(tmp_path / "run", *data, *overrides, multirun=swept)

    return call


@pytest.fixture
def ucm(shared: Path) -> tuple[str, ...]:
    thresholds = ",".join(map(str, THRESHOLDS))
    folder = shared / "data/bsds500/BSDS500/ucm2/test"
    return "backbone=none", "segmenter=ucm", f"segmenter.folder={folder}", f"segmenter.threshold={thresholds}"


def test_a_family_has_the_columns_and_scores_of_the_benchmark(
    run: Evaluate,
    ucm: tuple[str, ...],
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captions: list[str] = []
    sheet = panels.contact_sheet
    monkeypatch.setattr(
        panels,
        "contact_sheet",
        lambda lines, width: captions.extend(text for line in lines for text, _ in line) or sheet(lines, width),
    )
    done = run(*ucm, "panels=1")
    assert done.status == 0, done.err
    pictures = done.table("per_image").set_index("protocol")
    assert set(SCORES) < set(pictures.columns)
    assert (pictures["segments"] > 1).all()
    # Each protocol fills its own columns, in percent, VoI in bits.
    regions, boundaries = pictures.loc["regions"], pictures.loc["boundaries"]
    assert regions[["boundary_f", "boundary_recall"]].isna().all(axis=None)
    assert boundaries[["covering", "pri", "voi"]].isna().all(axis=None)
    np.testing.assert_allclose(regions["voi_over"] + regions["voi_under"], regions["voi"], atol=2e-4)
    threshold, covering, _ = printed(shared, "eval_cover_img.txt", ID)
    assert threshold in THRESHOLDS
    assert regions["covering"].max() == pytest.approx(100 * covering, abs=2e-4)
    assert THRESHOLDS[int(regions["covering"].argmax())] == threshold

    text = (done.folder / "scales.csv").read_text()
    (line,) = done.table("scales").to_dict("records")
    assert tuple(line) == SCALE_COLUMNS
    assert (line["family"], line["parameter"], line["images"]) == ("ucm", "segmenter.threshold", 1)
    assert line["covering_ods_at"] == threshold
    assert f",{line['voi_ods']:.6f}," in text
    assert line["covering_ods"] == line["covering_ois"] <= line["covering_best"]
    assert (done.folder / "table.md").read_text().count("| gPb-owt-ucm ") == 1  # the published row
    people = len(Bsds500(root=str(shared / "data/bsds500")).load(ID).people)
    assert captions[:2] == [ID, f"person 1 of {people}"]
    assert not any("mIoU" in caption for caption in captions)

    # Everything follows from the label maps.
    again = command("--rescore", str(done.folder), "protocol=bsds", folder=done.folder)
    assert again.status == 0, again.err
    pd.testing.assert_frame_equal(again.table("per_image").set_index("protocol"), pictures)
    assert (again.folder / "scales.csv").read_text() == text


@pytest.mark.usefixtures("dinov2")
@pytest.mark.parametrize(("segmenter", "settings"), [("diffseg", {"tau": 0.3, "anchors": 4}), ("felzenszwalb", {})])
def test_the_labels_are_those_of_model_segment(
    run: Evaluate, shared: Path, segmenter: str, settings: dict[str, float]
) -> None:
    chosen = [f"segmenter.{name}={value}" for name, value in settings.items()]
    network = ("backbone=dinov2_small", "backbone.size=112", "backbone.sides=[8]")
    done = run(*network, f"segmenter={segmenter}", *chosen, "protocol=regions")
    assert done.status == 0, done.err
    (path,) = done.folder.glob("labels/*/*.png")
    model = diffseg.load("dinov2_small", size=112, sides=[8])
    picture = shared / f"data/bsds500/BSDS500/data/images/test/{ID}.jpg"
    labels = model.segment(picture, segmenter, **settings).labels
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(by_area(read_label_map(path)), labels)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("protocol.frame=whole", "protocol.size=64"), "protocol.size: protocol.frame=whole scores every picture"),
        (("protocol.size=64",), "protocol.size: the whole picture is scored at its own size"),
        (("protocol=both",), "protocol.report: official needs classes, and dataset=bsds500 has none"),
        (("protocol.scale=segmenter.nothing",), "protocol.scale: no row has the setting segmenter.nothing"),
        (("protocol.frame=square",), "segmenter=ucm: segments only whole pictures; use protocol.frame=whole"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    run: Evaluate, ucm: tuple[str, ...], overrides: tuple[str, ...], reason: str
) -> None:
    done = run(*ucm[:-1], *overrides)
    assert done.status == 2
    assert done.err.startswith(f"error: {reason}")
    assert done.err.count("\n") == 1
    assert not done.folder.exists()
