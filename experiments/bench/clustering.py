"""Compares K-means and DBSCAN in torch with scikit-learn's."""

from __future__ import annotations

import torch
from sklearn.cluster import DBSCAN, KMeans
from torch import Tensor

from diffseg.segmenters import density, lloyd
from experiments.bench.inputs import aggregated_attention
from experiments.bench.measuring import NO_CUDA, Line, Settings, absent, seconds

SIDE, QUICK_SIDE = 64, 24
CLUSTERS, STARTS, MIN_SAMPLES = 6, 10, 5
NEIGHBOURS = 0.1  # eps is this quantile of the distances
KMEANS_GOALS = {"cpu": 1.0, "cuda": 0.03}
DBSCAN_GOALS = {"cpu": 0.5, "cuda": 0.02}
SEEDS = 5
INERTIA = 0.001


def kmeans_lines(settings: Settings) -> list[Line]:
    """Measures K-means: time on each device, inertia over pictures and seeds."""
    side = QUICK_SIDE if settings.quick else SIDE
    points = aggregated_attention(side)
    found = []
    theirs = seconds({"sklearn": lambda: _sklearn(points, 0)}, 1)["sklearn"]
    iterations = _sklearn(points, 0).n_iter_
    for device, goal in KMEANS_GOALS.items():
        name = f"kmeans: {STARTS} starts, k = {CLUSTERS}, S = {side}, {device}"
        if absent(device):
            found.append(Line(name, goal=goal, note=NO_CUDA))
            continue
        moved = points.to(device)
        centres = moved[: STARTS * CLUSTERS]
        calls = {
            "ours": lambda: lloyd.cluster(moved, CLUSTERS, 0, STARTS),  # noqa: B023
            "floor": lambda: [centres @ moved.T for _ in range(iterations)],  # noqa: B023
        }
        took = seconds(calls, settings.repeats, device)
        note = f"floor: the distances of {iterations} iterations, which scikit-learn's best start takes"
        found.append(Line(name, "s", took["ours"], theirs, "scikit-learn", goal, floor=took["floor"], note=note))
    excess, same = [], 0
    for seed in range(SEEDS):
        points = aggregated_attention(side, seed)
        labels = lloyd.cluster(points, CLUSTERS, seed, STARTS)
        reference = torch.from_numpy(_sklearn(points, seed).labels_).long()
        excess.append(inertia(points, labels) / inertia(points, reference) - 1)
        same += torch.equal(labels, reference)
    note = f"largest of {SEEDS} pictures with one seed each; {same} of them have the same labels"
    return [*found, Line("kmeans: inertia above scikit-learn's", "fraction", max(excess), goal=INERTIA, note=note)]


def _sklearn(points: Tensor, seed: int) -> KMeans:
    return KMeans(CLUSTERS, n_init=STARTS, random_state=seed).fit(points.numpy())


def inertia(points: Tensor, labels: Tensor) -> float:
    """Sum of the squared distances of the points to the means of their clusters."""
    clusters = [points[labels == label].double() for label in labels.unique()]
    return sum(float((each - each.mean(dim=0)).square().sum()) for each in clusters)


def dbscan_lines(settings: Settings) -> list[Line]:
    """Measures DBSCAN: time on each device, share of equal labels."""
    side = QUICK_SIDE if settings.quick else SIDE
    points = aggregated_attention(side)
    sample = points[:: max(1, len(points) // 500)]
    eps = float(torch.pdist(sample).quantile(NEIGHBOURS))
    reference = torch.from_numpy(DBSCAN(eps=eps, min_samples=MIN_SAMPLES).fit_predict(points.numpy()))
    theirs = seconds({"sklearn": lambda: DBSCAN(eps=eps, min_samples=MIN_SAMPLES).fit(points.numpy())}, 1)["sklearn"]
    found = []
    for device, goal in DBSCAN_GOALS.items():
        name = f"dbscan: S = {side}, {device}"
        if absent(device):
            found.append(Line(name, goal=goal, note=NO_CUDA))
            continue
        moved = points.to(device)
        took = seconds({"ours": lambda: density.cluster(moved, eps, MIN_SAMPLES)}, settings.repeats, device)  # noqa: B023
        same = float((density.cluster(moved, eps, MIN_SAMPLES).cpu() == reference).float().mean())
        note = f"eps {eps:.3g}, {int(reference.max()) + 1} clusters; {same:.2%} of the labels are the same"
        found.append(Line(name, "s", took["ours"], theirs, "scikit-learn", goal, note=note))
    return found
