"""A local web page that segments one picture interactively: ``python -m experiments.app`` (``make app``).

`__main__` starts the server and Streamlit runs `page`. `study` and `offers` do not depend on Streamlit.
"""
