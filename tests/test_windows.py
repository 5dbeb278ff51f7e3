"""The project can be imported on Windows, which lacks some modules of Python."""

from __future__ import annotations

import ast

from tests.conftest import ROOT


def test_no_module_imports_a_posix_module_at_its_top() -> None:
    """The functions that need one import it themselves, and do without it on Windows."""
    posix = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}
    files = [path for room in ("diffseg", "datasets", "eval", "experiments") for path in (ROOT / room).rglob("*.py")]
    assert files
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            imported = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.append(node.module)
            assert not posix.intersection(imported), path
