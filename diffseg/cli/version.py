"""The version of the code, for reports of results."""

from __future__ import annotations

import subprocess
from pathlib import Path

from diffseg import __version__


def version_line() -> str:
    """Version and, in a checkout, commit: ``diffseg 0.1.0, commit 8839ad7`` (``, changed`` if files differ from it)."""
    root = Path(__file__).parents[2]
    commit = _git(root, "rev-parse", "--short", "HEAD") if (root / ".git").exists() else None
    if not commit:
        return f"diffseg {__version__}"
    return f"diffseg {__version__}, commit {commit}{', changed' if _git(root, 'status', '--porcelain', '-uno') else ''}"


def _git(root: Path, *arguments: str) -> str | None:
    """Output of a git command; None if it fails or git is missing."""
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
