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
from diffseg.image_files import PhotoError, read_photo
from diffseg.segmenters.base import Segmenter
from diffseg.texts import counted
from experiments.app import drawing
from experiments.app.__main__ import parser
from experiments.app.components import view
from experiments.app.offers import Offer, offers, slider_range
from experiments.app.study import Study

PHOTOGRAPH = "the photograph alone"
OWN = "other weights"
ATTENTION_COLUMNS = 4

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
            image = read_photo(io.BytesIO(upload.getvalue()), name) if upload else Photos().load(name).image
            with shared.lock:  # two passes at once would take twice the memory and save no time
                st.session_state.study = Study(image, shared.model, Path(name).stem)
        st.session_state.update(source=source, point=(0.5, 0.5))
    return st.session_state.study


def forget_upload() -> None:
    """Empties the uploader, by a new key: the photograph that was just chosen counts."""
    st.session_state.uploads += 1


def segmenter_controls(slot: str, title: str, known: dict[str, Offer]) -> tuple[Offer, dict[str, Any]] | None:
    """Draws the choice of a segmenter and its settings; each slot keeps separate values. None: the photograph alone."""
    names = [*known] if slot == "left" else [PHOTOGRAPH, *known]
    name = st.selectbox(title, names, key=slot)
    if name not in known:
        return None
    offer, values = known[name], dict[str, Any]()
    st.caption(_plain(offer.about))
    for setting in offer.settings:
        key, label, about = f"{slot}-{name}-{setting.name}", setting.name, setting.about or None
        if (ends := slider_range(setting)) is not None:
            low, high, step = ends
            value = st.slider(label, low, high, setting.default, step, format=_format(step), key=key, help=about)
            # The browser adds up steps: it sends 0.31000000000000005 for 0.31.
            values[label] = value if isinstance(value, int) else round(value, 9)
        elif isinstance(setting.default, bool):
            values[label] = st.checkbox(label, setting.default, key=key, help=about)
        elif setting.default in setting.options:
            index = setting.options.index(setting.default)
            values[label] = st.selectbox(label, setting.options, index, key=key, help=about)
    return offer, values


def _format(step: float) -> str:
    digits = len(f"{step:f}".rstrip("0").partition(".")[2])
    return f"%.{digits}f" if digits else "%d"


def weight_controls(sides: tuple[int, ...]) -> tuple[float, ...]:
    """Draws the choice of R, the weight of each side, finest side first."""
    allowed = [name for name in WEIGHTS if name == "proportional" or _is_side(name, sides)]
    name = st.selectbox("R, weight of each resolution", [*allowed, OWN], key="weights")
    if name != OWN:
        return tuple(side_weights(name, sides).values())
    return tuple(st.slider(f"{side} x {side}", 0.0, 1.0, side / sides[0], 0.05, key=f"R-{side}") for side in sides)


def _is_side(name: str, sides: tuple[int, ...]) -> bool:
    try:
        return bool(side_weights(name, sides))
    except ValueError:
        return False


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


def _plain(text: str) -> str:
    """Escapes a text for Streamlit's captions, which are Markdown."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


def main() -> None:
    """Draws the page."""
    st.set_page_config("DiffSeg", page_icon="🧩", layout="wide")
    st.html(STYLE)
    shared = backend(tuple(sys.argv[1:]))
    st.title("Segments from attention", anchor=False)
    picture = study(shared)
    with st.sidebar:
        weights = weight_controls(shared.spec.sides)
        slots = (("left", "Segmenter"), ("right", "Compare with"))
        chosen = {slot: segmenter_controls(slot, title, shared.offers) for slot, title in slots}
    shown = {slot: (one[0].name, one[0].segmenter(one[1], shared.spec)) for slot, one in chosen.items() if one}
    height, width = picture.image.shape[:2]
    st.caption(
        f"{_plain(picture.name)}, {width} x {height} pixels. The backbone took {picture.seconds:.1f} s. It runs once; "
        "a slider repeats only the steps after it. Click a place in any picture to see its attention."
    )
    photo = {"photo": drawing.photo(picture.shown), "point": st.session_state.point, "aspect": width / height}
    panels = []
    for name, segmenter in shown.values():
        start = time.perf_counter()
        result = picture.segment(segmenter, weights)
        note = f"{counted(result.count, 'segment')} · {1000 * (time.perf_counter() - start):.0f} ms"
        layers = {"colours": drawing.colours(result.labels), "lines": drawing.lines(result.labels)}
        panels.append({"title": name, "note": note, **layers})
    if len(panels) == 1:
        panels.append({"title": "photograph", "note": ""})
    segments = {**photo, "columns": 2, "height": "46vh", "opacity": True, "panels": panels}
    view(key="segments", data=segments, on_point_change=choose_point("segments"))
    for column, (slot, (name, segmenter)) in zip(st.columns(2), shown.items(), strict=False):
        column.download_button(
            "Label map, overlay and COCO JSON",
            partial(zipped, picture, segmenter, weights),
            f"{picture.name}.{name}.zip",
            key=f"{slot}-download",
            on_click="ignore",
            type="tertiary",
        )
    x, y = st.session_state.point
    st.subheader(f"Attention of the place {x:.0%} from the left, {y:.0%} from the top", anchor=False)
    maps = [
        {"title": name, "note": f"largest {values.max():.1%}", "heat": drawing.heat(values)}
        for name, values in picture.attention(x, y, weights).items()
    ]
    attention = {"columns": max(ATTENTION_COLUMNS, len(maps)), "height": "26vh", "opacity": False, "panels": maps}
    view(key="attention", data={**photo, **attention}, on_point_change=choose_point("attention"))


try:
    main()
except (PhotoError, DatasetError, WeightsError, ValueError, torch.OutOfMemoryError) as error:
    st.error(message_of(error))
