"""A Streamlit component with pictures that can be clicked. Importing this module registers it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent

VIEW = """<div class="view"><label class="opacity">colours
  <input type="range" min="0" max="1" step="0.05" value="0.5" aria-label="opacity of the colours"></label>
  <div class="row"></div></div>"""

CSS, JS = ((HERE / name).read_text(encoding="utf-8") for name in ("view.css", "view.js"))
view = st.components.v2.component("view", html=VIEW, css=CSS, js=JS, isolate_styles=False)
