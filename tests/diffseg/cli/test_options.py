"""The arguments of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import diffseg
from diffseg import parts
from diffseg.backbones.vit import ViT
from diffseg.cli import main as cli
from diffseg.cli import options as cli_options
from tests.helpers.command_line import run


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "required: PHOTO, -o/--out (or --json)"),
        ("p.jpg", "required: -o/--out (or --json)"),
        ("p.jpg --json --label", "--label: needs -o/--out"),
        ("*.jpg -o out", "*.jpg: no photograph matches"),
        ("p.jpg -o out --ta 1", "unrecognized arguments: --ta 1"),
        ("p.jpg -o out --set tau", "--set: must be NAME=VALUE, got tau"),
        ("p.jpg -o out --set tau=[", "--set: tau: [ is not a number, word or [list]"),
        ("p.jpg -o out --set backbone.sise=448", "sise: ViT has no such key; did you mean size?"),
        ("p.jpg -o out --tau=", "argument --tau: must be a number, got ''"),
        ("p.jpg -o out --tau true", "argument --tau: must be a number, got 'true'"),
        ("p.jpg -o out --anchors 0", "argument --anchors: must be a whole number, at least 1, got 0"),
        ("p.jpg -o out --anchors 0x8", "argument --anchors: must be a whole number, at least 1, got 0x8"),
        ("p.jpg -o out --iterations -1", "argument --iterations: must be a whole number, at least 1, got -1"),
        ("p.jpg -o out --iterations=", "argument --iterations: must be a whole number, at least 1, got"),
        ("p.jpg -o out --backbone sd14x", "backbone: there is no 'sd14x'; did you mean sd14?"),
        ("p.jpg -o out --size 2.5", "argument --size: must be a whole number, at least 1, got 2.5"),
        ("p.jpg --json out.txt", "argument --json: must be a .json or .jsonl file, got out.txt"),
        ("p.jpg -o out --path ./nowhere", "./nowhere is not a folder"),
        ("p.jpg -o out --scheme none", "--scheme: invalid choice: 'none'"),
        ("p.jpg -o out --weights most", "weights: must be proportional, finest, half, quarter, eighth or a list"),
        ("p.jpg -o out --segmenter kmeans_c --anchors 3", "anchors: KMeans has no such key"),
        ("p.jpg -o out --device abacus", "device: must be auto, cpu, cuda"),
        ("p.jpg -o out --words cat", "argument --label: dinov2_small attends to no words, give --backbone sd14"),
        ("p.jpg -o out --unconditional", "argument --unconditional: needs --label"),
        ("p.jpg -o out --vote mean", "argument --vote: needs --label"),
        ("p.jpg -o out --captioner ./blip", "argument --captioner: needs --label"),
        ("p.jpg -o out --label --words ,", "argument --words: must hold at least one word"),
        ("p.jpg -o out --label --vote best", "argument --vote: invalid choice: 'best'"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_load", None)  # never reached
    if "--path" not in arguments:
        monkeypatch.setattr(ViT, "check", lambda self: None)
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments.split())
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert complaint in message
    assert message.startswith("diffseg: ")
    assert message.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_numbers_of_options_are_decimal() -> None:
    arguments = ["p.jpg", "-o", "out", "--tau", "1", "--anchors", "010", "--iterations", "3", "--size", "448"]
    args = cli_options.parse(arguments)
    assert cli_options.segmenter_settings(args) == {"tau": 1.0, "anchors": 10, "iterations": 3}
    assert cli_options.spec_of(args).size == 448


def test_help_and_missing_weights_answer_without_torch(tmp_path: Path) -> None:
    helped = run("--help", options=("-X", "importtime"))
    assert helped.returncode == 0
    missing = run("a.jpg", "-o", tmp_path, "--path", "owner/name", options=("-X", "importtime"))
    assert missing.returncode == 2
    *imports, complaint = missing.stderr.splitlines()
    assert "of owner/name (Hugging Face hub) is not on this machine" in complaint
    for log in (helped.stderr, "\n".join(imports)):
        modules = {line.rsplit("|", 1)[1].strip() for line in log.splitlines()}
        assert "diffseg.cli.main" in modules
        assert not modules & {"torch", "transformers", "sklearn", "scipy"}


def test_help_names_every_option_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for option in cli_options.parser()._actions:
        for name in option.option_strings:
            assert name in text
    for name in {*parts.names("backbone"), *diffseg.segmenters()} - {"saved"}:
        assert f" {name}" in text
    for name in {*parts.names("segmenter")} - {*diffseg.segmenters()}:
        assert f" {name}," not in text
    tau = parts.read("backbone", "dinov2_small")["tuned"]["diffseg"]["tau"]["default"]
    for expected in (
        f"dinov2_small 448 px, tau {tau}: ViT",
        "sd14 512 px, tau 1.1: StableDiffusion",
        "examples:",
    ):
        assert expected in text


def test_help_lists_the_settings_of_a_segmenter(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help", "--segmenter", "kmeans_rgbxy"])
    assert caught.value.code == 0
    assert "  clusters=6 (at least 1): number of clusters, k; null: the data set's mean" in capsys.readouterr().out
