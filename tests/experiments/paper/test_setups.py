"""The setups of the paper's figures, and the hash of their inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from diffseg.backbones.none import NoBackbone
from experiments.paper.setups import Setup, origin, setups


@dataclass(frozen=True)
class Backbone(NoBackbone):
    """A backbone whose weights lie in a folder."""

    path: str = "here"


def test_setups_are_those_of_the_paper() -> None:
    usual, fig4 = setups("sd14", None, None)
    assert (usual.spec.timestep, usual.tau) == (300, 1.1)
    assert (fig4.spec.timestep, fig4.tau) == (100, 1.0)
    usual, fig4 = setups("dinov2_small", None, None)
    assert usual.spec.sides == fig4.spec.sides == (64, 32, 16, 8)
    assert usual.tau == fig4.tau == usual.spec.tuned["diffseg"]["tau"]["default"]
    assert "(the paper's figure: Stable Diffusion" in fig4.title


def test_a_vit_has_the_sides_that_divide_its_finest() -> None:
    assert setups("dinov2_small", None, 112 * 7)[0].spec.sides == (56, 28, 14, 7)
    assert setups("dinov2_small", None, 14 * 6)[0].spec.sides == (6, 3)
    with pytest.raises(ValueError, match=r"^size: must be"):
        setups("dinov2_small", None, 100)


def test_the_hash_covers_all_inputs_but_the_place_of_the_weights() -> None:
    setup = Setup(Backbone(size=64), 0.3, "title")
    photo = np.zeros((2, 3, 3), np.uint8)

    def of(photos: Any = (("a", photo),), fig4: Setup = setup, where: tuple[float, float] = (0.5, 0.5)) -> str:
        return origin(dict(photos), (setup, fig4), where)

    elsewhere = replace(setup, spec=Backbone(size=64, path="elsewhere"))
    assert of() == of() == of(fig4=elsewhere)
    changed = [
        of([("b", photo)]),
        of([("a", photo + 1)]),
        of([("a", photo.reshape(3, 2, 3))]),
        of(fig4=replace(setup, tau=0.4)),
        of(fig4=replace(setup, spec=Backbone(size=65))),
        of(fig4=replace(setup, title="another")),
        of(where=(0.5, 0.6)),
    ]
    assert len({of(), *changed}) == 1 + len(changed)
