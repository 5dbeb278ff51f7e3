"""Builds backbones and segmenters by name. The YAML files of ``conf/`` hold all their settings. Imports no torch.

A user's folder in the layout of ``conf/`` (``backbone/NAME.yaml``, ``segmenter/NAME.yaml``) adds parts to them.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from diffseg.paths import expanded

Group = Literal["backbone", "segmenter"]

ENVIRONMENT = re.compile(r"\$\{oc\.env:(\w+)(?:,([^}]*))?\}")
"""OmegaConf's reference to an environment variable, with an optional default."""


def conf_folder() -> Path:
    """Folder of the YAML files: inside the installed package, or beside it in a checkout."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "conf"


def names(group: Group, extra: str | Path | None = None) -> list[str]:
    """Names of all parts of a group, sorted. ``extra``: a user's folder in the layout of ``conf/``."""
    return sorted({path.stem for folder in _folders(group, extra) for path in folder.glob("*.yaml")})


def read(group: Group, name: str, extra: str | Path | None = None) -> dict[str, Any]:
    """Settings of a part. Those of its YAML file override those of the parts in its ``defaults``.

    Args:
        group: group of the part.
        name: name of the part.
        extra: see `names`.

    Returns:
        ``_target_``, the class of the part, and its settings. Environment variables are filled in.

    Raises:
        ValueError: the part is unknown, or its file cannot be used.
    """
    return _resolved(_read(group, name, extra, ()), f"{group}={name}")


@dataclass(frozen=True)
class About:
    """The comments of a part's YAML file.

    Attributes:
        summary: the comment at the top of the file, up to its first full stop.
        settings: setting -> the comment beside it, inherited settings included.
    """

    summary: str
    settings: Mapping[str, str]


def about(group: Group, name: str, extra: str | Path | None = None) -> About:
    """Reads the comments of a part's file. Raises ValueError as `read` does."""
    text = _file(group, name, extra).read_text(encoding="utf-8")
    opening = re.match(r"(?:#.*\n)*", text)
    lines = [line.removeprefix("#").strip() for line in opening[0].splitlines()] if opening else []
    summary = re.split(r"(?<![A-Z])\.(?:\s|$)", " ".join(lines), maxsplit=1)[0]
    parents = [parent for parent in _content(group, name, extra).get("defaults", []) if parent != "_self_"]
    inherited = {key: what for parent in parents for key, what in about(group, parent, extra).settings.items()}
    return About(summary, {**inherited, **dict(re.findall(r"^(\w+):[^#\n]*# *(.*)$", text, re.MULTILINE))})


def kind_of(settings: Mapping[str, Any]) -> type:
    """Class that ``_target_`` names. Raises ValueError if it cannot be imported."""
    target = str(settings.get("_target_", ""))
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # a module may raise anything while it is imported
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"_target_: {target or 'is missing; it'} must be an importable class ({reason})") from error


def build(settings: Mapping[str, Any]) -> Any:
    """Builds a part from the settings that `read` returns.

    Raises:
        ValueError: a setting is unknown, or its value has the wrong type or range. The message begins with its name.
    """
    kind = kind_of(settings)
    values = {name: value for name, value in settings.items() if name != "_target_"}
    known = [each.name for each in fields(kind)]
    for name in values:
        if name not in known:
            raise ValueError(f"{name}: {kind.__name__} has no such setting{nearest(name, known)}")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def choose(group: Group, part: Any, extra: str | Path | None, settings: Mapping[str, Any]) -> Any:
    """A part by its name, or the part itself, with some settings replaced.

    Args:
        group: group of the part.
        part: its name, or the built part.
        extra: see `names`.
        settings: name -> value.

    Raises:
        ValueError: see `read` and `build`.
    """
    if isinstance(part, str):
        return build({**read(group, part, extra), **settings})
    if not settings:
        return part
    target = f"{type(part).__module__}.{type(part).__qualname__}"
    return build({"_target_": target, **{each.name: getattr(part, each.name) for each in fields(part)}, **settings})


def explain(error: ValidationError) -> str:
    """Message about the first wrong setting: one line that begins with its name."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # raised by the part: "field: must be ..."
        return str(first["ctx"]["error"])
    messages = [each["msg"].split(", unable to parse")[0].replace("tuple", "list") for each in error.errors()]
    reasons = " or ".join(dict.fromkeys(message[0].lower() + message[1:] for message in messages))
    where = f"{first['loc'][0]}: " if first["loc"] else ""
    return f"{where}{reasons}, got {first['input']!r}"


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Ends a message about an unknown name: with ``prefix`` and the most similar known name, else all known names."""
    near = difflib.get_close_matches(name, known := sorted(known), n=1)
    if not known:
        return "; it has none"
    return f"; did you mean {prefix}{near[0]}?" if near else f"; known: {', '.join(known)}"


def _folders(group: Group, extra: str | Path | None) -> list[Path]:
    folders = [conf_folder() / group]
    if extra is not None:
        if not expanded(extra).is_dir():
            raise ValueError(f"{extra}: is not a folder; give one with backbone/NAME.yaml or segmenter/NAME.yaml")
        folders.append(expanded(extra) / group)
    return folders


def _read(group: Group, name: str, extra: str | Path | None, readers: tuple[str, ...]) -> dict[str, Any]:
    """`read` without environment variables filled in. ``readers``: the parts whose ``defaults`` led to this one."""
    if name in readers:
        raise ValueError(f"{group}={name}: its defaults lead back to itself")
    content = _content(group, name, extra)
    file = _file(group, name, extra)
    parents = content.pop("defaults", [])
    if not isinstance(parents, list) or not all(isinstance(each, str) for each in parents):
        raise ValueError(f"{file}: defaults: must list names of the group {group}, got {parents!r}")
    merged: dict[str, Any] = {}
    for parent in parents if "_self_" in parents else [*parents, "_self_"]:
        _merge(merged, content if parent == "_self_" else _read(group, parent, extra, (*readers, name)))
    return merged


def _file(group: Group, name: str, extra: str | Path | None) -> Path:
    for folder in _folders(group, extra):
        if (file := folder / f"{name}.yaml").is_file():
            return file
    raise ValueError(f"{group}: there is no {name!r}{nearest(name, names(group, extra))}")


def _content(group: Group, name: str, extra: str | Path | None) -> dict[str, Any]:
    """Content of a part's file alone, without its ``defaults``."""
    file = _file(group, name, extra)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file}: must hold keys and values")
    return content


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _resolved(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(each, f"{where}: {key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, where) for each in value]
    if not isinstance(value, str):
        return value
    resolved = ENVIRONMENT.sub(lambda match: _variable(match, where), value)
    if "${" in resolved:
        raise ValueError(f"{where}: only ${{oc.env:VARIABLE,default}} can be filled in, got {value}")
    return resolved


def _variable(match: re.Match[str], where: str) -> str:
    value = os.environ.get(match[1], match[2])
    if value is None:
        raise ValueError(f"{where}: the environment variable {match[1]} is not set")
    return value
