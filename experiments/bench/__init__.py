"""The lines of ``make bench``, a module a subject; `experiments.benchmark` runs them."""
