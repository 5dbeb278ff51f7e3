"""A local page to look at pictures in: ``python -m experiments.app`` (``make app``).

`study` and `methods` know nothing of the page, `page` is what Streamlit runs, `__main__` starts the server.
"""
