"""The position tables of the authors of DINO and DINOv2, against NumPy written from their description."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffseg.backbones.vit_attention import authors_table
from tests.helpers.position_tables import interpolated


@pytest.mark.parametrize("registers", [False, True])
@pytest.mark.parametrize(("trained", "side"), [(37, 32), (37, 16), (37, 8), (28, 56), (28, 40), (4, 9), (16, 1)])
def test_tables_follow_the_formula(trained: int, side: int, registers: bool) -> None:
    table = torch.randn(1, 1 + trained**2, 3, generator=torch.Generator().manual_seed(side))
    expected = interpolated(table.numpy(), side, registers)
    np.testing.assert_allclose(authors_table(table, side, registers).numpy(), expected, atol=2e-5)


def test_the_size_of_the_training_leaves_the_table_as_it_is() -> None:
    table = torch.randn(1, 1 + 37**2, 4)
    assert authors_table(table, 37) is table


def test_half_precision_is_interpolated_in_float32() -> None:
    table = torch.randn(1, 1 + 37**2, 4).bfloat16()
    assert torch.equal(authors_table(table, 32), authors_table(table.float(), 32).bfloat16())
