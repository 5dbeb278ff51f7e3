"""The page offers the parts of conf/, and every offered value works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffseg import parts
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT
from diffseg.segmenters.diffseg import DiffSeg
from experiments.app.offers import FIRST, offers
from experiments.app.study import Study
from tests.helpers.random_attention import PROPORTIONAL, Random, picture


def preset(name: str, **settings: int) -> Any:
    return parts.choose("backbone", name, None, settings)


SMALL = preset("dinov2_small", size=112)


@pytest.mark.parametrize("spec", [SMALL, preset("dinov2_small"), preset("sd14")], ids=["small", "dinov2", "sd14"])
def test_settings_start_as_on_the_command_line(spec: ViT | StableDiffusion) -> None:
    known = offers(spec)
    side = max(spec.sides)
    assert next(iter(known)) == FIRST
    for offer in known.values():
        for knob in offer.knobs:
            assert len({type(value) for value in (knob.low, knob.high, knob.step, knob.default)}) == 1
            assert knob.low <= knob.default <= knob.high
        for choice in offer.choices:
            assert choice.default in choice.options
    started = known[FIRST].segmenter(known[FIRST].defaults, spec)
    tau = spec.tuned["diffseg"]["tau"]["default"]
    assert started == DiffSeg(tau, min(16, side), 3).resolved(side, {})
    assert known["dbscan"].defaults.items() >= spec.tuned["dbscan"].items()


def test_all_segmenters_that_need_only_a_picture_are_offered() -> None:
    assert set(parts.names("segmenter")) - set(offers(SMALL)) <= {"oracle", "kmeans_s", "files"}
    described = {knob.name: knob.about for knob in offers(SMALL)[FIRST].knobs}
    assert described["tau"].startswith("threshold in nats")


def test_ranges_end_at_the_limits_of_the_segmenter() -> None:
    knobs = {
        knob.name: knob for offer in ("diffseg", "hdbscan", "agglomerative") for knob in offers(SMALL)[offer].knobs
    }
    assert (knobs["anchors"].low, knobs["anchors"].high) == (1, 8)
    assert knobs["min_cluster_size"].low == 2
    spec = preset("dinov2_small")
    tau = next(knob for knob in offers(spec)["diffseg"].knobs if knob.name == "tau")
    assert (tau.low, tau.high, tau.step, tau.default) == (0.01, 1.2, 0.01, 0.3)


@pytest.mark.parametrize("name", [name for name in parts.names("segmenter") if name in offers(SMALL)])
def test_every_offer_runs_at_the_ends_of_its_ranges(name: str) -> None:
    offer, found = offers(SMALL)[name], Study(picture(30, 50), Random())
    ends = [offer.defaults | {knob.name: value} for knob in offer.knobs for value in (knob.low, knob.high)]
    for values in (offer.defaults, *ends):
        labels = found.segment(offer.segmenter(values, SMALL), PROPORTIONAL).labels
        assert labels.shape == (30, 50)
        areas = np.bincount(labels.ravel())
        assert areas.min() > 0
        assert (np.diff(areas) <= 0).all()


def test_a_segmenter_of_the_user_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "segmenter").mkdir(parents=True)
    text = (
        "# Cuts at a column. And more.\n_target_: my_column.Column\nat: 10   # the column\nside: left  # left, right\n"
    )
    (tmp_path / "conf" / "segmenter" / "column.yaml").write_text(text)
    (tmp_path / "my_column.py").write_text(
        "from dataclasses import dataclass\n"
        "from typing import Literal\n"
        "@dataclass(frozen=True)\n"
        "class Column:\n"
        "    at: int = 1\n"
        "    side: Literal['left', 'right'] = 'left'\n"
        "    def __post_init__(self):\n"
        "        if not 3 <= self.at <= 25:\n"
        "            raise ValueError('at: must be 3..25')\n"
        "    def resolved(self, side, tuned):\n"
        "        return self\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    offer = offers(SMALL, tmp_path / "conf")["column"]
    assert offer.about == "Cuts at a column"
    (knob,), (choice,) = offer.knobs, offer.choices
    assert (knob.name, knob.about, knob.low, knob.high, knob.default) == ("at", "the column", 3, 25, 10)
    assert (choice.name, choice.options, choice.default) == ("side", ("left", "right"), "left")
