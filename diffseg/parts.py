"""Builds backbones and segmenters by name. The YAML files of ``conf/`` hold all their settings. Imports no torch.

A user's folder in the layout of ``conf/`` (``backbone/NAME.yaml``, ``segmenter/NAME.yaml``) can add more.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from diffseg.files.paths import expanded
from diffseg.limits import adapter, explain
from diffseg.texts import on_one_line

Group = str
"""Name of a folder of ``conf/``, such as ``backbone``."""

ENVIRONMENT = re.compile(r"\$\{oc\.env:(\w+)(?:,([^}]*))?\}")
"""OmegaConf's reference to an environment variable, with an optional default."""


def conf_folder() -> Path:
    """Folder of the YAML files: inside the installed package, or beside it in a checkout."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "conf"


def names(group: Group, config_dir: str | Path | None = None) -> list[str]:
    """Names of all parts of a group, sorted. ``config_dir``: a user's folder in the layout of ``conf/``."""
    return sorted({path.stem for folder in _folders(group, config_dir) for path in folder.glob("*.yaml")})


def read(group: Group, name: str, config_dir: str | Path | None = None) -> dict[str, Any]:
    """Settings of a part, and its class as ``_target_``. Those of its YAML file override those of its ``defaults``.

    Environment variables are filled in. Raises ValueError if the part is unknown, or its file cannot be used.
    """
    return _resolved(read_unresolved(group, name, config_dir), f"{group}={name}")


def find_modules_beside(config_dir: str | Path) -> None:
    """Makes the modules beside a user's folder importable, after those on PYTHONPATH."""
    folder = str(expanded(config_dir).resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)


def kind_of(settings: Mapping[str, Any], prefix: str = "") -> Any:
    """Dataclass that ``_target_`` names. Raises ValueError if it cannot be imported, or is no dataclass."""
    target = settings.get("_target_")
    module, _, name = str(target).rpartition(".")
    try:
        kind = getattr(import_module(module), name)
        fields(kind)
    except Exception as error:  # a module may raise anything while it is imported
        reason = f"{type(error).__name__}: {on_one_line(error)}"
        lost = isinstance(error, ModuleNotFoundError) and error.name == module.split(".")[0]
        remedy = "; put its folder on PYTHONPATH, or the module beside the folder of --config-dir" if lost else ""
        raise ValueError(f"{prefix}_target_: must name a dataclass, got {target} ({reason}){remedy}") from error
    return kind


@cache
def keys_of(target: str, prefix: str = "") -> tuple[str, ...]:
    """The keys that a part takes: the fields of the class ``target``. ``prefix`` begins the message of an error.

    They are read from its source if possible. An import would take seconds, because most segmenters import torch.

    >>> keys_of("diffseg.segmenters.slic.SLIC")
    ('refine', 'clusters', 'compactness')
    """
    module, _, name = target.rpartition(".")
    declared = _declared_fields(module, name)
    if declared is None:
        declared = [field.name for field in fields(kind_of({"_target_": target}, prefix))]
    return tuple(declared)


