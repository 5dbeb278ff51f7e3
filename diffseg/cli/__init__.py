"""``python -m diffseg``: `main` does the work, `options` are its arguments, `label` is ``--label``."""
