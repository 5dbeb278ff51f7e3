"""``python -m diffseg``: `main` runs it, `options` and `inputs` read its arguments, `label` is ``--label``."""
