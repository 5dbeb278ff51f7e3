"""The segmenters that the page offers, their settings, and the range of each setting.

Names, values and descriptions come from the YAML files in ``conf/segmenter``. The range of a setting is found by trying
values: a segmenter raises ValueError for a value that it does not accept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import floor, log10
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from diffseg import parts
from diffseg.backbones import Backbone
from diffseg.segmenters.base import Segmenter, needs_truth, resolve

SPAN = 4  # largest value of a range, in multiples of the default
FEWEST_STEPS = 100  # steps in the range of a fraction, at least
LARGE_INT = 20  # largest value of the range of a whole number, at least

FIRST = "diffseg"


@dataclass(frozen=True)
class Knob:
    """A numeric setting, shown as a slider.

    Attributes:
        name: name of the setting.
        about: its description in the YAML file.
        low, high, step: its range; all int, or all float.
        default: within the range.
    """

    name: str
    about: str
    low: float
    high: float
    step: float
    default: float


@dataclass(frozen=True)
class Choice:
    """A setting with a few values, shown as a drop-down.

    Attributes:
        name, about: as for `Knob`.
        options: the values.
        default: one of them.
    """

    name: str
    about: str
    options: tuple[str | bool, ...]
    default: str | bool


@dataclass(frozen=True)
class Offer:
    """A segmenter that the page offers.

    Attributes:
        name: name of its YAML file.
        about: its description in the YAML file, one sentence.
        settings: the content of the YAML file.
        knobs, choices: the settings that the page lets a user change.
    """

    name: str
    about: str
    settings: Mapping[str, Any]
    knobs: tuple[Knob, ...] = ()
    choices: tuple[Choice, ...] = ()

    @property
    def defaults(self) -> dict[str, Any]:
        """Setting -> its value when the page opens."""
        return {each.name: each.default for each in self.knobs} | {each.name: each.default for each in self.choices}

    def segmenter(self, values: Mapping[str, Any], spec: Backbone) -> Segmenter:
        """The segmenter with these values for this backbone. Raises ValueError for a value out of range."""
        built: Segmenter = parts.build({**self.settings, **values})
        return resolve(built, spec)


def offers(spec: Backbone, config_dir: str | Path | None = None) -> dict[str, Offer]:
    """Name -> offer, DiffSeg first, for every segmenter that needs only a picture and this backbone.

    Args:
        spec: the backbone.
        config_dir: a user's folder in the layout of ``conf/``.
    """
    names = sorted(parts.names("segmenter", config_dir), key=lambda name: (name != FIRST, name))
    found = {name: _offer(name, spec, config_dir) for name in names}
    return {name: offer for name, offer in found.items() if offer is not None}


def _offer(name: str, spec: Backbone, config_dir: str | Path | None) -> Offer | None:
    """The offer of a segmenter; None if it needs the ground truth, or cannot be built for this backbone."""
    about = parts.about("segmenter", name, config_dir)
    bare = Offer(name, about.summary, parts.read("segmenter", name, config_dir))
    if (start := _start(bare, spec)) is None or needs_truth(start):
        return None
    hints = get_type_hints(type(start))
    knobs: list[Knob] = []
    choices: list[Choice] = []
    for each in fields(start):  # type: ignore[arg-type]
        value, explained = getattr(start, each.name), about.settings.get(each.name, "")
        options = (False, True) if isinstance(value, bool) else _literals(hints[each.name])
        if value in options and len(options) > 1:
            choices.append(Choice(each.name, explained, options, value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            low, high, step = _range(bare, spec, _values(start), each.name)
            if low < high:
                knobs.append(Knob(each.name, explained, low, high, step, value))
    return Offer(name, about.summary, bare.settings, tuple(knobs), tuple(choices))


def _start(offer: Offer, spec: Backbone) -> Segmenter | None:
    """The segmenter with the values of its file, whole numbers halved until it accepts them; None if it never does."""
    values: dict[str, Any] = {}
    while (built := _built(offer, spec, values)) is None:
        given = {**offer.settings, **values}
        smaller = [{name: value // 2} for name, value in given.items() if type(value) is int and value > 1]
        helping = next((each for each in smaller if _built(offer, spec, {**values, **each})), None)
        if helping is None:
            if not smaller:
                return None
            helping = max(smaller, key=lambda each: max(each.values()))
        values |= helping
    return built


def _built(offer: Offer, spec: Backbone, values: Mapping[str, Any]) -> Segmenter | None:
    try:
        return offer.segmenter(values, spec)
    except ValueError:
        return None


def _values(segmenter: Segmenter) -> dict[str, Any]:
    return {each.name: getattr(segmenter, each.name) for each in fields(segmenter)}  # type: ignore[arg-type]


def _range(offer: Offer, spec: Backbone, values: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    """Smallest and largest value of a setting that the segmenter accepts, and the step between values."""
    default = values[name]

    def taken(value: float) -> bool:
        return _built(offer, spec, {**values, name: value}) is not None

    if isinstance(default, int):
        low = next(value for value in range(default + 1) if taken(value))
        bad = max(LARGE_INT, SPAN * default) + 1
        good = default
        while bad - good > 1:  # bisection for the largest whole number that is accepted
            middle = (good + bad) // 2
            good, bad = (middle, bad) if taken(middle) else (good, middle)
        return low, good, 1
    span = SPAN * abs(default) or 1.0
    digits = -floor(log10(span / FEWEST_STEPS))
    step = 10.0**-digits
    low_steps, high_steps = (1, round(span / step)) if default > 0 else (-round(span / step), round(span / step))
    while not taken(round(high_steps * step, digits)) and high_steps * step > default:
        high_steps -= 1
    while not taken(round(low_steps * step, digits)) and low_steps * step < default:
        low_steps += 1
    return round(low_steps * step, digits), round(high_steps * step, digits), round(step, digits)


def _literals(hint: Any) -> tuple[str, ...]:
    """The strings that a type hint allows."""
    if get_origin(hint) is Literal:
        return tuple(value for value in get_args(hint) if isinstance(value, str))
    return tuple(text for part in get_args(hint) for text in _literals(part))
