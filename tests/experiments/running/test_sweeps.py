"""``-m`` adds rows: every point of a sweep stands in one folder, one file of records and one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.runs import read_run
from tests.helpers.coco_folder import write_folder
from tests.helpers.folder_rows import folder_overrides
from tests.helpers.runs import Run, command, evaluate, without_timings

COLOURS = ("backbone=none", "backbone.size=32", "segmenter=kmeans_rgbxy", "segmenter.clusters=3", "dataset.limit=2")
Sweep = Callable[..., Run]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    def call(*overrides: str, folder: str = "sweep", multirun: bool = True) -> Run:
        return evaluate(tmp_path / folder, *overrides, multirun=multirun)

    return call


def lines_of(run: Run, *columns: str) -> list[tuple[object, ...]]:
    assert run.status == 0, run.err
    return [tuple(line) for line in run.table()[[*columns]].to_numpy()]


def test_24_points_are_one_folder_with_a_line_for_each_row_and_protocol(sweep: Sweep) -> None:
    points = ("segmenter.clusters=2,3,4", "segmenter.position=0,0.5", "segmenter.seed=range(4)")
    run = sweep(*COLOURS, *points, "panels=1")
    lines = lines_of(run, "clusters", "position", "seed", "protocol")
    expected = [(k, p, s, x) for k in (2, 3, 4) for p in (0, 0.5) for s in range(4) for x in ("official", "present")]
    assert lines == expected
    assert [path.name for path in run.folder.rglob("*.csv") if path.name == "summary.csv"] == ["summary.csv"]
    assert [path.name for path in run.folder.rglob("records*")] == ["records.jsonl"]
    assert len(run.images()) == len(list((run.folder / "labels").rglob("*.png"))) == 48
    assert sorted(path.name for path in (run.folder / "panels").iterdir()) == ["astronaut.png", "overview.png"]
    # A point of the sweep has the scores of a run of its own.
    alone = sweep(*COLOURS, "segmenter.position=0.5", "segmenter.seed=2", folder="alone", multirun=False)
    scores = ["acc", "miou", "ari", "voi", "covering"]
    point = run.table().query("clusters == 3 and position == 0.5 and seed == 2")[scores]
    np.testing.assert_array_equal(point, alone.table()[scores])


def test_points_that_give_the_same_row_stand_once(sweep: Sweep) -> None:
    """SLIC has no position, and the experiment's other row no clusters that the user could sweep."""
    free = ("backbone=none", "backbone.size=32", "dataset.limit=1", "protocol=present")
    run = sweep(*free, "segmenter=kmeans_rgbxy,slic", "segmenter.position=0,0.5")
    assert lines_of(run, "row", "position") == [
        ("kmeans_rgbxy", 0),
        ("kmeans_rgbxy", 0.5),
        ("slic", pytest.approx(np.nan, nan_ok=True)),
    ]
    rows = "rows=[{name: A, overrides: ['segmenter=kmeans_rgbxy']}, {name: B, overrides: ['segmenter=slic']}]"
    run = sweep(*free, rows, "segmenter.position=0,0.5", folder="rows")
    assert sorted(run.table()["row"]) == ["A", "A", "B"]
    wrong = sweep(*free, "segmenter=kmeans_rgbxy,slic", "segmenter.positon=0,0.5", folder="wrong")
    assert (wrong.status, wrong.err) == (2, "error: segmenter.positon: no point of the sweep has this key\n")


def test_rows_may_differ_in_data_set_size_and_protocol(sweep: Sweep, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "coco")
    settings = ("dataset=photos,cocostuff27", f"dataset.root={root}", "backbone.size=32,48")
    run = sweep(*COLOURS, *settings, "panels=1")
    lines = lines_of(run, "dataset", "size", "protocol", "images")
    datasets = ("photos", "cocostuff27")
    assert lines == [
        (name, size, protocol, 2) for name in datasets for size in (32, 48) for protocol in ("official", "present")
    ]
    panels = {str(path.relative_to(run.folder / "panels")) for path in (run.folder / "panels").rglob("*.png")}
    assert {path.split("/")[0] for path in panels} == {*datasets}
    alone = sweep(*COLOURS, "dataset=cocostuff27", settings[1], folder="alone", multirun=False)
    scores = ["acc", "miou", "ari", "voi", "covering"]
    line = run.table().query("dataset == 'cocostuff27' and size == 32")[scores]
    np.testing.assert_array_equal(line, alone.table()[scores])
    both = sweep(*COLOURS, "protocol=official,present", folder="protocols")
    assert lines_of(both, "protocol") == [("official",), ("present",)]
    assert len(both.images()) == 2  # a row is evaluated once for all its protocols


