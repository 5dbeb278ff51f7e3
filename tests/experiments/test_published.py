"""Published numbers: every row has its source, and they are read as the paper has them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eval.config import ConfigError
from experiments.published import (
    FOLDER,
    REQUIREMENTS,
    SCOPES,
    published_rows,
    published_score,
    published_scores,
    published_table,
)


def test_every_published_row_names_paper_source_and_scope() -> None:
    files = [pd.read_csv(path) for path in FOLDER.glob("*.csv")]
    rows = pd.concat(files, ignore_index=True)
    assert rows[["method", "dataset", "scope", "paper", "source"]].notna().all(axis=None)
    assert set(rows["scope"]) == set(SCOPES)
    assert rows["miou"].between(0, 100).all()
    assert set(rows["dataset"]) == {"cocostuff27", "cityscapes27", "voc2012", "context60", "coco_object", "ade150"}
    assert not rows.duplicated(["dataset", "method", "resolution", "backbone"]).any()


def test_published_rows_are_those_of_the_data_set() -> None:
    rows = published_rows("cocostuff27").set_index(["method", "backbone", "resolution"])
    assert rows.loc[("DiffSeg", "Stable Diffusion v1.4", "512"), "miou"] == 43.6
    assert rows.loc[("CAUSE-TR", "DINOv2 ViT-B/14", ""), "scope"] == "dataset"
    assert published_rows("photos").empty


def test_scores_without_classes_name_their_source() -> None:
    instances, regions = published_scores("instances"), published_scores("regions")
    for rows in (instances, regions):
        assert rows[["method", "dataset", "paper", "source"]].notna().all(axis=None)
        assert rows.select_dtypes("number").stack().dropna().between(0, 100).all()
        assert not rows.duplicated(["dataset", "method"]).any()
    assert set(instances["convention"]) == {"oclf", "spot", ""}
    spot = instances.set_index(["dataset", "method"]).loc[("voc2012", "SPOT")]
    assert (spot["mbo_c"], spot["mbo_i"], spot["instance_miou"], spot["fg_ari"]) == (55.3, 48.1, 46.5, 19.7)
    golden = regions.set_index("method").loc["gPb-owt-ucm"]
    assert (golden["covering_ods"], golden["voi_ods"], golden["f_ods"]) == (58.8372, 1.68955, 72.6253)


def test_the_score_of_a_method_is_that_of_its_resolution() -> None:
    table = "table1_cocostuff27"
    assert published_score(table, "DiffSeg", 512) == {"acc": 72.5, "miou": 43.6}
    assert published_score(table, "DiffSeg", 320) != published_score(table, "DiffSeg", 512)
    assert published_score(table, "DiffSeg", 448) is None
    assert published_score(table, "My method", 512) is None
    assert published_score(None, "DiffSeg", 512) is None


def test_an_empty_cell_of_the_paper_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.published.FOLDER", tmp_path)
    lines = [",".join(["method", "resolution", *REQUIREMENTS.values(), "acc", "miou"]), "A,512,no,no,no,,28.1"]
    (tmp_path / "table9.csv").write_text("\n".join(lines))
    assert published_score("table9", "A", 512) == {"acc": None, "miou": 28.1}


def test_an_unknown_table_is_named() -> None:
    for read in (published_table, lambda name: published_score(name, "DiffSeg", 512)):
        with pytest.raises(ConfigError, match=r"^published: must be one of table1_.*, table2_.*, got 'others"):
            read("others_cocostuff27")
