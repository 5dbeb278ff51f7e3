"""The sidebar: chooses the picture, the segmenters, their parameters and the weights R."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from datasets.base import DatasetError
from datasets.photos import PHOTO_FILES, Photos
from diffseg.backbones.image import centre_crop
from diffseg.choices import SINGLE_SIDE
from diffseg.pictures import Pixels
from experiments.app import drawing, files
from experiments.app.components import gallery
from experiments.app.offers import Choice, Knob, Offer
from experiments.app.study import Weights

PHOTOGRAPH = "the photograph alone"
THUMBNAIL = 120  # pixels


@dataclass(frozen=True)
class PictureSource:
    """The source of the picture: a built-in photograph, or a file that the user dropped."""

    name: str
    content: bytes | None = None

    def read(self) -> Pixels:
        """Reads the picture. Raises PhotoError or DatasetError."""
        return Photos().load(self.name).image if self.content is None else files.read_upload(self.name, self.content)


@st.cache_resource(show_spinner=False)
def thumbnails() -> dict[str, str]:
    """Built-in photograph -> data URI. Raises DatasetError if a photograph is missing."""
    photos, small = Photos(), {}
    for id in PHOTO_FILES:
        image = Image.fromarray(np.ascontiguousarray(centre_crop(photos.load(id).image)))
        small[id] = drawing.photo(np.array(image.resize((THUMBNAIL, THUMBNAIL))))
    return small


def choose_photo() -> None:
    """Switches to the built-in photograph that was clicked."""
    if name := st.session_state.gallery.name:
        st.session_state.source = PictureSource(name)
        st.session_state.uploads += 1  # a new key empties the uploader


def choose_upload() -> None:
    """Switches to the file that was dropped."""
    if upload := st.session_state[f"upload-{st.session_state.uploads}"]:
        st.session_state.source = PictureSource(upload.name, upload.getvalue())


def picture_controls() -> None:
    """Draws the uploader and the thumbnails of the built-in photographs."""
    st.subheader("Picture", anchor=False)
    key = f"upload-{st.session_state.uploads}"
    st.file_uploader("Drop one here, or pick one below", key=key, on_change=choose_upload)
    try:
        small = thumbnails()
    except DatasetError as error:
        st.caption(str(error))
        return
    source = st.session_state.source
    chosen = source.name if source and source.content is None else None
    gallery(key="gallery", data={"pictures": small, "chosen": chosen}, on_name_change=choose_photo)


def setting_controls(slot: str, offer: Offer) -> dict[str, Any]:
    """Draws the controls of a segmenter; returns setting -> value. Each slot keeps separate values."""
    values: dict[str, Any] = {each.name: _slider(slot, offer, each) for each in offer.knobs}
    if offer.choices:
        with st.expander("more settings"):
            values |= {each.name: _select(slot, offer, each) for each in offer.choices}
    return values


def _slider(slot: str, offer: Offer, knob: Knob) -> float:
    digits = max(0, len(f"{knob.step:f}".rstrip("0").partition(".")[2]))
    value = st.slider(
        knob.name,
        knob.low,
        knob.high,
        knob.default,
        knob.step,
        format=f"%.{digits}f" if digits else "%d",
        key=f"{slot}-{offer.name}-{knob.name}",
        help=knob.about,
    )
    return round(value, digits) if digits else value  # the browser adds up steps: it sends 0.31000000000000005 for 0.31


def _select(slot: str, offer: Offer, choice: Choice) -> str | bool:
    index = choice.options.index(choice.default)
    key = f"{slot}-{offer.name}-{choice.name}"
    return st.selectbox(choice.name, choice.options, index, key=key, help=choice.about)


def segmenter_controls(slot: str, title: str, known: dict[str, Offer], first: str) -> Offer | None:
    """Draws the drop-down of a slot; returns the chosen segmenter, or None for the photograph alone."""
    st.subheader(title, anchor=False)
    names = [*known] if slot == "left" else [PHOTOGRAPH, *known]
    name = st.selectbox(title, names, names.index(first), key=slot, label_visibility="collapsed")
    if name in known:
        st.caption(known[name].about)
    return known.get(name)


def side_controls(sides: tuple[int, ...]) -> Weights:
    """Draws a slider for each weight in R, and buttons with common choices of R. Returns R."""
    presets = {"proportional": tuple(side / sides[0] for side in sides)}
    for name, fraction in SINGLE_SIDE.items():
        if sides[0] % fraction == 0 and sides[0] // fraction in sides:
            presets[name] = tuple(float(side * fraction == sides[0]) for side in sides)
    keys = [f"R-{side}" for side in sides]
    for key, weight in zip(keys, presets["proportional"], strict=True):
        st.session_state.setdefault(key, weight)

    def preset(name: str) -> None:
        st.session_state.update(zip(keys, presets[name], strict=True))

    st.subheader("R, weight of each resolution", anchor=False)
    now = tuple(st.session_state[key] for key in keys)
    # Buttons keep no state. A radio button would: the browser would send its old choice and undo the sliders.
    with st.container(horizontal=True, gap="xxsmall", key="preset"):
        for name, values in presets.items():
            st.button(name, type="primary" if values == now else "secondary", on_click=preset, args=(name,))
    weights = []
    for column, side, key in zip(st.columns(len(sides)), sides, keys, strict=True):
        with column:
            step = presets["proportional"][-1] / 5
            weights.append(st.slider(f"{side} x {side}", 0.0, 1.0, step=step, format="%.2f", key=key))
    return tuple(weights)
