"""A package that can be called: ``diffseg.backbones()`` lists the names that `diffseg.load` takes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType


class ListingPackage(ModuleType):
    """The class of `diffseg.backbones` and `diffseg.segmenters`. A call lists the names of their presets."""

    def __call__(self, config_dir: str | Path | None = None) -> list[str]:
        """Names that can be used from Python, sorted. ``config_dir``: your folder of presets, see `diffseg.load`.

        Most backbones need weights, and `load` says how to get them. Segmenters that need the ground truth, or files of
        a benchmark, are left out.

        >>> import diffseg
        >>> "dinov2_small" in diffseg.backbones(), "diffseg" in diffseg.segmenters(), "oracle" in diffseg.segmenters()
        (True, True, False)
        """
        catalogue = import_module("diffseg.catalogue")  # at the call, because it needs these packages itself
        names: list[str] = catalogue.names(self.__name__.rpartition(".")[2].removesuffix("s"), config_dir)
        return names
