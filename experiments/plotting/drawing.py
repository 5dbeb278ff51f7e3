"""Building blocks of plots: figures, lines, rows of points, heat maps, legends, and files.

Colour-blind readers can tell the colours apart (Okabe and Ito). Each line also has a different marker.
"""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from diffseg.files.writing import replacing
from eval.progress import Progress
from eval.settings import is_number
from eval.storage.files import make_folder, writing
from experiments.plotting.shown import sorted_values

Estimate = tuple[float, float, float]
"""A value and the ends of its interval."""
Lines = Mapping[str, Mapping[Hashable, Estimate]]
"""Name of the line -> value on the axis -> point. A single line has the name ""."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "0.6"
PANEL, ROW, MARGIN, LETTER, LINE = 2.9, 0.22, 1.0, 0.07, 0.16  # inches
CELL = 0.17  # inches
FEWEST_CELLS = 12  # a smaller heat map has larger cells, so that its heading fits
FONT = 8  # points
CHARACTERS = 14  # of a title, per inch
ALONG = 36  # characters that fit along a panel
TICKS = 8  # more values than this on a scaled axis get matplotlib's ticks
DODGE = 0.012  # distance between lines as a fraction of the axis, so that their intervals do not overlap
APART = 0.5  # width of the points at one value, as a fraction of the distance between values that are not numbers
DPI = 200


def new_figure(panels: int, rows: Sequence[str] = ()) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side. Without ``rows`` they are square; else ``rows`` are names on the y axis."""
    margin = LETTER * max(map(len, rows)) if rows else MARGIN
    figure = Figure((PANEL * panels + margin, ROW * len(rows) + MARGIN if rows else PANEL), layout="constrained")
    axes = figure.subplots(1, panels, sharey=bool(rows), squeeze=False)[0]
    if rows:
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
    for axis in axes:
        axis.tick_params(labelsize=FONT)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="0.9", linewidth=0.5)
        axis.set_axisbelow(True)
    return figure, list(axes)


