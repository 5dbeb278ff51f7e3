"""``python -m experiments.check``: its report and its errors."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffseg.backbones.unet_attention import UNetAttention
from experiments.check.__main__ import main
from tests.helpers import damage
from tests.helpers.runs import command, evaluate


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of the command in this process."""
    done = command(*arguments, main=main)
    return done.status, done.out, done.err


def tiny(folder: Path) -> tuple[str, ...]:
    return "backbone=sd14", f"backbone.path={folder}", "backbone.size=64", "segmenter.anchors=4", "device=cpu"


def test_weights_layers_and_times_are_reported(sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*tiny(sd), "dataset.limit=3")
    assert status == 0, err
    assert list(tmp_path.iterdir()) == []  # nothing is written
    for name in ("unet", "vae", "text_encoder"):
        assert re.search(rf"MB  sha256 [0-9a-f]{{12}}  {sd}/{name}/\w+\.safetensors", out)
    assert re.search(r"fingerprint [0-9a-f]{12}\n", out)
    for side, layers in {8: 5, 4: 5, 2: 5, 1: 1}.items():
        assert re.search(rf"side {side}: layers averaged {layers}, rows sum to 1 within \de[-+]0\d, no NaN", out)
    assert re.search(r"diffseg: \d+\.\d\d s a picture; \d+\.\d\d% of its probabilities would be 0 in float16", out)
    assert "this run (photos), 3 pictures" in out
    assert "Table 1 (COCO-Stuff-27), 2,175 pictures" in out
    assert "Table 2 (Cityscapes), 500 pictures" in out


def test_rows_that_share_a_pass_are_one_paragraph(sd: Path) -> None:
    rows = [
        f"{{name: {name}, overrides: ['segmenter={part}', 'backbone.size={size}']}}"
        for name, part, size in (("A", "diffcut", 64), ("B", "kmeans_c", 64), ("C", "kmeans_c", 128))
    ]
    status, out, err = run(*tiny(sd)[:2], f"rows=[{','.join(rows)}]", "dataset.limit=1")
    assert status == 0, err
    assert re.search(r"A: .*\n.*B: ", out)
    assert re.findall(r"^sd14: .*, (\d+ px)", out, re.MULTILINE) == ["64 px", "128 px"]


def folder_of(root: Path) -> tuple[str, ...]:
    """Three pictures; one map is damaged, one has a value that is not scored."""
    for id, values in {"a": [[0, 1, 1]], "b": [[0, 0, 255]], "c": [[0, 0, 0]]}.items():
        for name in ("shots", "masks"):
            (root / name).mkdir(exist_ok=True)
        Image.new("RGB", (3, 1), "white").save(root / "shots" / f"{id}.jpg")
        Image.fromarray(np.array(values, np.uint8)).save(root / "masks" / f"{id}.png")
    (root / "masks" / "c.png").write_bytes(b"")
    keys = f"dataset.images={root}/shots", f"dataset.maps={root}/masks", "dataset.classes=[road,sky,tree]"
    return "dataset=folder", *keys


def test_the_truth_alone_is_read_without_a_backbone(tmp_path: Path) -> None:
    status, out, err = run(*folder_of(tmp_path), "-o", str(tmp_path / "classes.csv"))
    assert (status, err) == (1, "")
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "folder: 3 pictures; 1 picture cannot be read"
    assert lines[1].startswith(f"{tmp_path / 'masks' / 'c.png'}: the file is empty; ")
    assert {"sizes: 3 x 1 (2)", "pictures: JPEG, RGB (2)", "label files: PNG, L (2)"} <= set(lines)
    assert "not scored: 16.67% of the pixels" in lines
    assert lines[-1] == "folder: tree occurs in no picture; 255 is not scored in 1 of 2 (dataset.void)"
    assert (tmp_path / "classes.csv").read_text() == (
        "label,class,pictures,pixels,share\n0,road,2,3,60.0000\n1,sky,1,2,40.0000\n2,tree,0,0,0.0000\n"
    )


@pytest.mark.usefixtures("dinov2")
def test_both_keys_check_both(tmp_path: Path) -> None:
    status, out, err = run(*folder_of(tmp_path), "backbone=none", "segmenter=slic")
    assert status == 1, err
    assert out.startswith("folder: 3 pictures; ")
    assert out.endswith("none: loads no network, so there is nothing to check\n")


@pytest.mark.usefixtures("dinov2")
def test_label_maps_from_files_are_read(tmp_path: Path) -> None:
    Image.new("L", (40, 40)).save(tmp_path / "astronaut.png")
    given = ("segmenter=files", f"segmenter.folder={tmp_path}", "backbone.size=112", "dataset.limit=1")
    status, out, err = run(*given)
    assert status == 0, err
    assert "files: " in out


def test_nan_is_one_line_that_names_the_picture(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = UNetAttention.predict
    monkeypatch.setattr(
        UNetAttention, "predict", lambda self, latents, *rest: predict(self, torch.full_like(latents, torch.nan), *rest)
    )
    status, _, err = run(*tiny(sd), "dataset.limit=1")
    assert status == 2
    assert "sd14, astronaut: " in err
    assert len([line for line in err.splitlines() if line and "it/s]" not in line]) == 1


def test_damage_found_while_loading_is_an_error(sd: Path, tmp_path: Path) -> None:
    folder = damage.copy(sd, tmp_path / "sd")
    damage.change_tensors(  # older transformers begin the name with text_model
        folder / "text_encoder/model.safetensors",
        lambda tensors: tensors.pop(next(name for name in tensors if name.endswith("final_layer_norm.bias"))),
    )
    status, _, err = run(*tiny(folder), "dataset.limit=1")
    assert status == 2
    assert "error: backbone.path: " in err
    assert "final_layer_norm.bias" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("device=vulkan",), "error: device: vulkan cannot be used"),
        (("-m", "segmenter.tau=0.2,0.3"), "error: check: takes one point and writes no tables; leave -m and options"),
        (("hydra.mode=MULTIRUN",), "error: check: takes one point and writes no tables; leave -m and options"),
        (("-o", "classes.csv"), "error: -o: writes the classes of a data set; name it with dataset=NAME"),
        (("dataset=photos", "-o"), "error: -o: must be followed by a file in a folder that exists, got nothing"),
        (("dataset=photos", "-o=no/a.csv"), "error: -o: must be followed by a file in a folder that exists, got no/a"),
        (("--multi",), "error: unrecognized arguments: --multi"),
        (("+colour=1",), "error: colour: there is no such key"),
        (("results_dir=",), "error: results_dir: is empty"),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_wrong_arguments_are_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*arguments)
    assert (status, len(err.splitlines())) == (2, 1)
    assert err.startswith(message)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("dinov2")
def test_finished_results_are_neither_evaluated_nor_rewritten(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ("backbone=none", "backbone.size=32", "dataset.limit=1")
    assert evaluate(folder, *settings, "segmenter=slic").status == 0
    (folder / "summary.csv").unlink()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert run("--rerun", str(folder))[0] == 0
    status, out, err = run("--tables", str(folder))
    assert (status, out) == (2, "")
    assert err.startswith("error: check: takes one point and writes no tables; leave -m and options")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert evaluate(folder, *settings, "segmenter=kmeans_rgbxy").status == 0
    status, _, err = run("--rerun", str(folder))
    assert (status, err) == (2, f"error: --rerun: {folder} lists 2 commands; type the one to check\n")