def test_experiments_are_swept_like_any_group(sweep: Sweep, tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    for name, segmenters in (("a", ("slic", "kmeans_rgbxy")), ("b", ("slic", "felzenszwalb"))):
        rows = "\n".join(f"  - {{name: {part}, overrides: [segmenter={part}]}}" for part in segmenters)
        (folder / f"{name}.yaml").write_text(f"# @package _global_\nname: {name}\nrows:\n{rows}\n")
    free = ("backbone=none", "backbone.size=32", "dataset.limit=1", "protocol=present")
    run = sweep(f"--config-dir={tmp_path / 'conf'}", *free, "experiment=a,b")
    assert lines_of(run, "row") == [("slic",), ("kmeans_rgbxy",), ("felzenszwalb",)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("results_dir=here,there", "results_dir: all rows of a run share this key; give it one value"),
        ("tracker=none,wandb", "tracker: all rows of a run share this key; give it one value"),
        ("device=cpu,auto", "device: all rows of a run share this key; give it one value"),
        ("workers=1,2", "workers: all rows of a run share this key; give it one value"),
        ("segmenter.clusters=4,2,0", "segmenter.clusters: must be at least 1, got 0"),
        ("backbone.size=32,0", "point backbone.size=0: backbone.size: must be at least 1, got 0"),
        ("segmenter.seed=0,1,0", "segmenter.seed=0,1,0: the value 0 occurs twice; give each value once"),
        ("segmenter.position=interval(0,1)", "an interval needs a sweeper that draws from it"),
    ],
)
def test_a_sweep_that_cannot_be_is_one_line_before_any_point_runs(sweep: Sweep, override: str, message: str) -> None:
    run = sweep(*COLOURS, override)
    assert run.status == 2
    assert message in run.err
    assert run.err.count("\n") == 1
    assert not run.folder.exists()


def test_a_failed_picture_counts_in_every_row(sweep: Sweep, tmp_path: Path) -> None:
    rows = (*folder_overrides(tmp_path, "ab"), "segmenter=kmeans_rgbxy", "segmenter.clusters=2,3")
    Image.new("L", (3, 3)).save(tmp_path / "maps" / "b.png")
    run = sweep(*rows)
    assert run.status == 1
    assert "2 evaluations failed; " in run.err
    assert run.table()[["images", "failed"]].to_numpy().tolist() == [[1, 1]] * 4
    assert sweep(*rows, "allow_failures=true").status == 0


def test_the_basic_launcher_runs_the_points_one_by_one_into_the_same_folder(sweep: Sweep, tmp_path: Path) -> None:
    points = ("segmenter.clusters=2,3", "segmenter.position=0,0.5")
    together = sweep(*COLOURS[:3], *COLOURS[4:], *points)
    apart = sweep(*COLOURS[:3], *COLOURS[4:], *points, "hydra/launcher=basic", folder="apart")
    assert apart.status == 0, apart.err
    assert len(read_run(apart.folder).commands) == 4
    repeated = command("--rerun", str(apart.folder), "results_dir=" + str(tmp_path / "repeated"))
    assert repeated.status == 0, repeated.err
    assert len(read_run(tmp_path / "repeated").commands) == 1
    files = [without_timings(run.folder) for run in (together, apart)]
    assert files[0].keys() == files[1].keys()
    for name in files[0]:
        if name.startswith("labels/"):
            assert files[0][name] == files[1][name]
    keys = ["clusters", "position", "protocol"]
    tables = [run.table().drop(columns=["number", "seconds_per_image"]).sort_values(keys) for run in (together, apart)]
    np.testing.assert_array_equal(*(table.fillna("").to_numpy() for table in tables))


def test_the_basic_launcher_takes_a_key_that_only_some_points_have(sweep: Sweep) -> None:
    points = ("segmenter=slic,kmeans_rgbxy", "segmenter.compactness=5", "protocol=present")
    run = sweep(*COLOURS[:2], "dataset.limit=1", *points, "hydra/launcher=basic")
    assert run.status == 0, run.err
    assert run.table().set_index("row")["compactness"].dropna().to_dict() == {"slic": 5}
