"""Segmenters, a module each. `diffseg.segmenters.base` defines their interface and their input."""
