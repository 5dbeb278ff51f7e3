"""wandb runs of whole evaluations: two rows, resumed, and a second command into the folder."""

from __future__ import annotations

from pathlib import Path

from eval.runs import read_run
from tests.helpers.folder_rows import folder_overrides
from tests.helpers.runs import evaluate
from tests.helpers.wandb_runs import recorded


def test_a_grown_folder_continues_the_wandb_runs_of_its_rows(folder: Path, tmp_path: Path) -> None:
    data = folder_overrides(tmp_path / "data", "abc")

    def run(clusters: str, limit: int) -> None:
        rows = ("segmenter=kmeans_rgbxy", f"segmenter.clusters={clusters}", f"dataset.limit={limit}")
        done = evaluate(folder, *data, *rows, "tracker=wandb", "tracker.mode=offline", multirun=True)
        assert done.status == 0, done.err

    run("1,2", 2)
    run("2,3", 3)
    files = [file for _, file in recorded(folder)]
    clusters = [file.config["segmenter"]["clusters"] for file in files]
    assert sorted(clusters) == [1, 2, 2, 3]
    ids = {
        number: {file.run.run_id for file, own in zip(files, clusters, strict=True) if own == number}
        for number in clusters
    }
    assert [len(own) for own in ids.values()] == [1, 1, 1]
    assert len(set.union(*ids.values())) == 3
    last = next(file for file, own in zip(reversed(files), reversed(clusters), strict=True) if own == 2)
    assert [line["image/id"] for line in last.history if "image/id" in line] == ["a", "b", "c"]
    run_read = read_run(folder)
    table = run_read.table()
    number = next(place for place, row in enumerate(run_read.rows) if row.settings["segmenter"]["clusters"] == 2)
    line = table[(table["number"] == number) & (table["protocol"] == "present")].iloc[0]
    assert last.summary["final/present/miou"] == line["miou"]  # not rounded
    assert last.summary["final/present/miou_low"] == line["miou_low"]
