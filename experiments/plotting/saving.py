"""Saves figures as PNG and PDF, with a note of what they were made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from diffseg.files import replacing
from eval.progress import Progress
from eval.storage.files import make_folder, writing

DPI = 200
KINDS = ("png", "pdf")
ORIGIN = "Description"  # PNG text field that stores the hash of the figure's inputs


def save(figures: Mapping[str, Figure], out: Path, made_from: str | None = None) -> list[Path]:
    """Writes each figure atomically as ``NAME.png`` and ``NAME.pdf``. Equal figures give equal bytes.

    Args:
        figures: name -> figure.
        out: folder, made if missing.
        made_from: hash of the inputs, stored in the PNG files for `are_saved`.

    Raises:
        WriteError: a file cannot be written.
    """
    # No date and no version, so that equal figures give equal bytes. Fonts as TrueType, which publishers require.
    unchanging = {
        "png": {"Software": None, ORIGIN: made_from},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    paths = []
    make_folder(out)
    with matplotlib.rc_context({"pdf.fonttype": 42}), Progress("drawing", len(figures), unit="figure") as bar:
        for name, figure in figures.items():
            for kind, metadata in unchanging.items():
                paths.append(out / f"{name}.{kind}")
                with writing(paths[-1]), replacing(paths[-1]) as temporary:
                    figure.savefig(
                        temporary, format=kind, dpi=DPI, metadata=metadata, bbox_inches="tight", pad_inches=0.05
                    )
            bar.advance(name)
    return paths


def are_saved(names: Iterable[str], out: Path, made_from: str) -> bool:
    """True if a folder has figures of these names, written by `save` with the same ``made_from``."""
    names = list(names)
    try:
        if not all((out / f"{name}.{kind}").is_file() for name in names for kind in KINDS):
            return False
        for name in names:
            with Image.open(out / f"{name}.png") as image:
                if image.info.get(ORIGIN) != made_from:
                    return False
    except OSError:  # not an image, or not readable
        return False
    return True
