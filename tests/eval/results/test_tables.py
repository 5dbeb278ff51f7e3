"""Tables from made-up records whose scores can be worked out on paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.matching import match_contingency
from eval.metrics import acc_and_miou, interval, resample, totals
from eval.records import SparseTable
from eval.results.markdown import markdown
from eval.results.tables import per_class, summary, write_tables
from eval.row import Row
from tests.helpers import made_records
from tests.helpers.worked_results import CLASSES, COLUMNS, DBSCAN, DIFFSEG, FAILED, ROWS, ok


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder, ROWS)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("confusion.csv", "per_class.csv", "per_image.csv", "summary.csv", "table.md")
    ]
    return {path.stem: pd.read_csv(path, dtype=str, keep_default_na=False) for path in folder.glob("*.csv")}


def test_summary_has_the_columns_and_values(written: dict[str, pd.DataFrame]) -> None:
    table = written["summary"]
    assert list(table.columns) == COLUMNS
    assert list(zip(table["row"], table["protocol"], strict=True)) == [
        *(("DiffSeg", "official"), ("DiffSeg", "present"), ("DBSCAN", "official"), ("DBSCAN", "present"))
    ]
    row = table.iloc[1]
    expected = {
        **{"experiment": "table1", "dataset": "cocostuff27", "label_source": "stuffthingmaps"},
        **{"backbone": "dinov2_small", "size": "448", "sides": "[32,16,8]", "layers": "[8,9]", "timestep": ""},
        **{"scheme": "official", "weights": "[1,0.5,0]", "segmenter": "diffseg", "tau": "0.3", "anchors": "16"},
        **{"clusters": "", "eps": "", "images": "2", "failed": "1", "segments": "2.0000"},
        # TP 3 + 2 + 1 of 4 + 4 labelled pixels.
        "acc": "75.0000",
        # sky 3 / 4, grass 2 / (2 + 1), road 1 / 2
        "miou": f"{100 * (3 / 4 + 2 / 3 + 1 / 2) / 3:.4f}",
        # A resample holds one image twice, or both: ACC 75 each time; mIoU is 75 with image a alone, 58.3 with c.
        **{"acc_low": "75.0000", "acc_high": "75.0000", "miou_low": "58.3333", "miou_high": "75.0000"},
        # Only the official rows carry published numbers.
        **{"published_acc": "", "published_miou": "", "seconds_per_image": "1.2500"},
    }
    assert {name: row[name] for name in expected} == expected
    assert (table.iloc[0]["published_acc"], table.iloc[0]["published_miou"]) == ("72.5000", "")


def test_a_row_without_images_has_empty_scores(written: dict[str, pd.DataFrame]) -> None:
    row = written["summary"].iloc[2]
    assert (row["images"], row["failed"], row["eps"]) == ("0", "0", "1e-05")
    empty = ["experiment", "backbone", "scheme", "tau", "segments", "seconds_per_image"]
    assert set(row[[*empty, *COLUMNS[COLUMNS.index("acc") : COLUMNS.index("published_miou") + 1]]]) == {""}


def test_the_intervals_are_those_of_the_bootstrap() -> None:
    counts = [match_contingency(table.numbered()) for table in DIFFSEG.tables()]
    (sums,) = resample([np.array([(count.tp, count.fp, count.fn) for count in counts])])
    acc, miou = map(interval, acc_and_miou(sums))
    row = summary([DIFFSEG]).iloc[0]
    assert (row.acc_low, row.acc_high) == tuple(100 * end for end in acc)
    assert (row.miou_low, row.miou_high) == tuple(100 * end for end in miou)


def test_rows_with_the_same_number_of_images_share_the_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = [f"class {number}" for number in range(made_records.CLASSES)]

    def rows() -> list[Row]:
        made = [made_records.records(seed, images) for seed, images in enumerate((6, 4, 6))]
        return [replace(DIFFSEG, records=records, classes=classes) for records in made]

    alone = pd.concat([summary([row]) for row in rows()], ignore_index=True)
    draws = []
    monkeypatch.setattr("eval.results.tables.totals", lambda columns: draws.append(len(columns)) or totals(columns))
    together = summary(rows())
    assert draws == [6, 3]  # official, present, and the scores without classes of each row
    pd.testing.assert_frame_equal(together.drop(columns="number"), alone.drop(columns="number"), check_exact=True)


def test_per_class_holds_the_counts(written: dict[str, pd.DataFrame]) -> None:
    table = written["per_class"]
    assert list(table.columns) == [
        *("number", "row", "protocol", "class_id", "class", "iou", "iou_low", "iou_high", "tp", "fp", "fn", "images")
    ]
    assert len(table) == 2 * 2 * len(CLASSES)
    present = table[(table["row"] == "DiffSeg") & (table["protocol"] == "present")]
    assert (present["iou_low"] == present["iou"]).all()  # each class is in one image only
    assert (present["iou_high"] == present["iou"]).all()
    present = present.drop(columns=["number", "row", "iou_low", "iou_high"])
    assert present.to_numpy().tolist() == [
        ["present", "0", "sky", "75.0000", "3", "0", "1", "1"],
        ["present", "1", "grass", "66.6667", "2", "1", "0", "1"],
        ["present", "2", "road", "50.0000", "1", "0", "1", "1"],
    ]
    assert table.iloc[-1].tolist() == ["1", "DBSCAN", "present", "2", "road", "", "", "", "0", "0", "0", "0"]


def test_a_class_present_but_not_matched_counts_as_present() -> None:
    row = replace(DIFFSEG, records=[ok("a", [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], seconds=1.0)], protocols=["present"])
    table = per_class([row], ["DiffSeg"])
    assert table["tp"].tolist() == [3, 0, 0]
    assert table["images"].tolist() == [1, 1, 0]


def test_per_image_holds_failures_too(written: dict[str, pd.DataFrame]) -> None:
    table = written["per_image"]
    assert table.columns.tolist() == [
        *("number", "row", "protocol", "image", "status", "reason", "segments", "labelled", "acc", "miou"),
        *("ari", "voi", "covering", "seconds", "tp", "fp", "fn"),
    ]
    assert len(table) == 2 * 3
    assert table[table["protocol"] == "present"].to_numpy().tolist() == [
        [
            *("0", "DiffSeg", "present", "a", "ok", "", "2", "4", "75.0000", "75.0000"),
            *("0.0000", "0.8113", "75.0000", "0.7500"),  # one class, cut 3 : 1
            "[3,0,0]",
            "[0,0,0]",
            "[1,0,0]",
        ],
        [*("0", "DiffSeg", "present", "b", "failed", "no proposal, at all"), *[""] * 11],
        [
            *("0", "DiffSeg", "present", "c", "ok", "", "2", "4", "75.0000", "58.3333"),
            *("0.0000", "1.1887", "58.3333", "1.7500"),  # 3 - 1 - 0.8113 bits; 2/3 and 1/2 covered
            "[0,2,1]",
            "[0,1,0]",
            "[0,0,1]",
        ],
    ]


def test_the_confusion_matrix_names_both_classes(written: dict[str, pd.DataFrame]) -> None:
    table = written["confusion"]
    assert table[table["protocol"] == "present"].to_numpy().tolist() == [
        ["0", "DiffSeg", "present", "0", "sky", "0", "sky", "3"],
        ["0", "DiffSeg", "present", "0", "sky", "", "", "1"],
        ["0", "DiffSeg", "present", "1", "grass", "1", "grass", "2"],
        ["0", "DiffSeg", "present", "2", "road", "1", "grass", "1"],
        ["0", "DiffSeg", "present", "2", "road", "2", "road", "1"],
    ]


def test_the_same_records_give_the_same_bytes_but_for_timings(tmp_path: Path) -> None:
    times = {"attention": 9.0, "segment": 9.0}
    slower = replace(DIFFSEG, records=[replace(each, seconds=times) if each.ok else each for each in DIFFSEG.records])
    folders = [tmp_path / name for name in ("first", "again", "slower")]
    for folder, row in zip(folders, (DIFFSEG, DIFFSEG, slower), strict=True):
        folder.mkdir()
        write_tables(folder, [row, DBSCAN])
    for file, timing in {"summary": "seconds_per_image", "per_image": "seconds", "per_class": None}.items():
        first, again, changed = (folder / f"{file}.csv" for folder in folders)
        assert first.read_bytes() == again.read_bytes()
        left, right = (pd.read_csv(path, dtype=str) for path in (first, changed))
        if timing:
            assert not left[timing].equals(right[timing])
            left, right = left.drop(columns=timing), right.drop(columns=timing)
        pd.testing.assert_frame_equal(left, right)


def test_the_text_has_one_table_of_scores_and_one_without_classes(tmp_path: Path) -> None:
    text = write_tables(tmp_path, [replace(row, protocols=["present"]) for row in ROWS])
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == text
    assert text == (
        "Protocol `present`: only the classes present in an image are matched\n\n"
        "| method  |      ACC % [95 %] |     mIoU % [95 %] | classes | segments | s / image |               images |\n"
        "| ------- | ----------------: | ----------------: | ------: | -------: | --------: | -------------------: |\n"
        "| DiffSeg | 75.0 [75.0, 75.0] | 63.9 [58.3, 75.0] |       3 |      2.0 |      1.25 | 2 of 2,175, 1 failed |\n"
        "| DBSCAN  |                 - |                 - |       - |        - |         - |           0 of 2,175 |\n"
        "\nWithout classes, mean over the images: adjusted Rand index, variation of information (0 is best), "
        "covering of the truth by the segments\n\n"
        "| method  |   ARI % [95 %] |   VoI bits [95 %] | mean covering % [95 %] |\n"
        "| ------- | -------------: | ----------------: | ---------------------: |\n"
        "| DiffSeg | 0.0 [0.0, 0.0] | 1.00 [0.81, 1.19] |      66.7 [58.3, 75.0] |\n"
        "| DBSCAN  |              - |                 - |                      - |\n"
        "\nIntervals over 2 images: coarse.\n"
        "\nThe rows were evaluated on different images; compare rows with care.\n"
    )


def test_one_image_has_no_interval() -> None:
    row = replace(DIFFSEG, records=DIFFSEG.records[:1])
    assert summary([row])[["acc_low", "acc_high", "miou_low", "miou_high"]].isna().all(axis=None)
    assert per_class([row], ["a"])[["iou_low", "iou_high"]].isna().all(axis=None)
    assert "| 75.0 |" in " ".join(markdown(summary([row]), [row], ["a"]).split())


def test_every_setting_of_a_segmenter_has_a_column() -> None:
    """No list names these settings."""
    settings = {"kind": "Cut", "name": "cut", "tau": 0.5, "alpha": 10.0, "size": 32, "miou": None, "way": "soft"}
    cut = Row("c", "Cut", {"backbone": {"size": 448}, "segmenter": settings}, CLASSES, ["official", "present"])
    table = summary([DIFFSEG, cut, DBSCAN])
    assert list(table.columns) == [*COLUMNS, "alpha", "segmenter.size", "segmenter.miou", "way"]
    further = table.query("protocol == 'present'")[["tau", "alpha", "size", "segmenter.size", "segmenter.miou", "way"]]
    assert further.to_numpy().tolist() == [
        ["0.3", "", "448", "", "", ""],
        ["0.5", "10", "448", "32", "", "soft"],
        ["", "", "", "", "", ""],
    ]


def test_protocols_without_classes_have_columns_in_the_summary_and_by_image(tmp_path: Path) -> None:
    made = {"person 1": SparseTable.of(np.array([[3, 1], [0, 4]])).to_json()}
    regions, boundaries = DIFFSEG.records[0], {"boundaries": (3, 4, 1, 2)}
    record = replace(regions, stored_tables={**regions.stored_tables, **made}, counts=boundaries)
    row = replace(
        DIFFSEG, records=[record, FAILED, replace(record, picture="c")], protocols=["present", "regions", "boundaries"]
    )
    write_tables(tmp_path, [row])
    summary_, by_image, scales = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("summary", "per_image", "scales"))
    assert list(summary_.columns) == [
        *COLUMNS,
        *(f"{name}{end}" for name in ("pri", "voi_over", "voi_under") for end in ("", "_low", "_high")),
        *(f"boundary_{name}{end}" for name in ("recall", "precision", "f") for end in ("", "_low", "_high")),
    ]
    summary_ = summary_.set_index("protocol")
    assert summary_.loc["regions", "covering"] == pytest.approx(77.5)
    assert summary_.loc["boundaries", ["boundary_recall", "boundary_precision", "boundary_f"]].tolist() == [75, 50, 60]
    assert summary_.loc[["regions", "boundaries"], ["acc", "miou", "classes"]].isna().all(axis=None)
    of_pictures = by_image[by_image["protocol"] == "boundaries"]
    assert of_pictures["status"].tolist() == ["ok", "failed", "ok"]
    assert of_pictures["boundary_recall"].fillna(-1).tolist() == [75, -1, 75]
    assert scales[["images", "covering_ods", "f_ods"]].to_numpy().tolist() == [[2, 77.5, 60]]
