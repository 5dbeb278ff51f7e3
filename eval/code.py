"""Names and hashes the code of a user's part, so that an edited part is evaluated again. Imports no torch.

The hash covers the ``.py`` files of the part's module and of the modules that it imports, directly or through each
other, as far as they lie in its top-level package or, for a single module, in its folder. Data files, and code that is
reached without an import statement, are not seen.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOMS = ("datasets", "diffseg", "eval", "experiments")
MAKE_RECORDS = ("datasets", "diffseg", "eval")
"""Rooms whose code makes records."""
PROJECT = Path(__file__).resolve().parents[1]


def kind_name(part: Any) -> str:
    """Name of a part's class in the settings: ``module.Class``, or ``Class`` for a part of this project."""
    kind = part if hasattr(part, "__qualname__") else type(part)
    return kind.__qualname__ if _is_ours(kind.__module__) else f"{kind.__module__}.{kind.__qualname__}"


def part_code(part: Any) -> str:
    """sha256 (hex) of the code of a part, or of a function, outside this project; "" for a part of this project.

    Raises:
        OSError: a file cannot be read.
    """
    module = (part if hasattr(part, "__qualname__") else type(part)).__module__
    return "" if _is_ours(module) else _module_code(module)


@cache
def project_code() -> str:
    """sha256 (hex) of the Python files of this project that make records."""
    files = sorted(file for room in MAKE_RECORDS for file in (PROJECT / room).rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _is_ours(module: str) -> bool:
    """True if a module belongs to this project. A user's package may have the name of a room."""
    if module.partition(".")[0] not in ROOMS:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or Path(file).resolve().is_relative_to(PROJECT)


@cache
def _module_code(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    if not file:
        return ""
    files = dict(sorted(_reached(module, Path(file)).items()))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files.values())).hexdigest()


def _reached(module: str, file: Path) -> dict[str, Path]:
    """Name -> file of the module and of the modules of the user that it imports."""
    top = module.partition(".")[0]
    # Folder in which top-level names are looked up: that of the single module, or the parent of its package.
    levels = module.count(".") + (file.name == "__init__.py")
    home = file.parents[levels]
    single = levels == 0
    files: dict[str, Path] = {}
    left = [(module, file)]
    while left:
        name, path = left.pop()
        if name in files:
            continue
        files[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for imported in _imports(path, package):
            if single or imported.partition(".")[0] == top:
                left += _files(home, imported)
    return files


def _files(home: Path, module: str) -> Iterator[tuple[str, Path]]:
    """Name and file of a module below ``home``, and of the packages that hold it."""
    names = module.split(".")
    for end in range(1, len(names) + 1):
        place = home.joinpath(*names[:end])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield ".".join(names[:end]), path
                break


def _imports(file: Path, package: str) -> Iterable[str]:
    """Absolute names of the modules that a file imports, and of names that may be modules."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:  # not imported by Python either
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            parent = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{parent}.{alias.name}".strip(".") for alias in node.names)
            if parent:
                yield parent
