"""The page. Streamlit runs this file from top to bottom after every click; `experiments.app` serves it.

`st.session_state` holds the state of one browser tab. All tabs share the loaded backbone.
"""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any
from zipfile import ZipFile

import streamlit as st
import torch

from datasets.base import DatasetError
from datasets.photos import PHOTO_FILES, Photos
from diffseg.aggregation import side_weights
from diffseg.backbones import AttentionModel, Backbone, WeightsError
from diffseg.choices import WEIGHTS
from diffseg.cli.options import message_of, spec_of
from diffseg.files.images import PhotoError
from diffseg.files.photographs import decode_photo
from diffseg.segmenters.base import Segmenter
from diffseg.texts import counted
from experiments.app.__main__ import parser
from experiments.app.offers import Offer, offers, slider_range
from experiments.app.study import Study, colours, heat, lines, photo

PHOTOGRAPH = "the photograph alone"
ATTENTION_COLUMNS = 4
HERE = Path(__file__).parent
VIEW = """<div class="view"><label class="opacity">colours
  <input type="range" min="0" max="1" step="0.05" value="0.5" aria-label="opacity of the colours"></label>
  <div class="row"></div></div>"""
STYLE = """<style>
  .stMainBlockContainer { padding: 1.5rem 2rem 2rem; max-width: 1700px; }
  @media (max-width: 640px) { .stMainBlockContainer { padding: 3.5rem 1rem 2rem; } }
  h1 { font-size: 1.5rem !important; padding: 0 !important; }
  h3 { font-size: 1.05rem !important; padding: .4rem 0 0 !important; }
</style>"""


@dataclass(frozen=True)
class Backend:
    """The objects that all tabs share."""

    spec: Backbone
    model: AttentionModel
    lock: Lock
    offers: dict[str, Offer]


@st.cache_resource(show_spinner="Loading the backbone")
def backend(arguments: tuple[str, ...]) -> Backend:
    """Loads the backbone of the command line once. Raises ValueError or WeightsError."""
    args = parser().parse_args(arguments)
    spec = spec_of(args)
    return Backend(spec, spec.load(args.device), Lock(), offers(spec, args.config_dir))


@st.cache_resource
def clickable() -> Any:
    """Registers the component that shows pictures which can be clicked, once."""
    css, js = ((HERE / name).read_text(encoding="utf-8") for name in ("view.css", "view.js"))
    return st.components.v2.component("view", html=VIEW, css=css, js=js, isolate_styles=False)


def study(shared: Backend) -> Study:
    """Draws the choice of a picture. Runs the backbone if the picture is new. Raises PhotoError or DatasetError."""
    uploads = st.session_state.setdefault("uploads", 0)
    upload = st.sidebar.file_uploader("Picture: drop one here, or choose one below", key=f"upload-{uploads}")
    photograph = st.sidebar.selectbox("Photograph", PHOTO_FILES, key="photograph", on_change=forget_upload)
    name = upload.name if upload else photograph
    source = (name, upload.file_id if upload else None)
    if st.session_state.get("source") != source:
        st.session_state.pop("study", None)
        with st.spinner("Reading the picture, running the backbone"):
            photo = decode_photo(io.BytesIO(upload.getvalue()), name) if upload else None
            image = photo.pixels if photo else Photos().load(name).image
            with shared.lock:  # two passes at once would take twice the memory and save no time
                st.session_state.study = Study(image, shared.model, Path(name).stem)
        st.session_state.update(source=source, point=(0.5, 0.5), remarks=photo.remarks if photo else ())
    for remark in st.session_state.remarks:
        st.sidebar.warning(plain(f"{name}: {remark}"))
    return st.session_state.study


def forget_upload() -> None:
    """Empties the uploader, by a new key: the photograph that was just chosen counts."""
    st.session_state.uploads += 1


def segmenter_controls(slot: str, title: str, shared: Backend) -> tuple[str, Segmenter] | None:
    """Draws the choice of a segmenter and its settings; each slot keeps separate values. None: the photograph alone."""
    names = [*shared.offers] if slot == "left" else [PHOTOGRAPH, *shared.offers]
    name = st.selectbox(title, names, key=slot)
    if name == PHOTOGRAPH:
        return None
    offer, values = shared.offers[name], dict[str, Any]()
    st.caption(plain(offer.about))
    for setting in offer.settings:
        key, label, about = f"{slot}-{name}-{setting.name}", setting.name, setting.about or None
        if (ends := slider_range(setting)) is not None:
            low, high, step = ends
            digits = len(f"{step:f}".rstrip("0").partition(".")[2])
            shape = f"%.{digits}f" if digits else "%d"
            value = st.slider(label, low, high, setting.default, step, format=shape, key=key, help=about)
            # The browser adds up steps: it sends 0.31000000000000005 for 0.31.
            values[label] = value if isinstance(value, int) else round(value, 9)
        elif isinstance(setting.default, bool):
            values[label] = st.checkbox(label, setting.default, key=key, help=about)
        elif setting.default in setting.options:
            index = setting.options.index(setting.default)
            values[label] = st.selectbox(label, setting.options, index, key=key, help=about)
    return name, offer.segmenter(values, shared.spec)


