"""Every command ends with one line and status 2 on damaged weights, and leaves no results."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from diffseg.cli import main as cli
from experiments.app.__main__ import PAGE
from experiments.app.__main__ import main as app
from tests.helpers import damage
from tests.helpers.runs import evaluate

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"

DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "cut": (UNET, damage.cut, "is cut short"),
    "pointer": (UNET, damage.lfs_pointer, "is a Git LFS pointer"),
    "text encoder": (
        TEXT,
        lambda file: damage.change_tensors(file, lambda tensors: tensors.popitem()),
        "lacks the tensor",
    ),
    "other width": ("unet/config.json", lambda file: damage.set_json(file, cross_attention_dim=64), "does not fit"),
    "tokenizer": ("tokenizer/vocab.json", damage.web_page, "is a web page"),
}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64), "green").save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, sd: Path, tmp_path: Path) -> tuple[Path, str, str]:
    """Folder of a damaged model, folder that the line must name, and words that it must have."""
    name, spoil, words = DAMAGES[request.param]
    folder = damage.copy(sd, tmp_path / "sd")
    spoil(folder / name)
    return folder, f"{folder}/{name.partition('/')[0]}/", words


def flags(folder: Path) -> list[str]:
    return ["--backbone", "sd14", "--path", str(folder), "--size", "64", "--device", "cpu"]


def overrides(folder: Path) -> tuple[str, ...]:
    return "backbone=sd14", f"backbone.path={folder}", "backbone.size=64", "dataset.limit=1", "segmenter.anchors=4"


def assert_one_line(printed: str, start: str, file: str, words: str) -> None:
    lines = [line for line in printed.splitlines() if "it/s]" not in line]  # progress bars of transformers
    assert len(lines) == 1, printed
    assert lines[0].startswith(start)
    assert f"path: {file}" in lines[0]
    assert words in lines[0]


def test_evaluate_ends_with_one_line_and_no_tables(damaged: tuple[Path, str, str], tmp_path: Path) -> None:
    folder, file, words = damaged
    run = evaluate(tmp_path / "results", *overrides(folder))
    assert run.status == 2
    assert_one_line(run.err, "error: backbone.", file, words)
    assert not (tmp_path / "results/summary.csv").exists()


@pytest.mark.parametrize("damaged", ["pointer", "text encoder"], indirect=True)
def test_diffseg_ends_with_one_line(
    damaged: tuple[Path, str, str], photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file, words = damaged
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(photo), "-o", str(tmp_path / "out"), "--anchors", "4", *flags(folder)])
    assert stopped.value.code == 2
    assert_one_line(capsys.readouterr().err, "diffseg: ", file, words)


@pytest.mark.parametrize("damaged", ["tokenizer"], indirect=True)
def test_the_app_does_not_start(damaged: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("streamlit", reason="streamlit is not installed: pip install -e '.[app]'")
    folder, file, words = damaged
    with pytest.raises(SystemExit) as stopped:
        app(flags(folder))
    assert stopped.value.code == 2
    assert_one_line(capsys.readouterr().err, "app: ", file, words)


@pytest.mark.parametrize("damaged", ["other width"], indirect=True)
def test_the_page_shows_damage_found_while_loading(
    damaged: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    testing = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed: pip install -e '.[app]'")
    folder, file, words = damaged
    monkeypatch.setattr(sys, "argv", ["page", *flags(folder)])
    page = testing.AppTest.from_file(str(PAGE), default_timeout=60).run()
    assert not page.exception
    (error,) = page.error
    assert f"path: {file}" in error.value
    assert words in error.value
