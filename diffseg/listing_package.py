"""A package that can be called: ``diffseg.backbones()`` lists the names that `diffseg.load` takes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType


class ListingPackage(ModuleType):
    """The class of `diffseg.backbones` and `diffseg.segmenters`. A call lists the names of their presets."""

    def __call__(self, config_dir: str | Path | None = None) -> list[str]:
        """Names that can be used from Python, sorted.

        Args:
            config_dir: your folder of presets, see `diffseg.load`.
        """
        catalogue = import_module("diffseg.catalogue")  # at the call, because it needs these packages itself
        names: list[str] = getattr(catalogue, f"list_{self.__name__.rpartition('.')[2]}")(config_dir)
        return names
