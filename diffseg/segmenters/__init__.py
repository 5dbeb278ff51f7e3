"""Segmenters, a module each. `diffseg.segmenters.base` says what a segmenter is and what it is given."""
