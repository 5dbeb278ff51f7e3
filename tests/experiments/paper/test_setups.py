"""The setups of the paper's figures."""

from __future__ import annotations

import pytest

from experiments.paper.setups import setups


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
