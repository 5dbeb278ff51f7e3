"""``--label`` from photograph to files, with a tiny random Stable Diffusion and a tiny BLIP whose caption is fixed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.cli import label as cli_label
from diffseg.cli import main as cli
from diffseg.labelling import cross_attention
from diffseg.labelling.naming import Vote, merge, responses, vote
from diffseg.pictures import by_area
from experiments.bench.tiny_sd import build_tiny_sd
from tests.helpers.command_line import stored
from tests.helpers.tiny_blip import build_tiny_blip

SIZE = 128
CAPTION = ("a", "cat", "on", "a", "sofa")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the models ``sd`` and ``blip``, and ``photo.png``, a photograph that is not square."""
    folder = tmp_path_factory.mktemp("models")
    build_tiny_sd(folder / "sd")
    build_tiny_blip(folder / "blip", CAPTION)
    rows, columns = np.mgrid[:90, :130]
    waves = [128 + 120 * np.sin(rows / 9 + columns / (7 + 3 * channel)) for channel in range(3)]
    Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8)).save(folder / "photo.png")
    return folder


def run(models: Path, out: Path, *options: str, photo: Path | None = None) -> int:
    model = ["--backbone", "sd14", "--path", str(models / "sd"), "--size", str(SIZE), "--device", "cpu"]
    return cli.main([str(photo or models / "photo.png"), "-o", str(out), *model, "--tau", "0.08", *options])


def labelled(models: Path, out: Path, *options: str) -> tuple[NDArray[np.integer], dict[str, Any]]:
    """Label map and JSON of a run with ``--label``."""
    assert run(models, out, "--label", "--captioner", str(models / "blip"), *options) == 0
    return stored(out / "photo.labels.png"), json.loads((out / "photo.named.json").read_text(encoding="utf-8"))


def expected(models: Path, text: str, words: dict[str, list[int]], rule: Vote, masks: str) -> Any:
    """Segments and names from the library.

    Args:
        text: the prompt.
        words: word -> numbers of its tokens.
        masks: the prompt of the pass that gives the segments.
    """
    model = StableDiffusion(str(models / "sd"), SIZE).load("cpu")
    encoder = cross_attention.PromptEncoder(StableDiffusion(str(models / "sd")), torch.device("cpu"))
    pixels = torch.from_numpy(stored(models / "photo.png")).permute(2, 0, 1)[None].float()
    latents = model.encode(torch.nn.functional.interpolate(pixels, (SIZE, SIZE), mode="bilinear"))
    with cross_attention.collect(model.unet) as crossed:
        model.predict(latents, model.spec.timestep, encoder.encode(text))
    (maps,) = model.attend_encoded(latents, model.spec, encoder.encode(masks))
    from diffseg.aggregation import aggregate
    from diffseg.masks import labels_from_proposals
    from diffseg.merging import Merger, anchor_rows

    merger = Merger(aggregate(maps.maps))
    proposals = merger.proposals((0.08,) * 3, anchor_rows(merger.side, 16, "even"))
    segments = by_area(labels_from_proposals(proposals, (90, 130)).numpy())
    where = responses(crossed.maps[0], list(words.values()), SIZE).numpy()
    return segments, merge(segments, tuple(words), vote(segments, where, rule))


def names_of(content: dict[str, Any]) -> list[str]:
    """Name of each annotation."""
    names = {category["id"]: category["name"] for category in content["categories"]}
    return [names[annotation["category_id"]] for annotation in content["annotations"]]


def check(result: tuple[NDArray[np.integer], dict[str, Any]], reference: Any) -> None:
    """Asserts that label map, names and parts are those of the library, and each mask the union of its segments."""
    (labels, content), (segments, named) = result, reference
    np.testing.assert_array_equal(labels, segments)
    assert names_of(content) == list(named.names)
    assert [tuple(annotation["segments"]) for annotation in content["annotations"]] == list(named.parts)
    covered = np.zeros(labels.shape, int)
    for annotation in content["annotations"]:
        decoded = coco.decode(annotation["segmentation"])
        np.testing.assert_array_equal(decoded, np.isin(labels, annotation["segments"]))
        covered += decoded
    assert (covered == 1).all()


TOKENS = {"cat": [2], "sofa": [5, 6]}


