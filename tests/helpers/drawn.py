"""What a plot shows."""

from __future__ import annotations

from matplotlib.axes import Axes


def drawn_lines(axis: Axes) -> dict[str, tuple[list[float], list[tuple[float, float]]]]:
    """Label -> heights of the points, and the ends of their bars."""
    lines = {}
    for container in axis.containers:
        line, _, (bars,) = container.lines
        ends = [(low, high) for (_, low), (_, high) in bars.get_segments()]
        lines[container.get_label()] = (list(line.get_ydata()), ends)
    return lines
