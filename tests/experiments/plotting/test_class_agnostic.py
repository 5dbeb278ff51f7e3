"""The plot of the scores without classes."""

from __future__ import annotations

import numpy as np

from eval.results.columns import AGREEMENT
from experiments.plotting.class_agnostic import class_agnostic
from tests.helpers.made_up_results import grid, made_up


def test_class_agnostic_scores_are_shown_for_every_setting() -> None:
    results = made_up(*grid(tau=("0.5", "0.9")))
    figure = class_agnostic(results)
    rows = results.summary[results.summary["protocol"] == "official"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(rows["setting"])
    for axis, name in zip(figure.axes, AGREEMENT, strict=True):
        line, _, (bars,) = axis.containers[0].lines
        np.testing.assert_allclose(line.get_xdata(), rows[name])
        np.testing.assert_allclose(
            [segment[:, 0] for segment in bars.get_segments()], rows[[f"{name}_low", f"{name}_high"]]
        )
