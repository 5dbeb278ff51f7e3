"""Streamlit components with pictures that can be clicked. Importing this module registers them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent

VIEW = """<div class="view"><label class="opacity">colours
  <input type="range" min="0" max="1" step="0.05" value="0.5" aria-label="opacity of the colours"></label>
  <div class="row"></div></div>"""


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


CSS = _text("view.css")
view = st.components.v2.component("view", html=VIEW, css=CSS, js=_text("view.js"), isolate_styles=False)
gallery = st.components.v2.component(
    "gallery", html='<div class="gallery"></div>', css=CSS, js=_text("gallery.js"), isolate_styles=False
)
