"""Measures the lines of ``make bench``, one module per subject; `experiments.benchmark` runs them."""