def weight_choices(sides: tuple[int, ...]) -> dict[str, tuple[float, ...]]:
    """Names of R, the weight of each side, that these sides allow -> the weights, finest side first."""
    choices = {}
    for name in WEIGHTS:
        try:
            choices[name] = tuple(side_weights(name, sides).values())
        except ValueError:  # a single resolution that the backbone lacks
            continue
    return choices


def choose_point(key: str) -> Callable[[], None]:
    """Returns the callback that stores the place clicked in the component ``key``."""

    def chosen() -> None:
        if point := st.session_state[key].point:
            st.session_state.point = tuple(point)

    return chosen


def zipped(picture: Study, segmenter: Segmenter, weights: tuple[float, ...]) -> bytes:
    """The files that `diffseg.Result.save` writes at the picture's own size, as a ZIP archive."""
    result = picture.segment(segmenter, weights, picture.image)
    archive = io.BytesIO()
    with TemporaryDirectory() as folder, ZipFile(archive, "w") as content:
        for path in result.save(folder):
            content.write(path, path.name)
    return archive.getvalue()


def plain(text: str) -> str:
    """Escapes a text for Streamlit's captions, which are Markdown."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


def main() -> None:
    """Draws the page."""
    st.set_page_config("DiffSeg", page_icon="🧩", layout="wide")
    st.html(STYLE)
    view = clickable()
    shared = backend(tuple(sys.argv[1:]))
    st.title("Segments from attention", anchor=False)
    picture = study(shared)
    with st.sidebar:
        choices = weight_choices(shared.spec.sides)
        weights = choices[st.selectbox("R, weight of each resolution", choices, key="weights")]
        slots = {"left": "Segmenter", "right": "Compare with"}
        chosen = {slot: segmenter_controls(slot, title, shared) for slot, title in slots.items()}
    height, width = picture.image.shape[:2]
    st.caption(
        f"{plain(picture.name)}, {width} x {height} pixels. The backbone took {picture.seconds:.1f} s. It runs once; "
        "a slider repeats only the steps after it. Click a place in any picture to see its attention."
    )
    shape = {"photo": photo(picture.shown), "point": st.session_state.point, "aspect": width / height}
    panels, downloads = [], []
    for slot, choice in chosen.items():
        if choice is None:
            panels.append({"title": "photograph", "note": ""})
            continue
        name, segmenter = choice
        start = time.perf_counter()
        result = picture.segment(segmenter, weights)
        note = f"{counted(result.count, 'segment')} · {1000 * (time.perf_counter() - start):.0f} ms"
        layers = {"colours": colours(result.labels), "lines": lines(result.labels)}
        panels.append({"title": name, "note": note, **layers})
        downloads.append((slot, f"{picture.name}.{name}.zip", partial(zipped, picture, segmenter, weights)))
    segments = {**shape, "columns": 2, "height": "46vh", "opacity": True, "panels": panels}
    view(key="segments", data=segments, on_point_change=choose_point("segments"))
    for column, (slot, file, content) in zip(st.columns(2), downloads, strict=False):
        label = "Label map, overlay and COCO JSON"
        column.download_button(label, content, file, key=f"{slot}-download", on_click="ignore", type="tertiary")
    x, y = st.session_state.point
    st.subheader(f"Attention of the place {x:.0%} from the left, {y:.0%} from the top", anchor=False)
    maps = [
        {"title": name, "note": f"largest {values.max():.1%}", "heat": heat(values)}
        for name, values in picture.attention(x, y, weights).items()
    ]
    attention = {"columns": max(ATTENTION_COLUMNS, len(maps)), "height": "26vh", "opacity": False, "panels": maps}
    view(key="attention", data={**shape, **attention}, on_point_change=choose_point("attention"))


try:
    main()
except (PhotoError, DatasetError, WeightsError, ValueError, torch.OutOfMemoryError) as error:
    st.error(message_of(error))
