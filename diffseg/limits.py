"""Declared limits: the type of a field says which values it takes, and what it means. Imports no torch.

A setting is declared once: ``tau: Annotated[float, Field(gt=0, description="threshold in nats")]``. The declaration
checks a value and words the error (`check`, `Checked`), bounds a slider and fills help texts (`settings_of`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Seed of NumPy's and scikit-learn's generator of random numbers."""

BOUNDS = {
    "greater_than": "must be above {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than": "must be below {lt:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "multiple_of": "must be a multiple of {multiple_of:.12g}",
    "finite_number": "must be a finite number",
}
"""pydantic's type of an error -> message about a value outside its limits."""


@dataclass(frozen=True)
class Setting:
    """A field of a part, as declared.

    Attributes:
        name: name of the field.
        about: its description.
        default: its default; None: it is filled in later.
        options: the words that it takes; empty: other values.
        whole: True if its numbers are whole.
        low, high: declared limits of its numbers; None: no limit.
        open_low, open_high: True if the limit itself is not allowed.
    """

    name: str
    about: str
    default: Any
    options: tuple[str, ...] = ()
    whole: bool = False
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    @property
    def limits(self) -> str:
        """Its values in words, such as ``at least 1``; "" if all are allowed."""
        low = "" if self.low is None else f"{'above' if self.open_low else 'at least'} {self.low:.12g}"
        high = "" if self.high is None else f"{'below' if self.open_high else 'at most'} {self.high:.12g}"
        return ", ".join(filter(None, [*self.options, low, high]))


def check(**values: tuple[Any, Any]) -> None:
    """Checks arguments, name -> value and type with limits. Raises ValueError: one line that begins with the name.

    >>> check(clusters=(0, Count))
    Traceback (most recent call last):
    ValueError: clusters: must be at least 1, got 0
    """
    for name, (value, hint) in values.items():
        _valid(name, value, hint)


def _valid(name: str, value: Any, hint: Any) -> Any:
    """The value as its type has it: a list becomes a tuple. Raises ValueError as `check` does."""
    try:
        return adapter(hint).validate_python(value)
    except ValidationError as error:
        raise ValueError(explain(error, name)) from None


class Checked:
    """Base of the dataclasses whose fields are checked when one is built. Raises ValueError as `check` does."""

    def __post_init__(self) -> None:
        for name, hint in _hints(cast(Any, type(self))).items():
            object.__setattr__(self, name, _valid(name, getattr(self, name), hint))


def explain(error: ValidationError, name: str = "") -> str:
    """Describes the first wrong setting in one line: name ("": the error knows it), allowed values, value."""
    errors = error.errors()
    first = next((fault for fault in errors if fault["type"] in BOUNDS), errors[0])
    if first["type"] == "value_error":  # raised by the part: "field: must be ..."
        return str(first["ctx"]["error"])
    where = name or (str(first["loc"][0]) if first["loc"] else "")
    if first["type"] in BOUNDS:
        reason = BOUNDS[first["type"]].format(**first.get("ctx", {}))
    else:
        messages = [fault["msg"].split(", unable to parse")[0].replace("tuple", "list") for fault in errors]
        reason = " or ".join(dict.fromkeys(message[0].lower() + message[1:] for message in messages))
    return f"{where}{': ' if where else ''}{reason}, got {first['input']!r}"


def settings_of(kind: type) -> list[Setting]:
    """The settings of a part, a dataclass, in the order of its fields. They may lack limits and descriptions."""
    hints = _hints(kind)
    return [_setting(field.name, hints[field.name], field.default) for field in fields(kind)]


def settings_text(kind: type, prefix: str = "") -> list[str]:
    """A line for each setting of a part, for help texts: name after ``prefix``, default, values, meaning."""
    return [
        f"  {prefix}{one.name}={'null' if one.default is None else one.default}"
        f"{f' ({limits})' if (limits := one.limits) else ''}{': ' if one.about else ''}{one.about}"
        for one in settings_of(kind)
    ]


def _setting(name: str, hint: Any, default: Any) -> Setting:
    about = ""
    limits: dict[str, Any] = {}
    types = list(_parts_of(hint))
    for part in types:
        match part:
            case FieldInfo(description=str(text)):
                about = text
            case Gt(low) | Ge(low):
                limits |= {"low": low, "open_low": isinstance(part, Gt)}
            case Lt(high) | Le(high):
                limits |= {"high": high, "open_high": isinstance(part, Lt)}
    options = tuple(part for part in types if isinstance(part, str))
    return Setting(name, about, None if default is MISSING else default, options, int in types, **limits)


def _parts_of(hint: Any) -> Iterator[Any]:
    """The types, words and limits of which a type hint consists."""
    if isinstance(hint, FieldInfo):
        yield from hint.metadata
    if get_origin(hint) in (None, Literal):
        yield from (get_args(hint) or [hint])
    else:
        for part in (*get_args(hint), *getattr(hint, "__metadata__", ())):
            yield from _parts_of(part)


@cache
def adapter(hint: Any) -> TypeAdapter[Any]:
    """pydantic's checks of a type or a dataclass."""
    return TypeAdapter(hint)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Field -> its type with limits."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}
