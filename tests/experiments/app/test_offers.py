"""The page offers the parts of conf/, and every offered value works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diffseg import parts
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT
from diffseg.limits import Setting
from diffseg.segmenters.diffseg import DiffSeg
from experiments.app.offers import FIRST, Offer, offers, slider_range
from experiments.app.study import Study
from tests.helpers.random_attention import PROPORTIONAL, Random, picture


def preset(name: str, **settings: int) -> Any:
    return parts.choose("backbone", name, None, settings)


SMALL = preset("dinov2_small", size=112)


def defaults(offer: Offer) -> dict[str, Any]:
    return {one.name: one.default for one in offer.settings}


def ranges(offer: Offer) -> dict[str, tuple[float, float, float]]:
    return {one.name: ends for one in offer.settings if (ends := slider_range(one)) is not None}


@pytest.mark.parametrize("spec", [SMALL, preset("dinov2_small"), preset("sd14")], ids=["small", "dinov2", "sd14"])
def test_settings_start_as_on_the_command_line(spec: ViT | StableDiffusion) -> None:
    known = offers(spec)
    assert next(iter(known)) == FIRST
    for offer in known.values():
        for name, (low, high, step) in ranges(offer).items():
            assert len({type(value) for value in (low, high, step, defaults(offer)[name])}) == 1
            assert low <= defaults(offer)[name] <= high
        for one in offer.settings:
            assert one.default in one.options or not one.options
    started = known[FIRST].segmenter(defaults(known[FIRST]), spec)
    tau = spec.tuned["diffseg"]["tau"]["default"]
    assert started == DiffSeg(tau, min(16, max(spec.sides)), 3).resolved(max(spec.sides), {})
    assert defaults(known["dbscan"]).items() >= spec.tuned["dbscan"].items()


def test_all_segmenters_that_need_only_a_picture_are_offered() -> None:
    assert set(parts.names("segmenter")) - set(offers(SMALL)) <= {"oracle", "kmeans_s", "files", "ucm", "hed"}


def test_sliders_end_at_declared_limits_or_at_a_multiple_of_the_default() -> None:
    known = offers(preset("dinov2_small"))
    assert ranges(known["diffseg"])["anchors"] == (1, 64, 1)
    assert ranges(known["diffseg"])["iterations"] == (1, 20, 1)
    assert slider_range(Setting("tau", "", 0.3, low=0, open_low=True)) == (0.01, 1.2, 0.01)
    assert slider_range(Setting("tau", "", 0.259, low=0, open_low=True)) == (0.001, 1.036, 0.001)
    assert ranges(known["agglomerative"])["tau"][:2] == (-1, 1)
    assert ranges(known["hdbscan"])["min_cluster_size"][0] == 2
    assert ranges(known["kmeans_c"])["seed"] == (0, 20, 1)
    assert slider_range(Setting("count", "", 3, whole=True, low=1, high=32)) == (1, 32, 1)
    assert slider_range(Setting("share", "", 0.5, low=0, high=1, open_low=True, open_high=True)) == (0.01, 0.99, 0.01)


@pytest.mark.parametrize("name", [name for name in parts.names("segmenter") if name in offers(SMALL)])
def test_every_offer_runs_with_its_defaults_and_at_the_low_ends(name: str) -> None:
    offer, study = offers(SMALL)[name], Study(picture(30, 50), Random())
    lows = [defaults(offer) | {setting: low} for setting, (low, _, _) in ranges(offer).items()]
    for values in (defaults(offer), *lows):
        labels = study.segment(offer.segmenter(values, SMALL), PROPORTIONAL).labels
        assert labels.shape == (30, 50)
        areas = np.bincount(labels.ravel())
        assert areas.min() > 0
        assert (np.diff(areas) <= 0).all()
