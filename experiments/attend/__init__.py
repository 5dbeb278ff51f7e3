"""Computes the attention of a data set once, into files for ``backbone=saved``."""
