"""Rows of the experiments: sweeps, overrides that reach them, and the number of clusters from the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffseg.backbones import MissingWeights
from eval.config import ConfigError
from experiments.running.compose import check
from tests.helpers.coco_folder import write_folder
from tests.helpers.rows import rows_of
from tests.helpers.runs import SMALL, command, evaluate


def test_a_sweep_makes_a_row_for_each_value() -> None:
    rows = [(row.name, row.composed.segmenter.get("seed")) for row in rows_of("experiment=table1")]
    assert rows == [
        *(("K-Means-C", seed) for seed in range(5)),
        *(("K-Means-S", seed) for seed in range(5)),
        *(("DBSCAN", None), ("DinoSeg", None), ("DiffSeg", None), ("DiffSeg", None)),
    ]


def test_two_sweeps_make_a_row_for_each_combination() -> None:
    rows = "rows=[{name: A, overrides: ['segmenter=dbscan', 'segmenter.eps=0.1,0.2', 'segmenter.min_samples=2,3']}]"
    pairs = [(row.composed.segmenter.eps, row.composed.segmenter.min_samples) for row in rows_of(rows)]
    assert pairs == [(0.1, 2), (0.1, 3), (0.2, 2), (0.2, 3)]


def test_a_value_of_the_user_replaces_a_sweep() -> None:
    rows = rows_of("experiment=table1", "segmenter.seed=7")
    seeds = {(row.name, row.composed.segmenter.get("seed")) for row in rows}
    assert {seed for name, seed in seeds if name.startswith("K-Means")} == {7}


@pytest.mark.parametrize("experiment", ["table1", "table2"])
def test_a_value_of_the_user_replaces_that_of_a_row(experiment: str) -> None:
    sizes = {row.name: row.backbone.size for row in rows_of(f"experiment={experiment}", "backbone.size=64")}
    assert {size for name, size in sizes.items() if name != "DinoSeg"} == {64}


def test_rows_of_the_tables_have_the_published_settings() -> None:
    for experiment, sizes, tau in (("table1", [320, 512], 1.1), ("table2", [320, 512], 0.9)):
        rows = [row for row in rows_of(f"experiment={experiment}") if row.name == "DiffSeg"]
        assert [row.backbone.size for row in rows] == sizes
        assert {(row.backbone.timestep, row.segmenter.tau, row.segmenter.anchors) for row in rows} == {(300, tau, 16)}
    notes = {row.name: row.note for row in rows_of("experiment=table1")}
    assert {name for name, note in notes.items() if note} == {"DBSCAN", "DinoSeg"}


def test_a_backbone_path_reaches_only_rows_that_choose_no_backbone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DIFFSEG_DINO_VITS8", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    rows = rows_of("experiment=table1", f"backbone.path={tmp_path}", f"dataset.root={write_folder(tmp_path)}")
    assert {row.backbone.path for row in rows if row.name != "DinoSeg"} == {str(tmp_path)}
    (dino,) = (row for row in rows if row.name == "DinoSeg")
    assert dino.backbone.path == "facebook/dino-vits8"
    with pytest.raises(MissingWeights, match="environment variable DIFFSEG_DINO_VITS8=DIR"):
        check([dino])
    monkeypatch.setenv("DIFFSEG_DINO_VITS8", "elsewhere")
    (dino,) = (row for row in rows_of("experiment=table1") if row.name == "DinoSeg")
    assert dino.backbone.path == "elsewhere"


@pytest.mark.parametrize("plus", ["", "+", "++"])  # Hydra asks for a plus, because no YAML has this key
def test_a_key_of_a_chosen_backbone_reaches_its_row(plus: str) -> None:
    rows = rows_of("experiment=table1", f"{plus}backbone.layers=[10]")
    layers = {row.name: row.composed.backbone.get("layers") for row in rows}
    assert {name: value for name, value in layers.items() if value} == {"DinoSeg": [10]}


@pytest.mark.usefixtures("dinov2")
def test_a_key_that_only_some_rows_have_is_set_in_these(tmp_path: Path) -> None:
    """Hydra itself would refuse it: the configuration around the rows has another segmenter."""
    overrides = ("experiment=demo", "dataset.limit=1", "panels=0", *SMALL)
    run = evaluate(tmp_path / "run", *overrides, "segmenter.eps=0.03")
    assert run.status == 0, run.err
    assert run.table().groupby("row")["eps"].first().dropna().to_dict() == {"DBSCAN": 0.03}
    sweep = evaluate(tmp_path / "sweep", *overrides, "segmenter.eps=0.03,0.04", multirun=True)
    assert sweep.status == 0, sweep.err
    assert list(sweep.table()["eps"].dropna().unique()) == [0.03, 0.04]
    assert "DBSCAN, eps=0.04" in sweep.out
    wrong = evaluate(tmp_path / "wrong", *overrides, "segmenter.esp=0.03")
    message = "segmenter.esp: no row of experiment=demo has this key; did you mean segmenter.eps?"
    assert (wrong.status, wrong.err) == (2, f"error: {message}\n")


@pytest.mark.parametrize(
    "rows",
    ["3", "[3]", "[{overrides: [tracker]}]", "[{name: A, override: []}]", "[{name: A, overrides: 3}]"],
)
def test_malformed_rows_are_refused(rows: str) -> None:
    with pytest.raises(ConfigError, match="rows: must be a list of "):
        rows_of(f"rows={rows}")


def own_experiments(folder: Path, **experiments: str) -> str:
    """The option ``--config-dir`` with experiments of the user. Keyword arguments: name -> YAML."""
    (folder / "experiment").mkdir(parents=True)
    for name, text in experiments.items():
        (folder / "experiment" / f"{name}.yaml").write_text(text)
    return f"--config-dir={folder}"


def test_keys_of_a_group_in_an_experiment_apply_to_the_part_that_the_user_chooses(tmp_path: Path) -> None:
    option = own_experiments(tmp_path, few="dataset: {limit: 3}\n")
    (row,) = rows_of(option, "experiment=few", "dataset=camvid", "dataset.root=here")
    assert (row.choices["dataset"], row.composed.dataset.limit, row.composed.dataset.root) == ("camvid", 3, "here")


def test_an_experiment_takes_over_that_of_its_defaults(tmp_path: Path) -> None:
    base = "defaults: [override /segmenter: slic, override /backbone: none]\npanels: 1\nsegmenter: {clusters: 5}\n"
    child = "defaults: [base, override /backbone: dinov2_base, _self_]\nsegmenter: {compactness: 2}\n"
    option = own_experiments(tmp_path, base=base, child=child, table="defaults: [table1, _self_]\npanels: 0\n")
    (row,) = rows_of(option, "experiment=child")
    assert (row.choices["segmenter"], row.choices["backbone"], row.composed.panels) == ("slic", "dinov2_base", 1)
    assert (row.composed.segmenter.clusters, row.composed.segmenter.compactness) == (5, 2)
    rows = rows_of(option, "experiment=table")
    assert [row.name for row in rows] == [row.name for row in rows_of("experiment=table1")]
    assert {row.choices["dataset"] for row in rows} == {"cocostuff27"}
    assert {row.composed.experiment for row in rows} == {"table"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("panel: 3", "panel: there is no such key; did you mean panels?"),
        ("tau: 0.3", "tau: there is no such key; did you mean segmenter.tau?"),
        ("dataset: camvid", "experiment=mine: dataset: must hold keys and values; its part stands in defaults"),
        (
            "defaults: [override /segmentr: slic]",
            "experiment=mine: defaults: override /segmentr: there is no such group; did you mean override /segmenter?",
        ),
        ("defaults: [tabel1]", "experiment: there is no 'tabel1'; did you mean table1?"),
        ("defaults: [mine]", "experiment=mine: its defaults lead back to itself"),
        ("defaults: 3", "mine.yaml: defaults: must list names of the group experiment"),
    ],
)
def test_a_mistake_in_an_experiment_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    run = command("--cfg", "job", own_experiments(tmp_path, mine=text), "experiment=mine")
    assert run.status == 2
    assert message in run.err
    assert run.err.count("\n") == 1
