"""Lines of ``make bench``; `experiments.benchmark` runs them."""
