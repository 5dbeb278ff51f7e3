"""A package that is called: ``diffseg.backbones()`` lists the names that `diffseg.load` takes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType


class ListingPackage(ModuleType):
    """The class of `diffseg.backbones` and `diffseg.segmenters`. A call lists the names of their presets."""

    def __call__(self, config_dir: str | Path | None = None) -> list[str]:
        """Names that can be used from Python, sorted.

        Args:
            config_dir: your folder of presets, see `diffseg.load`.
        """
        from diffseg import catalogue

        if self.__name__.endswith("backbones"):
            return catalogue.list_backbones(config_dir)
        return catalogue.list_segmenters(config_dir)