def test_the_nouns_of_the_caption_name_the_segments(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule: Vote = "median"
    labels, content = labelled(models, tmp_path, "--vote", rule)
    text = " ".join(CAPTION)
    assert content["info"] == {"prompt": text, "vote": rule, "masks": "of this prompt"}
    assert [image["file_name"] for image in content["images"]] == ["photo.png"]
    check((labels, content), expected(models, text, TOKENS, rule, text))
    assert labels.max() > 1
    names = ", ".join(names_of(content))
    line, _ = capsys.readouterr().out.splitlines()
    files = f"{tmp_path}/photo.labels.png, photo.overlay.png, photo.named.png, photo.named.json"
    assert line == f"{models}/photo.png: {labels.max() + 1} segments: {names}, {files}"
    assert {file.name for file in tmp_path.iterdir()} == {
        *(f"photo.{kind}" for kind in ("labels.png", "overlay.png", "named.png", "named.json")),
        "contact_sheet.png",
    }
    assert stored(tmp_path / "photo.named.png").shape[0] > 90  # the legend


def test_unconditional_masks_are_those_without_label(models: Path, tmp_path: Path) -> None:
    assert run(models, tmp_path / "plain") == 0
    result = labelled(models, tmp_path / "named", "--unconditional")
    for name in ("photo.labels.png", "photo.overlay.png"):
        assert (tmp_path / "named" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert result[1]["info"]["masks"] == "of the empty prompt"
    text = " ".join(CAPTION)
    check(result, expected(models, text, TOKENS, "majority", ""))
    conditioned, _ = labelled(models, tmp_path / "conditioned")
    assert (conditioned != result[0]).any()


def test_own_words_need_neither_captioner_nor_tagger(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "HanTa", None)
    labels, content = labelled(
        models, tmp_path, "--captioner", "./nowhere", "--words", "sofa, a cat,Sofa", "--vote", "mean"
    )
    assert content["info"]["prompt"] == "sofa, a cat"
    check((labels, content), expected(models, "sofa, a cat", {"sofa": [1, 2], "a cat": [4, 5]}, "mean", "sofa, a cat"))


def test_a_single_word_merges_all_segments(models: Path, tmp_path: Path) -> None:
    labels, content = labelled(models, tmp_path, "--words", "cat")
    (only,) = content["annotations"]
    assert only["segments"] == list(range(labels.max() + 1))
    assert only["area"] == labels.size
    assert only["bbox"] == [0, 0, 130, 90]


def test_a_caption_without_nouns_fails_its_photograph(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_tiny_blip(tmp_path / "blip", ("the", "is"))
    capsys.readouterr()  # saving a model shows a progress bar
    assert run(models, tmp_path / "out", "--label", "--captioner", str(tmp_path / "blip")) == 1
    complaint, count = capsys.readouterr().err.splitlines()
    assert complaint == (
        f'diffseg: {models}/photo.png: the caption "the is" has no noun; give your own words with --words'
    )
    assert count == "diffseg: 1 of 1 photographs could not be read or named"
    assert not list((tmp_path / "out").iterdir())


def test_everything_missing_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Package, captioner and weights of the backbone: a user learns of all three from one try."""
    find_spec = cli_label.find_spec
    monkeypatch.setattr(cli_label, "find_spec", lambda name: None if name == "HanTa" else find_spec(name))
    options = ["--label", "--backbone", "sd14", "--path", "./none", "--captioner", "./nowhere"]
    with pytest.raises(SystemExit) as caught:
        cli.main(["photo.png", "-o", str(tmp_path / "out"), *options])
    assert caught.value.code == 2
    package, captioner, backbone = capsys.readouterr().err.splitlines()
    assert package.startswith("diffseg: argument --label: needs the package HanTa")
    assert captioner.startswith("diffseg: captioner: ./nowhere is not on this machine")
    assert backbone.startswith("diffseg: ")
    assert "./none" in backbone
    assert not list(tmp_path.iterdir())


def test_more_words_than_a_prompt_holds_are_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(models, tmp_path / "out", "--label", "--words", ",".join(f"cat{'s' * i}" for i in range(40)))
    assert caught.value.code == 2
    assert "words: the prompt may have 77 tokens" in capsys.readouterr().err
