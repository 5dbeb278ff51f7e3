"""Saves figures as PNG and PDF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from diffseg.files import replacing
from eval.progress import Progress
from eval.storage.files import make_folder, writing

DPI = 200
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
