"""All of `make reproduce-table1`, from download to LaTeX: a synthetic COCO from a local server, random weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTModel

from datasets.cocostuff27 import OFFICIAL_LIST
from datasets.prepare import __main__ as prepare
from experiments.bench.tiny_sd import build_tiny_sd
from experiments.published import published_table
from tests.conftest import ROOT
from tests.helpers.archives import pack
from tests.helpers.file_server import Behaviour, running
from tests.helpers.runs import evaluate
from tests.helpers.sources import ZIPS, sources_for

SEEDS = 5


def synthetic_coco(folder: Path, count: int) -> dict[str, bytes]:
    """The published archives and list, with ``count`` pictures of coloured rectangles of known classes."""
    generator = np.random.default_rng(0)
    ids = [f"{number:012}" for number in range(1, count + 1)]
    packed: dict[str, dict[str, Path | bytes]] = {"images": {}, "stuffthingmaps": {}}
    for id in ids:
        label = np.full((60, 80), 156, np.uint8)  # sky-other
        for fine in generator.choice([0, 16, 61, 105, 168], 3, replace=False):
            top, left = generator.integers(0, 40, 2)
            label[top : top + 25, left : left + 35] = fine
        label[:2] = 255
        colours = generator.integers(0, 256, (256, 3))
        noise = generator.normal(0, 12, (*label.shape, 3))
        image = (colours[label] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "image.jpg")
        Image.fromarray(label).save(folder / "label.png")
        packed["images"][f"val2017/{id}.jpg"] = (folder / "image.jpg").read_bytes()
        packed["stuffthingmaps"][f"val2017/{id}.png"] = (folder / "label.png").read_bytes()
    files = {ZIPS[name]: pack(folder / ZIPS[name], contents) for name, contents in packed.items()}
    others = {ZIPS[name]: b"never asked for" for name in ("instances", "stuff")}
    return {**files, **others, OFFICIAL_LIST: "".join(f"{id}\n" for id in ids).encode()}


def tiny_dino(folder: Path) -> Path:
    torch.manual_seed(0)
    ViTModel(ViTConfig(hidden_size=32, num_attention_heads=2, intermediate_size=64, patch_size=8)).save_pretrained(
        folder
    )
    return folder


def make(target: str, *variables: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a target of the Makefile with this interpreter, and installs nothing."""
    command = ["make", "--no-print-directory", "--old-file=.venv/.installed", f"PY={sys.executable}", target]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([*command, *variables], cwd=ROOT, capture_output=True, text=True, check=False, env=settings)


@pytest.mark.long
@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_reproduce_table1_works_from_download_to_latex(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, results = tmp_path / "data", tmp_path / "results"
    files = synthetic_coco(tmp_path, count)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as server:
        server.files = files
        server.script.extend([Behaviour(), Behaviour(cut=1000), Behaviour(cut=2000)])  # connections break
        monkeypatch.setattr(prepare, "SOURCES_YAML", sources_for(files, server.url(""), tmp_path / "sources.yaml"))
        assert prepare.main(["cocostuff", "--dir", str(data / "cocostuff"), "--allow-partial"]) == 0
    arguments = [f"backbone.path={build_tiny_sd(tmp_path / 'sd')}", "backbone.size=128", f"results_dir={results}"]
    done = make(
        "reproduce-table1",
        f"DATA={data}",
        f"ARGS={' '.join(arguments)}",
        DIFFSEG_DINO_VITS8=str(tiny_dino(tmp_path / "dino")),
    )
    assert done.returncode == 0, done.stderr
    assert f"{count} of 2,175" in done.stdout
    summary = pd.read_csv(results / "summary.csv")
    assert summary.query("protocol == 'official'").groupby("row").size().to_dict() == {
        **{"K-Means-C": SEEDS, "K-Means-S": SEEDS},
        **{"DBSCAN": 1, "DinoSeg": 1, "DiffSeg": 1},  # both DiffSeg rows have 128 pixels here
    }
    assert set(summary["images"]) == {count}
    latex = (results / "table.tex").read_text()
    methods = set(published_table("table1_cocostuff27")["method"])
    for part in (r"\toprule", "DinoSeg", *methods, f"{count} of 2,175", r"\bottomrule"):
        assert part in latex
    # The same run evaluates nothing again.
    records = (results / "records.jsonl").read_text().count('"record"')
    monkeypatch.setenv("DIFFSEG_DINO_VITS8", str(tmp_path / "dino"))
    again = evaluate(results, "experiment=table1", f"dataset.root={data}/cocostuff", *arguments[:-1])
    assert again.status == 0, again.err
    assert (results / "records.jsonl").read_text().count('"record"') == records
