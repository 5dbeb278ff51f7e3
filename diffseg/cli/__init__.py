"""``python -m diffseg``: `main` does the work, `options` are its arguments, `names` is ``--label``."""
