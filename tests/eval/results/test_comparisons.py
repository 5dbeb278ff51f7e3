"""Changes between two rows of results, and their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eval.matching import Counts
from eval.metrics import resample_weights
from eval.results.comparisons import change, mean_interval


def counts(right: int, wrong: int) -> Counts:
    return Counts(np.array([right]), np.array([0]), np.array([wrong]), right + wrong)


def test_a_change_is_over_the_images_that_both_have() -> None:
    before = {"a": counts(1, 9), "b": counts(5, 5), "c": counts(0, 10)}
    after = {"b": counts(5, 5), "a": counts(3, 7), "d": counts(10, 0)}
    value, low, high = change(before, after)["acc"]
    assert value == pytest.approx(10)  # 6 of 20 pixels, then 8
    assert (low, high) == pytest.approx((0, 20))  # with b twice, and with a twice


def test_one_image_has_no_interval() -> None:
    for value, low, high in change({"a": counts(1, 9)}, {"a": counts(3, 7), "b": counts(1, 1)}).values():
        assert value == pytest.approx(20)
        assert np.isnan([low, high]).all()
    value, low, high = mean_interval(pd.Series([3.0, np.nan]))
    assert value == 3
    assert np.isnan([low, high]).all()


def test_mean_interval_is_a_bootstrap_over_the_known_images() -> None:
    values = pd.Series([3.0, np.nan, 8.0, 1.0, 5.0])
    drawn = resample_weights(4, 2000, 0)
    means = [np.repeat([3.0, 8.0, 1.0, 5.0], counts.astype(int)).mean() for counts in drawn]
    assert mean_interval(values) == pytest.approx((4.25, *np.quantile(means, [0.025, 0.975])))
