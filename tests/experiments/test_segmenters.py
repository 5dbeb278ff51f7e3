"""Every segmenter through the command line, on one picture with the real weights of DINOv2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from diffseg import parts
from diffseg.segmenters.base import Scene, Segmenter
from eval.config import build
from tests.conftest import ROOT
from tests.helpers.attention import smooth
from tests.helpers.rows import rows_of
from tests.helpers.runs import evaluate

SIMILARITIES = ("Spectral, kappa", "TokenCut", "MaskCut", "Agglomerative", "Agglomerative, debiased")
SMALL = ("backbone.size=224", "backbone.sides=[16]", "dataset.limit=1", "panels=0")


def test_one_experiment_compares_all_segmenters(dinov2: Path, tmp_path: Path) -> None:
    rows = OmegaConf.load(ROOT / "conf" / "experiment" / "segmenters.yaml").rows
    chosen = [row.overrides[0].removeprefix("segmenter=") for row in rows]
    run = evaluate(tmp_path, "experiment=segmenters", *SMALL)
    assert run.status == 0, run.err
    table = run.table().query("protocol == 'official'").set_index("segmenter")
    assert list(table.index) == chosen
    assert (table["failed"] == 0).all()
    # Each key in a segmenter's YAML has a column of its name, with a value.
    for name in chosen:
        for key in OmegaConf.load(ROOT / "conf" / "segmenter" / f"{name}.yaml").keys() - {"_target_", "defaults"}:
            assert not table.loc[[name], str(key)].isna().any(), f"{name}.{key}"
    assert table["acc"].idxmax() == "oracle"
    assert table["acc"].max() < 100  # 16 x 16 cells do not hold the picture's borders


def test_the_ablation_changes_one_factor_at_a_time() -> None:
    """Each row differs from the first row of its name in one key. Tau follows the scale of its input."""
    with_tau = {"segmenter.input", "segmenter.graph", "aggregation.bounces", "backbone.debias"}
    first: dict[str, dict[str, Any]] = {}
    for row in rows_of("experiment=why"):
        groups = ("backbone", "aggregation", "segmenter", "protocol")
        keys = {f"{group}.{key}": value for group in groups for key, value in row.composed[group].items()}
        base = first.setdefault(row.name, keys)
        changed = {key for key in base.keys() | keys.keys() if base.get(key, "default") != keys.get(key, "default")}
        # If the network sees a smaller picture, the scored size stays.
        changed -= {"protocol.size"} if "backbone.size" in changed else set()
        changed -= {"segmenter.tau"} if changed & with_tau else set()
        assert len(changed) == (base is not keys), (row.name, changed)
    assert len(first) > 1


@pytest.mark.parametrize(
    ("name", "refine"),
    [
        (name, refine)
        for name in parts.names("segmenter")
        for refine in ("none", "pamr")
        if name not in ("files", "ucm", "hed")
        and (refine == "none" or "refine" in parts.keys_of(parts.read("segmenter", name)["_target_"]))
    ],
)
def test_a_segmenter_gives_the_same_labels_again(name: str, refine: str) -> None:
    """No segmenter keeps anything of a picture, or uses a global random generator."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides=[f"segmenter={name}"]).segmenter
    if refine != "none":
        OmegaConf.update(config, "refine", refine, force_add=True)
    tuned = {"tau": 0.3, "eps": 0.015, "min_samples": 40}
    segmenter: Segmenter = build(config, "segmenter").resolved(16, tuned)
    random = torch.Generator().manual_seed(0)
    image, features = 255 * torch.rand(3, 64, 64, generator=random), torch.randn(256, 8, generator=random)
    truth = torch.randint(-1, 5, (64, 64), generator=random)

    def scene(seed: int) -> Scene:
        return Scene(
            aggregated=smooth(16, seed), size=(64, 64), true_classes=5, features=features, image=image, truth=truth
        )

    first = segmenter(scene(1))
    np.random.seed(1)  # noqa: NPY002 - what scikit-learn falls back to
    torch.manual_seed(1)
    segmenter(scene(2))
    assert torch.equal(segmenter(scene(1)), first)
    assert (first.shape, first.dtype) == ((64, 64), torch.int64)


def test_the_18_rows_take_nothing_from_tuned_defaults() -> None:
    rows = rows_of("experiment=segmenters_18")
    assert len(rows) == 18
    for row in rows:
        assert build(row.composed.segmenter, "segmenter").resolved(32, {"clusters": 6}) == row.segmenter


def test_tuning_gives_every_method_twelve_values_on_an_even_logarithmic_axis() -> None:
    settings: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of("experiment=tune"):
        settings.setdefault(row.name, []).append({**row.composed.segmenter, **row.composed.backbone})
    single = [name for name, points in settings.items() if len(points) == 1]
    assert single == ["NCut, automatic threshold", "AutoSC", "Spectral, automatic k"]
    for name in settings.keys() - set(single):
        (varying,) = (key for key in settings[name][0] if len({str(point[key]) for point in settings[name]}) > 1)
        values = np.array([float(point[varying]) for point in settings[name]])
        grid = np.sort(1 - values if name in SIMILARITIES else values)
        expected = np.geomspace(grid[0], grid[-1], 12)
        rounding = 0.51 if varying in ("clusters", "min_cluster_size") else 0.03 * expected
        assert (np.abs(grid - expected) <= rounding).all(), name
