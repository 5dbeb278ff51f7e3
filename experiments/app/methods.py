"""The segmenters that the page offers, and what of each can be moved, and how far. Knows nothing of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffseg.backbones import Backbone
from diffseg.cli_options import tau_of
from diffseg.segmenters import agglomerative, diffcut
from diffseg.segmenters.agglomerative import Agglomerative
from diffseg.segmenters.autosc import AutoSC
from diffseg.segmenters.base import Segmenter
from diffseg.segmenters.dbscan import DBSCAN
from diffseg.segmenters.diffcut import DiffCut
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.hdbscan import HDBSCAN
from diffseg.segmenters.kmeans import KMeans
from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY
from diffseg.segmenters.ncut import NCut
from diffseg.segmenters.slic import SLIC
from diffseg.segmenters.spectral import Spectral

ITERATIONS = 8
CLUSTERS = 20
NEIGHBOURS = 100
SPAN = 4  # a threshold goes up to so many times the backbone's value


@dataclass(frozen=True)
class Knob:
    """A parameter that can be moved.

    Attributes:
        field: of the segmenter.
        label: what the page calls it.
        low, high, step: its range; all int, or all float.
        default: within the range.
        about: what it does, in a sentence.
    """

    field: str
    label: str
    low: float
    high: float
    step: float
    default: float
    about: str


@dataclass(frozen=True)
class Method:
    """A kind of segmenter.

    Attributes:
        name: what the page calls it.
        kind: its class.
        about: what it does, in a sentence.
        knobs: what can be moved; all else is as the class and the backbone have it.
    """

    name: str
    kind: Any
    about: str
    knobs: tuple[Knob, ...]

    def segmenter(self, values: Mapping[str, float], spec: Backbone) -> Segmenter:
        """The segmenter of these parameters, for this backbone. Raises ValueError for a value out of range."""
        return self.kind(**values).resolved(max(spec.sides), tuned(self.kind, spec))


def tuned(kind: type, spec: Backbone) -> dict[str, Any]:
    """Parameter -> the backbone's own value."""
    values = spec.tuned.get(getattr(kind, "tuned_key", ""), {})
    return {name: value["default"] if isinstance(value, Mapping) else value for name, value in values.items()}


def methods(spec: Backbone) -> dict[str, Method]:
    """Name -> method, DiffSeg first, of all that need nothing but a picture and this backbone."""
    side = max(spec.sides)
    most = min(NEIGHBOURS, side * side)
    tau, density = tau_of(spec), tuned(DBSCAN, spec)
    cut = tuned(DiffCut, spec).get("tau", diffcut.PUBLISHED_TAU)
    joined = tuned(Agglomerative, spec).get("tau", agglomerative.PUBLISHED_TAU)
    k = Knob("clusters", "k, clusters", 1, min(CLUSTERS, side * side - 1), 1, 6, "How many segments.")
    listed = (
        Method(
            "DiffSeg",
            DiffSeg,
            "Merges attention maps that are alike (Tian et al., 2024).",
            (
                Knob("tau", "τ, threshold", 0.01, SPAN * tau, 0.01, tau, "Maps that differ by less are merged."),
                Knob("anchors", "M, anchors a side", 1, side, 1, min(16, side), "M x M maps start the merging."),
                Knob("iterations", "N, iterations", 1, ITERATIONS, 1, 3, "Of the merging, the first included."),
            ),
        ),
        Method("K-Means", KMeans, "Clusters attention maps around k means.", (k,)),
        Method(
            "DBSCAN",
            DBSCAN,
            "Clusters attention maps that lie densely.",
            (
                Knob("eps", "ε, radius", 0.001, SPAN * density["eps"], 0.001, density["eps"], "Of a neighbourhood."),
                Knob("min_samples", "neighbours", 1, most, 1, density["min_samples"], "That make a core point."),
            ),
        ),
        Method(
            "Normalised cut",
            NCut,
            "Cuts the attention in two, again and again (Shi and Malik, 2000).",
            (
                Knob("tau", "largest cut", 0.05, 1.5, 0.05, NCut.tau, "Cuts below this value are made."),
                Knob("power", "steps of the walk", 1, 4, 1, NCut.power, "Longer walks see larger segments."),
            ),
        ),
        Method(
            "DiffCut",
            DiffCut,
            "Cuts the features of the last layer in two, again and again (Couairon et al., 2024).",
            (
                Knob("tau", "largest cut", 0.05, 1.5, 0.05, cut, "Cuts below this value are made."),
                Knob("alpha", "exponent", 1.0, 20.0, 0.5, DiffCut.alpha, "Of the similarity."),
            ),
        ),
        Method("AutoSC", AutoSC, "Clusters the features' eigenvectors, and finds how many segments there are.", ()),
        Method(
            "Agglomerative",
            Agglomerative,
            "Joins the most similar clusters of features, again and again.",
            (Knob("tau", "least similarity", -0.5, 0.95, 0.05, joined, "Clusters above this value are joined."),),
        ),
        Method("Spectral", Spectral, "K-means of the attention's eigenvectors.", (k,)),
        Method(
            "HDBSCAN",
            HDBSCAN,
            "DBSCAN over all radii.",
            (
                Knob("min_cluster_size", "smallest cluster", 2, most, 1, HDBSCAN.min_cluster_size, "In maps."),
                Knob("min_samples", "neighbours", 1, most, 1, HDBSCAN.min_samples, "Within the core distance."),
            ),
        ),
        Method("SLIC", SLIC, "Superpixels of the colours alone: no network.", (k,)),
        Method("K-Means of colour and place", KMeansRGBXY, "Pixels alone: no network.", (k,)),
    )
    return {method.name: method for method in listed}
