"""`diffseg.load`: pictures of every kind and size through a model, against the steps one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import Dinov2Config, Dinov2Model

import diffseg
from diffseg import parts
from diffseg.backbones import MissingWeights
from diffseg.backbones.image import resize_image
from diffseg.backbones.none import NoBackbone
from diffseg.pictures import by_area
from diffseg.recipe import make_recipe
from diffseg.segmenters.base import Scene
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.kmeans import KMeans

SIZE, PATCH = 64, 8
TAU = 0.001  # of random weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIZE, patch_size=PATCH, mlp_ratio=2
    )
    model = Dinov2Model(config)
    for parameter in model.parameters():
        parameter.data *= 8  # attention that differs from place to place
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(weights: Path) -> diffseg.Model:
    return diffseg.load("dinov2_small", device="cpu", path=weights, size=SIZE, patch=PATCH, layers=[0, 1])


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def expected(model: diffseg.Model, picture: NDArray[np.uint8]) -> NDArray[np.integer]:
    """Labels from the steps one by one."""
    assert model.network is not None
    (maps,) = model.network.attend(resize_image(picture, SIZE)[None])
    height, width = picture.shape[:2]
    aggregated = diffseg.aggregate(maps.maps, layers=maps.layers)
    labels = diffseg.segment(aggregated, TAU, 8, size=(height, width))  # type: ignore[arg-type]
    return by_area(labels.numpy())


def test_the_steps_one_by_one_give_the_same(model: diffseg.Model, picture: NDArray[np.uint8]) -> None:
    result = model.segment(picture, "diffseg", tau=TAU, anchors=8)
    assert result.labels.shape == (40, 60)
    assert result.labels.max() > 1
    np.testing.assert_array_equal(result.labels, expected(model, picture))
    np.testing.assert_array_equal(result.picture, picture)
    maps = model.attend(picture)
    assert maps.sides == (8, 4, 2)
    assert diffseg.aggregate(maps.maps).shape == (64, 64)


def kinds(picture: NDArray[np.uint8], folder: Path) -> dict[str, Any]:
    image = Image.fromarray(picture)
    image.save(folder / "picture.png")
    turned = Image.fromarray(np.rot90(picture))
    turned.getexif()[0x0112] = 6  # viewers turn it clockwise
    turned.save(folder / "turned.png", exif=turned.getexif())
    tensor = torch.from_numpy(picture)
    return {
        "path": folder / "picture.png",
        "text": str(folder / "picture.png"),
        "turned": folder / "turned.png",
        "PIL": image,
        "PIL, turned": Image.open(folder / "turned.png"),
        "PIL, with alpha": image.convert("RGBA"),
        "int64": picture.astype(np.int64),
        "float32": (picture / 255).astype(np.float32),
        "float64": picture / 255,
        "not contiguous": np.ascontiguousarray(picture[:, ::-1])[:, ::-1],
        "tensor (3, h, w)": tensor.permute(2, 0, 1),
        "tensor (h, w, 3)": tensor,
        "tensor, float": tensor.permute(2, 0, 1) / 255,
        "tensor, with a graph": (tensor / 255).requires_grad_(),
    }


def test_pictures_of_every_kind_give_the_same_labels(
    model: diffseg.Model, picture: NDArray[np.uint8], tmp_path: Path
) -> None:
    reference = expected(model, picture)
    given = kinds(picture, tmp_path)
    for name, image in given.items():
        result = model.segment(image, tau=TAU, anchors=8)
        np.testing.assert_array_equal(result.picture, picture, err_msg=name)
        np.testing.assert_array_equal(result.labels, reference, err_msg=name)
    assert model.segment(given["path"], tau=TAU, anchors=8).name == "picture"


def test_lists_and_batches_give_the_labels_of_single_pictures(
    model: diffseg.Model, picture: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    for path in (tmp_path / "cat.png", tmp_path / "b" / "cat.jpg"):
        Image.fromarray(picture).save(path)
    given = [picture, tmp_path / "cat.png", picture[:20], tmp_path / "b" / "cat.jpg"]
    one_by_one = [model.segment(image, tau=TAU, anchors=8) for image in given]
    for size in (1, 3):
        monkeypatch.setattr("diffseg.model.batch_size_for", lambda *_, size=size: size)
        results = model.segment(given, tau=TAU, anchors=8)
        assert [result.name for result in results] == ["picture", "cat", "picture_2", "cat_2"]
        for result, reference in zip(results, one_by_one, strict=True):
            assert result.labels.shape == reference.labels.shape
            assert (result.labels == reference.labels).mean() > 0.99  # a batch rounds differently
        assert len(model.attend(given)) == 4
    assert model.segment([], anchors=8) == []
    batch = np.stack([picture, picture[::-1]])
    np.testing.assert_array_equal(model.segment(batch, tau=TAU, anchors=8)[1].picture, picture[::-1])


def test_tau_and_grid_of_the_backbone_are_filled_in(model: diffseg.Model) -> None:
    tau = parts.read("backbone", "dinov2_small")["tuned"]["diffseg"]["tau"]["default"]
    assert model.recipe(anchors=8).segmenter == DiffSeg(tau=tau, anchors=8, grid="even")
    of_sd14 = make_recipe(parts.choose("backbone", "sd14", None, {}), "diffseg", "proportional", "official", None, {})
    assert of_sd14.segmenter == DiffSeg(tau=1.1, grid="official")


def test_segmenters_by_name_and_as_objects_give_the_same_labels(
    model: diffseg.Model, picture: NDArray[np.uint8]
) -> None:
    named = model.segment(picture, "kmeans_c", clusters=3, n_init=1)
    assert named.count == 3
    for segmenter, settings in ((KMeans(3, n_init=1), {}), (KMeans(5, n_init=1), {"clusters": 3})):
        np.testing.assert_array_equal(model.segment(picture, segmenter, **settings).labels, named.labels)
    fine = model.segment(picture, "kmeans_c", weights="finest", scheme="paper", clusters=3, n_init=1)
    listed = model.segment(picture, "kmeans_c", weights=[1, 0, 0], scheme="paper", clusters=3, n_init=1)
    np.testing.assert_array_equal(fine.labels, listed.labels)
    assert (fine.labels != named.labels).any()


@pytest.mark.parametrize(
    ("segmenter", "settings", "problem"),
    [
        ("kmean", {}, "segmenter: there is no 'kmean'; did you mean kmeans_c or kmeans_rgbxy?"),
        ("diffseg", {"taus": 1}, "taus: DiffSeg has no such key; did you mean tau?"),
        ("diffseg", {"anchors": 9}, "anchors: must be 1..8"),
        ("diffseg", {"weights": [1, 2]}, "weights: need one number for each of the sides"),
        ("kmeans_s", {}, "segmenter: kmeans_s needs the ground truth"),
        (
            "diffseg",
            {"weights": 1.0},
            "weights: input should be a valid string or input should be a valid list, got 1.0",
        ),
        ("files", {"folder": "maps"}, "segmenter: files reads label maps of a data set"),
    ],
)
def test_bad_settings_are_refused(model: diffseg.Model, segmenter: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        model.segment(np.zeros((8, 8, 3), np.uint8), segmenter, **settings)


class Brightness:
    """A segmenter from outside, which takes the picture for granted."""

    def resolved(self, side: int, tuned: Any) -> Brightness:
        return self

    def __call__(self, scene: Scene) -> torch.Tensor:
        bright = scene.image.mean(dim=0) > 128  # type: ignore[union-attr]
        return torch.nn.functional.interpolate(bright[None, None].float(), scene.size)[0, 0].long()


def test_every_segmenter_takes_attention_from_a_file(
    model: diffseg.Model, picture: NDArray[np.uint8], tmp_path: Path
) -> None:
    Image.fromarray(picture).save(tmp_path / "cat.png")
    model.attend(tmp_path / "cat.png").save(tmp_path / "cat.safetensors")
    maps = diffseg.AttentionMaps.load(tmp_path / "cat.safetensors")
    without_weights = diffseg.load(NoBackbone(size=SIZE))
    more = {"oracle", "kmeans_s", "files", "ucm", "hed"}  # need the truth, files, or packages that are seldom installed
    names = [name for name in parts.names("segmenter") if name not in more]
    for segmenter in [*names, Brightness()]:
        settings = {"anchors": 4} if segmenter == "diffseg" else {}
        direct = model.segment(tmp_path / "cat.png", segmenter, **settings)
        saved = without_weights.segment(maps, segmenter, image=picture, **settings)
        np.testing.assert_array_equal(saved.labels, direct.labels, err_msg=str(segmenter))
        np.testing.assert_array_equal(saved.picture, picture)
        assert saved.labels.shape == (40, 60)
    blank = model.segment(maps, tau=TAU, anchors=8)
    np.testing.assert_array_equal(blank.labels, expected(model, picture))
    assert (blank.name, blank.picture.min()) == ("cat", 255)
    assert [result.name for result in model.segment([maps, maps], anchors=8)] == ["cat", "cat_2"]


def test_attention_of_the_centred_square_segments_the_square(model: diffseg.Model, picture: NDArray[np.uint8]) -> None:
    square = picture[:, 10:50]
    maps = model.attend(square)
    of_square = replace(maps, provenance={**maps.provenance, "frame": "square"})
    for image in (picture, square):
        result = model.segment(of_square, "kmeans_c", image=image, clusters=3)
        np.testing.assert_array_equal(result.picture, square)
        np.testing.assert_array_equal(result.labels, model.segment(square, "kmeans_c", clusters=3).labels)


def test_attention_that_cannot_be_segmented_is_refused(model: diffseg.Model, picture: NDArray[np.uint8]) -> None:
    maps = model.attend(picture)
    calls: list[tuple[Any, Any, dict[str, Any], str]] = [
        (maps, "kmeans_rgbxy", {}, "image: the scene has no picture.*image="),
        (maps, "diffcut", {"refine": "pamr"}, "image: the scene has no picture.*image="),
        (maps, Brightness(), {}, "image: Brightness failed without the picture.*pass image="),
        (maps, "diffseg", {"image": picture[:8], "anchors": 4}, "image: has 60 x 8 pixels, .* of 60 x 40"),
        ([maps, maps], "diffseg", {"image": picture}, "image: need one for each of the 2 attention maps, got 1"),
        (replace(maps, picture=None), "diffseg", {"anchors": 4}, "does not say the size of its picture; pass image="),
        (picture, "diffseg", {"image": picture}, "image: goes with attention"),
    ]
    for source, segmenter, settings, problem in calls:
        with pytest.raises(ValueError, match=problem):
            model.segment(source, segmenter, **settings)
    with pytest.raises(TypeError, match="not both in one list"):
        model.segment([maps, picture])  # type: ignore[list-item]


def test_a_segmenter_of_pixels_needs_no_network(picture: NDArray[np.uint8]) -> None:
    model = diffseg.load(NoBackbone(size=32))
    assert model.segment(picture, "kmeans_rgbxy", clusters=4).labels.shape == (40, 60)
    with pytest.raises(ValueError, match="DiffSeg needs attention, and this backbone has none"):
        model.segment(picture)
    with pytest.raises(ValueError, match="none has no attention"):
        model.attend(picture)


def test_stable_diffusion_is_loaded_by_name(sd: Path, picture: NDArray[np.uint8]) -> None:
    model = diffseg.load("sd14", path=sd, size=64, timestep=100)
    assert model.spec.sides == (8, 4, 2, 1)
    assert model.segment(picture, tau=0.01, anchors=4).labels.shape == (40, 60)


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"backbone": "sd19"}, ValueError, "backbone: there is no 'sd19'; did you mean"),
        ({"backbone": "dinov2_small", "size": 100}, ValueError, "size: must be a positive multiple of the patch"),
        ({"backbone": "dinov2_small", "path": "./nowhere"}, MissingWeights, "./nowhere is not a folder"),
        ({"backbone": "dinov2_small", "config_dir": "./nowhere"}, ValueError, "./nowhere: is not a folder"),
        ({"backbone": NoBackbone(), "device": "abacus"}, ValueError, "device: must be auto, cpu"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_an_error(
    arguments: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        diffseg.load(**arguments)


@pytest.mark.parametrize("part", [None, 3, NoBackbone, Path("dinov2_small"), object()])
def test_what_is_neither_a_name_nor_a_part_is_refused(part: Any) -> None:
    with pytest.raises(TypeError, match=r"^backbone: must be the name of a preset, or an object"):
        diffseg.load(part)
    with pytest.raises(TypeError, match=r"^segmenter: must be the name of a preset, or an object"):
        diffseg.load(NoBackbone()).recipe(part)


def test_a_wrong_name_suggests_a_part_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "mine_a.yaml").write_text("_target_: diffseg.backbones.vit.ViT\npath: ./nowhere\n")
    (tmp_path / "backbone" / "mine_large.yaml").write_text("_target_: diffseg.backbones.none.NoBackbone\n")
    with pytest.raises(ValueError, match=r"^backbone: there is no 'mine_'; did you mean mine_large\?$"):
        diffseg.load("mine_", config_dir=tmp_path)
    assert {"mine_a", "mine_large", "sd14"} <= set(diffseg.backbones(tmp_path))


def test_missing_weights_are_asked_for_in_the_words_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"is not on this machine: run `[^`]+`, or give .* as path=DIR$") as caught:
        diffseg.load("sd14")
    assert caught.value.advising("--path DIR").endswith("as --path DIR")


def test_dir_lists_the_exported_names() -> None:
    names = set(dir(diffseg))
    assert {*diffseg.__all__, "__version__"} <= names
    assert not {"Any", "TYPE_CHECKING", "importlib"} & names
    with pytest.raises(AttributeError, match="no attribute 'sgment'"):
        _ = diffseg.sgment  # type: ignore[attr-defined]
