"""Segmenters, a module each. `diffseg.segmenters.base` defines their interface and their input."""

from __future__ import annotations

import sys

from diffseg.listing_package import ListingPackage

sys.modules[__name__].__class__ = ListingPackage  # diffseg.segmenters() lists the names that `Model.segment` takes
