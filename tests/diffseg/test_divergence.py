"""The divergence against a loop over pairs and entries, and its decisions near a threshold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from diffseg import reference, symmetric_kl
from diffseg.divergence import FLOOR, Logarithms, Precision, closer_than
from tests.helpers.attention import blocks


def naive_kl(p: NDArray, q: NDArray) -> float:
    """Eq. 5, one pair, entry by entry."""
    total = 0.0
    for a, b in zip(p.tolist(), q.tolist(), strict=True):
        log_a, log_b = np.log(max(a, FLOOR)), np.log(max(b, FLOOR))
        total += a * (log_a - log_b) + b * (log_b - log_a)
    return total / 2


maps_strategy = st.integers(0, 10_000).flatmap(
    lambda seed: st.tuples(st.just(seed), st.integers(1, 5), st.integers(1, 5), st.floats(0.1, 20))
)


@given(maps_strategy, st.booleans())
@settings(max_examples=60, deadline=None)
def test_symmetric_kl_equals_the_double_loop(case: tuple[int, int, int, float], zeros: bool) -> None:
    seed, n, m, scale = case
    generator = torch.Generator().manual_seed(seed)
    p, q = ((scale * torch.randn(rows, 12, generator=generator)).softmax(dim=1) for rows in (n, m))
    if zeros:
        p[:, 0], q[:, 1] = 0, 0
        p, q = p / p.sum(dim=1, keepdim=True), q / q.sum(dim=1, keepdim=True)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-9)):
        result = symmetric_kl(p.to(dtype), q.to(dtype))
        expected = [[naive_kl(a, b) for b in q.double().numpy()] for a in p.double().numpy()]
        np.testing.assert_allclose(reference.divergence(p.double(), q.double()), expected, atol=1e-12)
        assert result.dtype == dtype
        np.testing.assert_allclose(result.numpy(), expected, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(result, symmetric_kl(q.to(dtype), p.to(dtype)).T, atol=tolerance, rtol=tolerance)
        own = symmetric_kl(p.to(dtype), p.to(dtype)).diagonal()
        np.testing.assert_allclose(own.numpy(), 0, atol=tolerance)


def test_symmetric_kl_refuses_other_dtypes() -> None:
    maps = blocks()
    for p, q in ((maps.half(), maps.half()), (maps, maps.double())):
        with pytest.raises(ValueError, match="must both be float32 or both float64"):
            symmetric_kl(p, q)


@pytest.mark.parametrize("shape", [(16, 9), (16,)])
def test_symmetric_kl_refuses_maps_of_another_width(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^p, q: must be of shapes \(n, d\) and \(m, d\), got "):
        symmetric_kl(blocks(), torch.ones(shape))


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("float64", torch.float64)])
def test_logarithms_give_the_divergence_of_anchors_to_all_maps(precision: Precision, dtype: torch.dtype) -> None:
    maps, anchors = blocks(4, 1.0), torch.tensor([3, 0, 15])
    result = Logarithms(maps, precision).divergence(anchors)
    assert result.dtype == dtype
    torch.testing.assert_close(result.double(), reference.divergence(maps[anchors].double(), maps.double()))


def test_float16_loses_maps_that_underflow() -> None:
    maps = blocks()
    maps[0] = torch.eye(64)[0]  # zeros underflow
    divergence = Logarithms(maps, "float16").divergence(torch.tensor([0, 5]))
    assert bool(divergence[0].isnan().all())
    assert bool(divergence[1, 0].isnan())
    assert not bool(divergence[1, 1:].isnan().any())
    assert not bool(Logarithms(maps, "float32").divergence(torch.tensor([0, 5])).isnan().any())


def test_pairs_close_to_the_threshold_are_decided_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each given divergence is wrong by 5e-6, towards the other side of the threshold."""
    monkeypatch.setattr("diffseg.divergence.PAIRS_AT_ONCE", 7)
    maps, anchors = blocks(4, 1.0), torch.arange(0, 16, 3)
    exact = symmetric_kl(maps[anchors].double(), maps.double())
    tau = float(exact[1, 5]) * (1 + 1e-9)
    wrong = exact.float() + torch.where(exact < tau, 5e-6, -5e-6)
    assert not torch.equal(wrong < tau, exact < tau)
    assert torch.equal(closer_than(tau, wrong, maps, anchors), exact < tau)
