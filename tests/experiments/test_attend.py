"""``python -m experiments.attend`` and ``backbone=saved``: a run from files gives the records of the pass."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import diffseg
from datasets.photos import Photos
from diffseg.attention import PictureInfo
from eval.runs import read_runs
from experiments.attend.__main__ import main
from tests.helpers.runs import Run, evaluate
from tests.helpers.tiny_vits import build_tiny_vit

SIZE = ("backbone.size=48", "backbone.patch=8")
IDS = ("astronaut", "chelsea", "china", "coffee")
EXPERIMENT = """# @package _global_
name: three
rows:
  - {name: a, overrides: [segmenter=diffseg, segmenter.anchors=4, segmenter.tau=0.01]}
  - {name: b, overrides: [segmenter=diffcut]}
  - {name: c, overrides: [segmenter=agglomerative, backbone.debias=0.9, segmenter.tau=0.5]}
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_vit("dinov2", tmp_path_factory.mktemp("vit"))[0]


@pytest.fixture(scope="module")
def saved(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The attention of four photographs."""
    folder = tmp_path_factory.mktemp("saved")
    assert attend(folder, *tiny(weights), "dataset.limit=4") == 0
    return folder


def tiny(weights: Path, layers: str = "[0,2]") -> tuple[str, ...]:
    return (*SIZE, f"backbone.layers={layers}", f"backbone.path={weights}")


def attend(out: Path, *arguments: str) -> int:
    """Exit status of the command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["attend", f"out={out}", "device=cpu", *arguments])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
    return 0