def label_axes(axis: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Sets the title and the labels of both axes."""
    axis.set_title(title, fontsize=FONT + 1)
    axis.set_xlabel(x, fontsize=FONT)
    axis.set_ylabel(y, fontsize=FONT)


def add_heading(figure: Figure, *parts: str) -> Figure:
    """Joins the non-empty parts by semicolons, writes them above a figure, and returns the figure."""
    lines = textwrap.wrap("; ".join(filter(None, parts)), int(CHARACTERS * figure.get_figwidth()))
    figure.set_figheight(figure.get_figheight() + LINE * (len(lines) - 1))
    figure.suptitle("\n".join(lines), fontsize=FONT + 1, x=0.01, ha="left")
    return figure


def add_legend(figure: Figure, axis: Axes, title: str) -> None:
    """Draws the legend of an axis beside the panels, and widens the figure by it."""
    handles, labels = axis.get_legend_handles_labels()
    fonts: dict[str, Any] = {"fontsize": FONT, "title_fontsize": FONT}
    drawn = figure.legend(handles, labels, title=title, loc="outside right center", frameon=False, **fonts)
    width = drawn.get_window_extent().width / figure.dpi
    figure.set_figwidth(figure.get_figwidth() + max(width - MARGIN, 0))


def draw_lines(axis: Axes, lines: Lines, texts: Mapping[Hashable, str]) -> None:
    """Plots a numeric setting as a line on a scaled axis, other values as evenly spaced points, with intervals.

    Args:
        axis: the panel.
        lines: the points.
        texts: value on the axis -> text.
    """
    values = sorted_values(value for points in lines.values() for value in points)
    scaled = all(map(is_number, values))
    position = {value: float(value) if scaled else place for place, value in enumerate(values)}  # type: ignore[arg-type]
    step = DODGE * ((max(position.values()) - min(position.values())) or 1) if scaled else APART / len(lines)
    for number, ((name, points), colour, marker) in enumerate(
        zip(lines.items(), cycle(COLOURS), cycle(MARKERS), strict=False)
    ):
        order = [value for value in values if value in points]
        shift = (number - (len(lines) - 1) / 2) * step
        mean, low, high = np.array([points[value] for value in order]).T
        axis.errorbar(
            [position[value] + shift for value in order],
            mean,
            bar_lengths(mean, low, high),
            label=name,
            color=colour,
            marker=marker,
            markersize=4,
            linestyle="-" if scaled else "",
            linewidth=1.2,
            elinewidth=0.7,
            capsize=2,
        )
    if len(values) <= TICKS or not scaled:
        ticks = [texts[value] for value in values]
        slanted = not scaled and len(ticks) * max(map(len, ticks)) > ALONG
        turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if slanted else {}
        axis.set_xticks(list(position.values()), ticks, **turned)


def draw_rows(axis: Axes, estimates: Sequence[Estimate]) -> None:
    """Draws points with intervals, one per row from the top."""
    mean, low, high = np.array(estimates, dtype=float).reshape(-1, 3).T
    places, bars = np.arange(len(mean)), bar_lengths(mean, low, high)
    axis.errorbar(mean, places, xerr=bars, fmt="o", color=COLOURS[0], markersize=4, elinewidth=1, capsize=2)


def draw_cells(
    panels: Mapping[str, NDArray[np.float64]], rows: Sequence[str], columns: Mapping[str, Sequence[str]], unit: str
) -> Figure:
    """Draws heat maps side by side, from 0 to 100.

    Args:
        panels: title -> ``(rows, columns)`` numbers; NaN stays white.
        rows: names of the rows of all panels.
        columns: title -> names of the columns.
        unit: label of the colour bar.
    """
    widest = max(max(table.shape) for table in panels.values())
    cell = CELL * max(1, FEWEST_CELLS / widest)
    names = LETTER * max(len(name) for texts in (rows, *columns.values()) for name in texts)
    width = sum(cell * max(table.shape[1], 3) + names for table in panels.values()) + MARGIN
    figure = Figure((width, cell * len(rows) + names + MARGIN), layout="compressed")
    for axis, (title, table) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        drawn = axis.imshow(table, cmap="Blues", vmin=0, vmax=100, interpolation="nearest", aspect="auto")
        axis.set_xticks(range(len(columns[title])), columns[title], rotation=90, fontsize=FONT - 1)
        axis.set_yticks(range(len(rows)), rows, fontsize=FONT - 1)
        axis.set_title(title, fontsize=FONT + 1)
    bar = figure.colorbar(drawn, ax=figure.axes, shrink=0.6)
    bar.ax.tick_params(labelsize=FONT)
    bar.set_label(unit, fontsize=FONT)
    return figure


def bar_lengths(mean: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """Distances from the means to the ends of their intervals, ``(2, n)``, for matplotlib.

    An mIoU can lie outside its percentile interval, because resamples can miss classes. That side then has no bar.
    """
    mean, low, high = (np.asarray(values, dtype=float) for values in (mean, low, high))
    return np.maximum([mean - low, high - mean], 0)


# No date and no version, so that equal figures give equal bytes.
UNCHANGING: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save(figures: Mapping[str, Figure], out: Path) -> list[Path]:
    """Writes each figure atomically as ``NAME.png`` and ``NAME.pdf``. Equal figures give equal bytes.

    Args:
        figures: name -> figure.
        out: folder, made if missing.

    Raises:
        WriteError: a file cannot be written.
    """
    paths = []
    make_folder(out)
    # Fonts as TrueType, which publishers require.
    with matplotlib.rc_context({"pdf.fonttype": 42}), Progress("drawing", len(figures), unit="figure") as bar:
        for name, figure in figures.items():
            for kind, metadata in UNCHANGING.items():
                paths.append(out / f"{name}.{kind}")
                shape: dict[str, Any] = {"dpi": DPI, "bbox_inches": "tight", "pad_inches": 0.05}
                with writing(paths[-1]), replacing(paths[-1]) as temporary:
                    figure.savefig(temporary, format=kind, metadata=metadata, **shape)
            bar.advance(name)
    return paths
