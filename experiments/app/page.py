"""The page. Streamlit runs this file from top to bottom after every click; `experiments.app` serves it.

`st.session_state` holds the state of one browser tab. All tabs share the loaded backbone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import streamlit as st
import torch

from datasets.base import DatasetError
from diffseg.backbones import AttentionModel, Backbone, WeightsError
from diffseg.cli.options import message_of, spec_of
from diffseg.photos import PhotoError
from diffseg.pictures import Labels
from diffseg.segmenters.base import Segmenter
from diffseg.texts import counted
from experiments.app import drawing, files
from experiments.app.__main__ import parser
from experiments.app.components import view
from experiments.app.controls import (
    PHOTOGRAPH,
    PictureSource,
    picture_controls,
    segmenter_controls,
    setting_controls,
    side_controls,
)
from experiments.app.offers import FIRST, Offer, offers
from experiments.app.study import Segments, Study, Weights

ATTENTION_COLUMNS = 4

STYLE = """<style>
  .stMainBlockContainer { padding: 1.5rem 2rem 2rem; max-width: 1700px; }
  [data-testid="stSidebarHeader"] { height: 2.2rem; padding-bottom: 0; margin-bottom: 0; }
  [data-testid="stSidebarUserContent"] { padding-bottom: 2rem; }
  [data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] { gap: .5rem; }
  [data-testid="stSidebarUserContent"] h3 { padding-bottom: .8rem !important; }
  .st-key-preset button { min-height: 0; padding: .1rem .5rem; border-radius: 1rem; }
  @media (max-width: 640px) { .stMainBlockContainer { padding: 3.5rem 1rem 2rem; } }
  h1 { font-size: 1.5rem !important; padding: 0 !important; }
  h3 { font-size: 1.05rem !important; padding: .4rem 0 0 !important; }
</style>"""


def _plain(text: str) -> str:
    """Escapes a text for Streamlit's captions, which are Markdown."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


@dataclass(frozen=True)
class Backend:
    """The objects that all tabs share."""

    spec: Backbone
    model: AttentionModel
    lock: Lock
    offers: dict[str, Offer]


@st.cache_resource(show_spinner="Loading the backbone")
def backend() -> Backend:
    """Loads the backbone of the command line once. Raises ValueError or WeightsError."""
    args = parser().parse_args(sys.argv[1:])
    spec = spec_of(args)
    return Backend(spec, spec.load(args.device), Lock(), offers(spec, args.config_dir))


def choose_point(key: str) -> Callable[[], None]:
    """Returns the callback that stores the place clicked in the component ``key``."""

    def chosen() -> None:
        if point := st.session_state[key].point:
            st.session_state.point = tuple(point)

    return chosen


def study(shared: Backend) -> tuple[PictureSource, Study]:
    """The tab's picture. Runs the backbone if the picture is new. Raises PhotoError or DatasetError."""
    source = st.session_state.source
    if st.session_state.get("studied") is not source:
        st.session_state.pop("study", None)
        with st.spinner("Reading the picture, running the backbone"):
            image = source.read()
            with shared.lock:  # two passes at once would take twice the memory and save no time
                st.session_state.study = Study(image, shared.model)
        st.session_state.studied = source
        st.session_state.point = (0.5, 0.5)
    return source, st.session_state.study


def panel(title: str, result: Segments | None) -> dict[str, str]:
    """Data of one panel: a segmentation, or the photograph alone (None)."""
    if result is None:
        return {"title": title, "note": ""}
    segments = counted(result.count, "segment")
    note = f"{segments} · {1000 * result.seconds:.0f} ms"
    labels = result.labels
    return {"title": title, "note": note, "colours": drawing.colours(labels), "lines": drawing.lines(labels)}


def downloads(
    slot: str, source: PictureSource, picture: Study, offer: Offer, segmenter: Segmenter, weights: Weights
) -> None:
    """Draws the download buttons. A click makes the file."""
    stem = f"{Path(source.name).stem}.{re.sub(r'[^a-z0-9]+', '_', offer.name.lower())}"

    def labels() -> Labels:
        return picture.full(segmenter, weights)

    kinds: tuple[tuple[str, str, str, Callable[[], bytes]], ...] = (
        ("Label map", "labels.png", "image/png", lambda: files.label_map(labels())),
        ("Overlay", "overlay.png", "image/png", lambda: files.overlaid(picture.image, labels())),
        (
            "COCO JSON",
            "segments.json",
            "application/json",
            lambda: files.coco(source.name, picture.image, labels()),
        ),
    )
    with st.container(horizontal=True, gap="small"):
        for label, ending, kind, make in kinds:
            st.download_button(
                label,
                make,
                f"{stem}.{ending}",
                kind,
                key=f"{slot}-{ending}".replace(".", "-"),
                on_click="ignore",
                icon=":material/download:",
                type="tertiary",
            )


def main() -> None:
    """Draws the page."""
    st.set_page_config("DiffSeg", page_icon="🧩", layout="wide")
    st.html(STYLE)
    state = st.session_state
    state.setdefault("uploads", 0)
    state.setdefault("source", PictureSource("astronaut"))
    shared = backend()
    spec = shared.spec
    with st.sidebar:
        picture_controls()
        left = segmenter_controls("left", "Segmenter", shared.offers, FIRST)
        assert left is not None
        left_values = setting_controls("left", left)
        weights = side_controls(spec.sides)
        right = segmenter_controls("right", "Compare with", shared.offers, PHOTOGRAPH)
        right_values = setting_controls("right", right) if right else {}
    st.title("Segments from attention", anchor=False)
    source, picture = study(shared)
    shown = [(left, left.segmenter(left_values, spec))]
    if right:
        shown.append((right, right.segmenter(right_values, spec)))
    height, width = picture.image.shape[:2]
    st.caption(
        f"{_plain(source.name)}, {width} x {height} pixels. The backbone took {picture.seconds:.1f} s. It runs once; "
        "a slider repeats only the steps after it. Click a place in any picture to see its attention."
    )
    panels = [panel(offer.name, picture.segment(segmenter, weights)) for offer, segmenter in shown]
    photo = drawing.photo(picture.shown)
    data = {"photo": photo, "point": state.point, "aspect": width / height}
    segments = {"columns": 2, "height": "46vh", "opacity": True}
    if not right:
        panels.append(panel("Photograph", None))
    view(key="segments", data={**data, **segments, "panels": panels}, on_point_change=choose_point("segments"))
    for slot, column, (offer, segmenter) in zip(("left", "right"), st.columns(2), shown, strict=False):
        with column:
            downloads(slot, source, picture, offer, segmenter, weights)
    x, y = state.point
    st.subheader(f"Attention of the place {x:.0%} from the left, {y:.0%} from the top", anchor=False)
    maps = [
        {"title": name, "note": f"largest {values.max():.1%}", "heat": drawing.heat(values)}
        for name, values in picture.attention(x, y, weights).items()
    ]
    attention = {"columns": max(ATTENTION_COLUMNS, len(maps)), "height": "26vh", "opacity": False}
    view(key="attention", data={**data, **attention, "panels": maps}, on_point_change=choose_point("attention"))


try:
    main()
except (PhotoError, DatasetError, WeightsError, ValueError, torch.OutOfMemoryError) as error:
    st.error(message_of(error))
