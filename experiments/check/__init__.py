"""``python -m experiments.check``: what a data set holds, and whether a backbone works, before a run takes hours."""
