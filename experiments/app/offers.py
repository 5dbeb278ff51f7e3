"""The segmenters that the page offers. Their settings, limits and descriptions are those declared in their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import floor, log10
from pathlib import Path
from typing import Any

from diffseg import parts
from diffseg.backbones import Backbone
from diffseg.limits import Setting, settings_of
from diffseg.segmenters.base import ReadsFiles, Segmenter, needs_truth, resolve

SPAN = 4  # largest value of a slider without a declared limit, in multiples of the default
FEWEST_STEPS = 100  # steps of a slider for fractions, at least
LARGE_INT = 20  # largest value of a slider for whole numbers without a declared limit, at least
MOST_STEPS = 2000  # steps of a slider; a limit beyond them, such as that of a seed, is not its end
FIRST = "diffseg"


@dataclass(frozen=True)
class Offer:
    """A segmenter that the page offers.

    Attributes:
        name: name of its YAML file.
        about: first line of its docstring.
        content: content of the YAML file.
        settings: its settings; the defaults are the values for the backbone.
    """

    name: str
    about: str
    content: Mapping[str, Any]
    settings: tuple[Setting, ...]

    def segmenter(self, values: Mapping[str, Any], spec: Backbone) -> Segmenter:
        """The segmenter with these values for this backbone. Raises ValueError for a value out of range."""
        built: Segmenter = parts.build({**self.content, **values})
        return resolve(built, spec)


def offers(spec: Backbone, config_dir: str | Path | None = None) -> dict[str, Offer]:
    """Name -> offer, DiffSeg first, for every segmenter that needs only a picture and this backbone.

    Args:
        spec: the backbone.
        config_dir: a user's folder in the layout of ``conf/``.
    """
    names = sorted(parts.names("segmenter", config_dir), key=lambda name: (name != FIRST, name))
    known = {name: _offer(name, spec, config_dir) for name in names}
    return {name: offer for name, offer in known.items() if offer is not None}


def _offer(name: str, spec: Backbone, config_dir: str | Path | None) -> Offer | None:
    """The offer of a segmenter; None if it needs the ground truth or files, or cannot be built for this backbone."""
    content = parts.read("segmenter", name, config_dir)
    kind = parts.kind_of(content)
    offer = Offer(name, str(kind.__doc__).partition("\n")[0].strip(), content, tuple(settings_of(kind)))
    # A small backbone may have fewer locations than the default number of anchors or neighbours.
    counts = {one.name: min(one.default, max(spec.sides)) for one in offer.settings if type(one.default) is int}
    for values in ({}, counts):
        try:
            start: Any = offer.segmenter(values, spec)
        except ValueError:
            continue
        if needs_truth(start) or isinstance(start, ReadsFiles):
            return None
        return replace(offer, settings=tuple(replace(one, default=getattr(start, one.name)) for one in offer.settings))
    return None


def slider_range(setting: Setting) -> tuple[float, float, float] | None:
    """Smallest value, largest value and step of a slider; None if the setting is no number.

    They lie within the declared limits. A segmenter may still refuse a value that does not fit its other settings.
    """
    default = setting.default
    if isinstance(default, bool) or not isinstance(default, int | float):
        return None
    whole, low, high = isinstance(default, int), setting.low, setting.high
    span = max(LARGE_INT, SPAN * default) if whole else SPAN * abs(default) or 1.0
    # Digits after the point: enough for the steps, and to show the default as it is.
    digits = 0 if whole else max(-floor(log10(span / FEWEST_STEPS)), len(f"{default:g}".partition(".")[2]))
    step = 1 if whole else 10.0**-digits
    first = low if low is not None else min(0, -span if default < 0 else 0)
    last = high if high is not None and high - first <= MOST_STEPS * step else span
    ends = (first + step * setting.open_low, last - step * (setting.open_high and last == high), step)
    return tuple(map(int, ends)) if whole else tuple(round(end, digits) for end in ends)  # type: ignore[return-value]