def records(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    """Row and picture -> record without its times."""
    (results,) = read_runs(run.folder)
    return {
        (row.key, record.picture): {**asdict(record), "seconds": {}, "time": 0}
        for row in results.rows
        for record in row.records
    }


def test_a_run_from_files_has_the_records_of_the_pass(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert attend(tmp_path / "saved", *tiny(weights), "dataset.limit=4") == 0
    assert "4 pictures x 0.0 MB" in capsys.readouterr().err
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "three.yaml").write_text(EXPERIMENT)
    given = ("dataset.limit=4", "device=cpu", "experiment=three")
    evaluated = partial(evaluate, config_dir=tmp_path / "conf")
    of_pass = evaluated(tmp_path / "pass", *given, *tiny(weights))
    from_files = ("backbone=saved", f"backbone.folder={tmp_path / 'saved'}")
    of_files = evaluated(tmp_path / "files", *given, *from_files)
    assert records(of_files) == records(of_pass)
    assert len(records(of_pass)) == 12
    for column in ("backbone", "backbone_weights", "size", "acc", "miou"):
        assert of_files.table()[column].tolist() == of_pass.table()[column].tolist(), column
    assert attend(tmp_path / "half", *tiny(weights), "dataset.limit=4", "dtype=float16") == 0
    from_half = ("backbone=saved", f"backbone.folder={tmp_path / 'half'}")
    both = evaluated(tmp_path / "files", *given, *from_half)
    assert len(records(both)) == 24  # rounded attention makes other rows


def test_remarks_about_pictures_are_counted(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, mode in (("images", "RGB"), ("maps", "L")):
        (tmp_path / folder).mkdir()
        for id in ("a", "b"):
            Image.new(mode, (48, 48), "black").save(tmp_path / folder / f"{id}.png")
    data = (f"dataset.images={tmp_path / 'images'}", f"dataset.maps={tmp_path / 'maps'}", "dataset.classes=[x]")
    assert attend(tmp_path / "saved", *tiny(weights), "dataset=folder", *data) == 0
    assert "folder: 2 of 2 pictures: is almost black; scale its values" in capsys.readouterr().err


def test_unusable_files_are_failures_of_their_pictures(
    saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "saved"))
    (folder / "astronaut.safetensors").unlink()
    whole = (folder / "chelsea.safetensors").read_bytes()
    (folder / "chelsea.safetensors").write_bytes(whole[:-9])
    shutil.copy(folder / "coffee.safetensors", folder / "china.safetensors")
    run = evaluate(
        tmp_path / "run",
        *("dataset.limit=4", "backbone=saved", f"backbone.folder={folder}", "device=cpu"),
        *("segmenter.anchors=4", "segmenter.tau=0.01"),
    )
    reasons = {picture: record["reason"] for (_, picture), record in records(run).items()}
    assert reasons["coffee"] == ""
    for id, problem in zip(IDS, ("is missing", "is cut short", "is of coffee, "), strict=False):
        assert reasons[id].startswith(f"{folder / id}.safetensors: ")
        assert problem in reasons[id]
    assert "1 picture of 4 will fail without a file of attention; the first is astronaut" in caplog.text


def test_a_folder_that_cannot_be_used_is_one_line_before_the_run(weights: Path, saved: Path, tmp_path: Path) -> None:
    mixed = Path(shutil.copytree(saved, tmp_path / "mixed"))
    assert attend(tmp_path / "other", *tiny(weights, "[0]"), "dataset.limit=1") == 0
    shutil.copy(tmp_path / "other" / "astronaut.safetensors", mixed / "coffee.safetensors")
    others, empty = tmp_path / "others", tmp_path / "empty"
    others.mkdir()
    empty.mkdir()
    shutil.copy(saved / "coffee.safetensors", others / "espresso.safetensors")
    for folder, settings, problem in (
        (mixed, (), f"backbone.folder: {mixed / 'coffee.safetensors'}: is of another backbone than "),
        (others, (), "has no attention of any of the 4 pictures; the first should be "),
        (others, ("backbone.debias=0.9",), "backbone.debias: needs "),
        (empty, (), "holds no files of attention"),
        (tmp_path / "nowhere", (), "is not a folder"),
        ("null", (), "backbone.folder: not set"),
    ):
        arguments = ("dataset.limit=4", "backbone=saved", f"backbone.folder={folder}", *settings, "segmenter.anchors=4")
        run = evaluate(tmp_path / "run", *arguments)
        assert run.status == 2
        assert problem in run.err
        assert run.err.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_the_command_resumes_and_takes_shares(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (*tiny(weights), "dataset.limit=4")

    def files() -> dict[str, int]:
        return {path.stem: path.stat().st_mtime_ns for path in tmp_path.glob("[!.]*.safetensors")}

    assert attend(tmp_path, *given, "shard=2/3") == 0
    first = files()
    assert set(first) == {"chelsea"}
    (tmp_path / "china.safetensors").write_bytes(b"torn")
    assert attend(tmp_path, *given) == 0
    assert set(files()) == set(IDS)
    assert files().items() >= first.items()
    capsys.readouterr()
    assert attend(tmp_path, *given) == 0
    assert "the attention of 4 pictures is complete" in capsys.readouterr().err
    for argument, problem in (
        ("dtype=float16", "holds attention of another backbone, frame or dtype"),
        ("frame=whole", "holds attention of another backbone, frame or dtype"),
        ("shard=4/3", "shard: must be i/n with 1 <= i <= n"),
        ("dtype=int8", "dtype: must be float32 or float16"),
        ("backbone.debias=0.9", "give it with backbone=saved"),
        ("segmenter.tau=0.3", "segmenter.tau: there is no such key; known: backbone, batch_size, dataset, "),
    ):
        assert attend(tmp_path, *given, argument) == 2
        assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "status"), [("backbone.debias=0.9", 0), ("backbone.size=40", 2), ("dataset.limit=1", 2)]
)
def test_the_rows_of_an_experiment_share_backbone_and_data_set(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, status: int
) -> None:
    rows = f"rows:\n  - {{name: a}}\n  - {{name: b, overrides: [{override}]}}\n"
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "two.yaml").write_text(f"backbone: {{size: 48}}\ndataset: {{limit: 2}}\n{rows}")
    given = ("backbone.patch=8", "backbone.layers=[0,2]", f"backbone.path={weights}", "experiment=two")
    assert attend(tmp_path / "out", f"--config-dir={tmp_path / 'conf'}", *given) == status
    message = "error: attend: the rows have several backbones or data sets; leave experiment=... out\n"
    assert (capsys.readouterr().err == message) == bool(status)
    if status:
        assert attend(tmp_path / "out", "experiment=table1") == status  # before the look at data and weights
        assert capsys.readouterr().err == message


def test_whole_pictures_have_the_attention_of_the_library(weights: Path, tmp_path: Path) -> None:
    assert attend(tmp_path, *tiny(weights), "dataset.limit=2", "protocol.frame=whole") == 0
    maps = diffseg.AttentionMaps.load(tmp_path / "chelsea.safetensors")
    pixels = Photos().load("chelsea").image
    model = diffseg.load("dinov2_small", path=weights, size=48, patch=8, layers=[0, 2], device="cpu")
    direct = model.attend(pixels)
    assert maps.picture == PictureInfo.of("chelsea", pixels)
    np.testing.assert_array_equal(maps.maps[6].numpy(), direct.maps[6].numpy())
    assert maps.provenance["settings"] == json.loads(json.dumps(direct.provenance["settings"]))
