"""Draws figures like the paper's: attention maps (Fig. 2), aggregation weights (Fig. 4), examples (Fig. 5 to 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from diffseg import aggregate, segment
from diffseg.aggregation import Aggregation
from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.image import centre_crop, resize_image
from diffseg.pictures import Labels, Pixels, by_area, colourise, overlay
from diffseg.texts import counted
from eval.progress import Progress
from experiments.plotting.colours import channels_last
from experiments.plotting.drawing import COLOURS, add_heading

if TYPE_CHECKING:
    from experiments.figures import Setup

ANCHORS, ITERATIONS = 16, 3  # of the paper's benchmark (Table 3) and of Fig. 4
ALONE = ("finest", "half", "quarter")  # panels of Fig. 4 besides proportional weights
TILE, CAPTION = 1.6, 0.25  # inches
BRIGHT = 0.99  # quantile of an attention map that gets the brightest colour
FONT = 8  # points
TRIPLES_A_ROW = 2

SHOWN = 512  # side in pixels of the pictures


def draw(
    photos: Mapping[str, Pixels], setups: tuple[Setup, Setup], where: tuple[float, float], device: str
) -> dict[str, Figure]:
    """Draws all figures; returns name -> figure. Fig. 2 and 4 show the first photograph.

    Args:
        photos: name -> ``(h, w, 3)`` uint8 of any size; the centred square is taken.
        setups: the setup of Fig. 2 and 5 to 9, and that of Fig. 4.
        where: see `attention_maps`.
        device: as for `diffseg.backbones.Backbone.load`.
    """
    usual, fig4 = setups
    squares = {name: centre_crop(photo) for name, photo in photos.items()}
    shown = {name: channels_last(resize_image(photo, SHOWN).numpy()) for name, photo in squares.items()}
    first, *_ = squares
    figures, examples = {}, {}
    with Progress("the paper's figures", len(squares)) as bar:
        model = usual.spec.load(device)
        for name, photo in squares.items():
            maps = _attend(model, photo, usual)
            examples[name] = shown[name], segments_of(aggregate(maps.maps), usual.tau)
            if name == first:
                figures["attention_maps"] = attention_maps(shown[name], maps, usual.tau, where, usual.title)
                of_first = maps
            bar.advance(name)
    if fig4.spec != usual.spec:
        del model  # most machines have no memory for two models
        of_first = _attend(fig4.spec.load(device), squares[first], fig4)
    figures["aggregation_weights"] = aggregation_weights(shown[first], of_first, fig4.tau, fig4.title)
    return figures | {"examples": triples(examples, usual.title)}


def _attend(model: AttentionModel, photo: Pixels, setup: Setup) -> AttentionMaps:
    return model.attend(resize_image(photo, setup.spec.size)[None])[0]


def segments_of(aggregated: Tensor, tau: float) -> Labels:
    """DiffSeg's labels ``(SHOWN, SHOWN)`` of an aggregated tensor ``(S*S, S*S)``, the largest segment first."""
    side = round(len(aggregated) ** 0.5)
    labels = segment(aggregated, tau, min(ANCHORS, side), ITERATIONS, size=SHOWN)
    return by_area(labels.cpu().numpy())


def attention_maps(picture: Pixels, maps: AttentionMaps, tau: float, where: tuple[float, float], title: str) -> Figure:
    """Fig. 2: the segments, and the attention map of one location at each resolution and aggregated.

    Args:
        picture: ``(SHOWN, SHOWN, 3)`` uint8.
        maps: attention maps of this picture.
        tau: threshold in nats.
        where: the location, row and column as fractions of the side in [0, 1).
        title: names the model.
    """
    aggregated = aggregate(maps.maps)
    tiles = {_of(side): maps.maps[side] for side in sorted(maps.sides)} | {"aggregated": aggregated}
    figure, axes = _tiles(1, len(tiles) + 1)
    _show(axes[0][0], overlay(picture, segments_of(aggregated, tau)), "overlay")
    for axis, (name, attention) in zip(axes[0][1:], tiles.items(), strict=True):
        _show_map(axis, attention, where, name)
    axes[0][0].plot(where[1], where[0], "o", markersize=5, color="white", markeredgecolor="black")
    return add_heading(
        figure, title, "square: the cell of the location; dark: 0; bright: the 99th percentile and above"
    )


def aggregation_weights(picture: Pixels, maps: AttentionMaps, tau: float, title: str) -> Figure:
    """Fig. 4: the segments with proportional weights, and with one resolution alone. Arguments as `attention_maps`."""
    alone = dict(zip(ALONE, maps.sides, strict=False))
    choices = {"proportional": "proportional"} | {weights: f"{_of(side)} alone" for weights, side in alone.items()}
    figure, axes = _tiles(1, 1 + len(choices))
    _show(axes[0][0], picture, "input")
    for letter, axis, (weights, name) in zip("abcd", axes[0][1:], choices.items(), strict=False):
        labels = segments_of(Aggregation(weights)(maps), tau)
        _show(axis, overlay(picture, labels), f"({letter}) {name}\n{_count(labels)}")
    return add_heading(figure, title)


def triples(examples: Mapping[str, tuple[Pixels, Labels]], title: str) -> Figure:
    """Fig. 5 to 9: overlay, input and segmentation of each picture, as the paper orders them.

    Args:
        examples: name -> picture ``(SHOWN, SHOWN, 3)`` uint8 and labels ``(SHOWN, SHOWN)``.
        title: names the model.
    """
    columns = min(TRIPLES_A_ROW, len(examples))
    figure, axes = _tiles(-(-len(examples) // columns), 3 * columns)
    for axis in figure.axes:
        axis.set_axis_off()
    for number, (name, (picture, labels)) in enumerate(examples.items()):
        row, column = divmod(number, columns)
        left, middle, right = axes[row][3 * column : 3 * column + 3]
        _show(left, overlay(picture, labels), "overlay" if row == 0 else "")
        _show(middle, picture, f"input\n{name}" if row == 0 else name)
        _show(right, colourise(labels), f"segmentation\n{_count(labels)}" if row == 0 else _count(labels))
    return add_heading(figure, title)


def _count(labels: Labels) -> str:
    return counted(int(labels.max()) + 1, "segment")


def _of(side: int) -> str:
    return f"{side} x {side}"


def _tiles(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    figure = Figure((TILE * columns, (TILE + CAPTION) * rows + CAPTION), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).tolist()


def _show_map(axis: Axes, attention: Tensor, where: tuple[float, float], title: str) -> None:
    """Draws the attention map of the cell that contains ``where``, and a square around that cell."""
    side = round(len(attention) ** 0.5)
    row, column = (int(fraction * side) for fraction in where)
    values = attention[row * side + column].view(side, side).cpu().numpy()
    _show(axis, values, title, brightest=float(np.quantile(values, BRIGHT)))
    axis.add_patch(Rectangle((column / side, row / side), 1 / side, 1 / side, fill=False, color=COLOURS[1]))


def _show(axis: Axes, picture: NDArray, title: str, brightest: float | None = None) -> None:
    """Draws a picture or map of any side over the unit square, without smoothing."""
    axis.imshow(picture, cmap="viridis", extent=(0, 1, 1, 0), interpolation="nearest", vmin=0, vmax=brightest)
    axis.set_title(title, fontsize=FONT)
    axis.set_axis_off()
