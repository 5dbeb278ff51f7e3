"""Wrong input: one clear line names the file or the key, and nothing recorded before is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from eval.storage.record_files import open_records
from tests.conftest import ROOT
from tests.helpers.coco_folder import IDS, image_of, label_of, write_folder
from tests.helpers.runs import SMALL, Run, evaluate

Evaluate = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path) -> Evaluate:
    return partial(evaluate, tmp_path / "run")


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "coco")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("segmenter.tua=0.3", "segmenter.tua: DiffSeg has no such key; did you mean segmenter.tau?"),
        ("segmnter.tau=0.3", "segmnter: there is no such key; did you mean segmenter?"),
        ("segmenter.tau=abc", "tau: input should be a valid number or input should be a valid list, got 'abc'"),
        ("tau=0.3", "tau: there is no such key; did you mean segmenter.tau?"),
        ("size=64", "size: there is no such key; did you mean backbone.size or protocol.size?"),
        ("segmenter=kmean_c", "segmenter=kmean_c: there is no such choice; did you mean segmenter=kmeans_c?"),
        ("experiment=dmo", "experiment=dmo: there is no such choice; did you mean experiment=demo?"),
        ("segmenter.tau=0.5,0.7", "a list is typed segmenter.tau=[0.5,0.7]"),
        ("segmenter=dbscan,diffseg", "which needs -m: python -m experiments.evaluate -m segmenter=dbscan,diffseg ..."),
        ("segmenter.tau=[0.3", "segmenter.tau=[0.3: is neither group=choice nor key=value"),
        ("segmenter=3", "segmenter=3: there is no such choice; known: agglomerative, autosc"),
        ("demo", "demo: is neither group=choice nor key=value"),
        ("--limit", "unrecognized arguments: --limit (python -m experiments.evaluate --help lists options"),
        ("segmenter.tau=0", "segmenter.tau: must be above 0, got 0"),
        ("segmenter.tau=[0.1,0.2]", "segmenter.tau: need one value, or one for each of the 3 iterations"),
        ("segmenter.anchors=0", "segmenter.anchors: must be at least 1, got 0"),
        ("segmenter.anchors=33", "segmenter.anchors: must be 1..32, the side of the attention, got 33"),
        ("segmenter.rule=mine", "segmenter.rule: input should be 'official' or 'paper', got 'mine'"),
        ("aggregation.weights=eighth", "aggregation.weights: 'eighth' is not a side of this backbone"),
        ("aggregation.weights=[1,2]", "aggregation.weights: need one number for each of the sides [32, 16, 8]"),
        ("aggregation.scheme=mean", "aggregation.scheme: input should be 'official'"),
        ("backbone.sides=[32,12]", "backbone.sides: each must divide the finest, 32; 12 does not"),
        ("backbone.sides=[16,8]", "backbone.sides: the finest must be size / patch = 448 / 14 = 32, got 16"),
        ("aggregation.weights=[-1,0,1]", "aggregation.weights: must be at least 0, got -1"),
        ("results_dir=/proc/none", "/proc/none"),
        ("backbone.layers=[12]", "backbone.layers: must be 0..11"),
        ("backbone.size=0", "backbone.size: must be at least 1, got 0"),
        ("dataset.limit=0", "dataset.limit: must be at least 1"),
        ("dataset.split_file=none.txt", "none.txt"),
        ("protocol.size=0", "protocol.size: must be at least 1, got 0"),
        ("batch_size=0", "batch_size: must be at least 1, got 0"),
        ("panels=-1", "panels: must be at least 0, got -1"),
        ("panels=many", "panels: input should be a valid integer, got 'many'"),
        ("device=tpu9", "device"),
        ("published=table9", "published: must be one of table1_cocostuff27, table2_cityscapes, got 'table9'"),
        ("rows=3", "rows: must be a list"),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_a_wrong_setting_is_one_line_and_leaves_no_results(run: Evaluate, override: str, message: str) -> None:
    done = run(override)
    assert done.status == 2
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.err
    assert message in errors[0]
    assert "Traceback" not in done.err
    assert not done.folder.exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("experiment=demo", "segmenter=dbscan", "name=mine"), "the rows of experiment=demo choose their segmenter"),
        (("experiment=demo", "+segmenter.colour=1"), "segmenter.colour: no row of experiment=demo has this key"),
        (("rows=[{name: A, overrides: ['segmenter=slic']}]", "segmenter=dbscan"), "the rows of rows choose"),
        (("segmenter=kmeans_c", "segmenter.tau=0.3"), "segmenter.tau: KMeans has no such key; known: clusters, input"),
        (("hydra.job.chdir=true",), "hydra.job.chdir=true: is a setting of sweeps, which need -m"),
        (("backbone=sd14", "backbone.size=500"), "backbone.size: must be a multiple of 64, got 500"),
        (("backbone=sd14", "backbone.timestep=1000"), "backbone.timestep: must be at most 999, got 1000"),
        (("segmenter=kmeans_c", "segmenter.clusters=0"), "segmenter.clusters: must be at least 1, got 0"),
        (("segmenter=dbscan", "segmenter.eps=-1"), "segmenter.eps: must be above 0, got -1"),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_settings_that_do_not_go_together_are_one_line(run: Evaluate, overrides: tuple[str, ...], message: str) -> None:
    done = run(*overrides)
    assert done.status == 2
    assert message in done.err
    assert done.err.count("error: ") == 1


def spoil_jpeg(root: Path) -> Path:
    path = image_of(root, IDS[1])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def spoil_void(root: Path) -> Path:
    with Image.open(label_of(root, IDS[1])) as label:
        size = label.size
    Image.new("L", size, 255).save(label_of(root, IDS[1]))
    return label_of(root, IDS[1])


@pytest.mark.parametrize("spoil", [spoil_jpeg, spoil_void])
@pytest.mark.usefixtures("dinov2")
def test_a_bad_picture_is_recorded_and_the_others_count(
    run: Evaluate, coco: Path, spoil: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    overrides = ("dataset=cocostuff27", f"dataset.root={coco}", "segmenter.tau=0.3", "panels=3", *SMALL)
    good = run(*overrides, "dataset.limit=1")
    assert good.status == 0, good.err
    before = (good.folder / "records.jsonl").read_text()
    path = spoil(coco)
    done = run(*overrides)
    assert done.status == 1
    failed = [record for record in done.images() if record["status"] == "failed"]
    assert [record["picture"] for record in failed] == [IDS[1]]
    assert path.name in failed[0]["reason"]
    assert "\n" not in failed[0]["reason"]
    assert failed[0]["reason"] in caplog.text
    assert (done.folder / "records.jsonl").read_text().startswith(before)
    assert sum(record["picture"] == IDS[0] for record in done.images()) == 1  # not evaluated again
    assert set(done.table()["images"]) == {2}
    assert set(done.table()["failed"]) == {1}
    assert "1 failed" in done.out
    reasons = done.table("per_image").query("status == 'failed'")["reason"]
    assert len(reasons) == 2
    assert reasons.str.contains(path.name).all()
    assert run(*overrides, "allow_failures=true").status == 0


@pytest.mark.parametrize("experiment", ["table1", "table2"])
def test_reproducing_without_data_and_weights_says_what_to_type(experiment: str, tmp_path: Path) -> None:
    """The message comes before torch is imported."""
    environment = {"PATH": "", "HF_HOME": str(tmp_path / "hub"), "HOME": str(tmp_path)}
    start = time.monotonic()
    command = [sys.executable, "-X", "importtime", "-m", "experiments.evaluate", f"experiment={experiment}"]
    done = subprocess.run(
        [*command, f"dataset.root={tmp_path / 'data'}"],
        cwd=ROOT, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    text = "\n".join(lines)
    assert str(tmp_path / "data") in text
    assert "CompVis/stable-diffusion-v1-4" in text
    assert "make weights" in text
    assert "make data-" in text
    assert "Traceback" not in text
    assert "| torch\n" not in done.stderr.replace("     ", "")
    assert time.monotonic() - start < 300  # fails only if the command hangs


@pytest.mark.usefixtures("dinov2")
def test_a_second_run_in_one_folder_is_refused(run: Evaluate, tmp_path: Path) -> None:
    with open_records(tmp_path / "run"):
        done = run("dataset.limit=1", *SMALL)
    assert done.status == 2
    assert "another run" in done.err
    assert run("dataset.limit=1", *SMALL).status == 0


@pytest.mark.usefixtures("dinov2")
def test_results_survive_a_run_with_a_bad_setting(run: Evaluate, tmp_path: Path) -> None:
    good = run("dataset.limit=1", *SMALL)
    shutil.copytree(good.folder, tmp_path / "before")
    assert run("dataset.limit=1", *SMALL, "segmenter.tau=-1").status == 2
    for path in (tmp_path / "before").rglob("*"):
        if path.is_file():
            assert (good.folder / path.relative_to(tmp_path / "before")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rows=[]"], "rows: is empty; list at least one row, or leave the key out"),
        (["results_dir={file}"], "{file}"),
        (["-m", "results_dir={file}", "segmenter.tau=0.2,0.3"], "{file}"),
        (["dataset=voc2012", "dataset.root={space}"], "then give 'dataset.root={space}'"),
        (["dataset=cityscapes27", "dataset.root={space}"], "`make data-cityscapes DIR='{space}'`"),
        (["dataset.split_file={space}"], "{space}: "),
        (["dataset.split_file={none}"], "{none}: "),
        (["backbone.path={file}"], "backbone.path: {file} is not a folder"),
        (["backbone=sd14", "backbone.path={space}"], "backbone.path: the folder {space} has no "),
        (["rows=[{{name: A, overrides: ['backbone.path={space}']}}]"], "backbone.path: the folder {space} has no "),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_an_unusable_path_is_one_line_and_leaves_no_results(arguments: list[str], message: str, tmp_path: Path) -> None:
    places = {"file": tmp_path / "file", "space": tmp_path / "my data (2)", "none": tmp_path / "none"}
    places["file"].write_text("mine")
    places["space"].mkdir()
    run = evaluate(tmp_path / "run", *(argument.format(**places) for argument in arguments))
    assert run.status == 2
    (line,) = run.err.splitlines()
    assert line.startswith("error: ")
    assert message.format(**places) in line
    assert not run.folder.exists()
    assert places["file"].read_text() == "mine"


@pytest.mark.parametrize(
    "argument", ["+colour=1", "++colour=1", "+colour.red=1", "+segmenter.colour=1", "+tracker.x=1"]
)
def test_adding_an_unknown_key_is_one_line_and_leaves_no_results(argument: str, tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", argument)
    assert run.status == 2
    key = argument.strip("+").partition("=")[0]
    assert run.err.startswith(f"error: {key.replace('colour.red', 'colour')}: ")
    assert "no such key" in run.err
    assert len(run.err.splitlines()) == 1
    assert not run.folder.exists()