def _declared_fields(module: str, name: str) -> Collection[str] | None:
    """Fields of a dataclass and its bases, from the source; None if it does not say them."""
    try:
        spec = find_spec(module)
        tree = ast.parse(Path((spec and spec.origin) or "").read_text(encoding="utf-8"))
    except (ImportError, OSError, ValueError, SyntaxError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _declared_fields(node.module, alias.name)
        if isinstance(node, ast.ClassDef) and node.name == name:
            declared: dict[str, None] = {}
            for base in node.bases:
                inherited = _declared_fields(module, base.id) if isinstance(base, ast.Name) else None
                if inherited is None:
                    return None
                declared |= dict.fromkeys(inherited)
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and not ast.unparse(line.annotation).startswith("ClassVar"):
                    declared[ast.unparse(line.target)] = None
            return declared
    return None


def build(settings: Mapping[str, Any], key: str = "") -> Any:
    """Builds a part from the settings that `read` returns. ``key``: their path in a configuration.

    Raises ValueError if a setting is unknown, or its value has the wrong type or range. The message begins with ``key``
    and the name of the setting.
    """
    prefix = f"{key}." if key else ""
    kind = kind_of(settings, prefix)
    values = {name: value for name, value in settings.items() if name != "_target_"}
    check_keys(settings, prefix, [field.name for field in fields(kind)])
    try:
        return adapter(kind).validate_python(values)
    except ValidationError as error:
        raise ValueError(f"{prefix}{explain(error)}") from error


def check_keys(settings: Mapping[str, Any], prefix: str = "", known: Collection[str] | None = None) -> None:
    """Raises ValueError if a part has no such key. ``prefix``: of keys in messages; ``known``: see `keys_of`."""
    target = str(settings["_target_"])
    known = keys_of(target, prefix) if known is None else known
    for name in settings:
        if name not in known and name != "_target_":
            owner = target.rpartition(".")[2]
            raise ValueError(f"{prefix}{name}: {owner} has no such key{nearest(name, known, prefix)}")


def choose(group: Group, part: Any, config_dir: str | Path | None, settings: Mapping[str, Any]) -> Any:
    """A part by its name, or the part itself, with some settings replaced. Raises as `read` and `build` do."""
    if isinstance(part, str):
        return build({**read(group, part, config_dir), **settings})
    if not settings:
        return part
    target = f"{type(part).__module__}.{type(part).__qualname__}"
    return build({"_target_": target, **{field.name: getattr(part, field.name) for field in fields(part)}, **settings})


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """End of a message about an unknown name: the most similar known names, after ``prefix``, or all names."""
    known = sorted(known)
    if not known:
        return "; it has none"
    near = [key for key in known if name and key.startswith(name)] or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {prefix}{' or '.join(near)}?" if near else f"; known: {', '.join(known)}"


def _folders(group: Group, config_dir: str | Path | None) -> list[Path]:
    """The project's folder of a group, and the user's."""
    folders = [conf_folder() / group]
    if config_dir is not None:
        if not expanded(config_dir).is_dir():
            raise ValueError(f"{config_dir}: is not a folder; give one with backbone/NAME.yaml or segmenter/NAME.yaml")
        find_modules_beside(config_dir)
        folders.append(expanded(config_dir) / group)
    return folders


def read_unresolved(
    group: Group, name: str, config_dir: str | Path | None = None, readers: tuple[str, ...] = ()
) -> dict[str, Any]:
    """`read` without environment variables filled in. ``readers``: the parts whose ``defaults`` led to this one."""
    files = [folder / f"{name}.yaml" for folder in _folders(group, config_dir)]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ValueError(f"{group}: there is no {name!r}{nearest(name, names(group, config_dir))}")
    if name in readers:
        raise ValueError(f"{group}={name}: its defaults lead back to itself")
    content = read_yaml(file)
    parents = content.pop("defaults", [])
    if group == "experiment" and isinstance(parents, list):  # its defaults choose parts of other groups, too
        chosen = [parent for parent in parents if isinstance(parent, dict)]
        content["defaults"] = {key: choice for choices in chosen for key, choice in choices.items()}
        parents = [parent for parent in parents if parent not in chosen]
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise ValueError(f"{file}: defaults: must list names of the group {group}, got {parents!r}")
    settings: dict[str, Any] = {}
    for parent in parents if "_self_" in parents else [*parents, "_self_"]:
        own = parent == "_self_"
        settings = merged(settings, content if own else read_unresolved(group, parent, config_dir, (*readers, name)))
    return settings


def read_yaml(file: Path) -> dict[str, Any]:
    """Content of a YAML file. Raises ValueError unless it holds keys and values."""
    try:
        content = load_yaml(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from None
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{file}: is not valid YAML ({place}{error.problem})") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:  # the reader of YAML raises the second kind, too
        raise ValueError(f"{file}: is not UTF-8 text ({on_one_line(error)}); save it as UTF-8") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file}: must hold keys and values")
    return content


def load_yaml(text: str | bytes) -> Any:
    """Content of a YAML text: plain values only, as `yaml.safe_load` reads them.

    libyaml's loader, where it is installed, is ten times faster. Raises yaml.YAMLError if the text is not valid.
    """
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text).get_single_data()


def merged(old: Any, new: Any) -> Any:
    """``new``; of two mappings, the union, merged key by key."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}


def _resolved(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, where) for item in value]
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
