"""AutoSC, DiffCut's clustering without a threshold: the number of segments follows from the graph's eigenvalues.

It is spectral clustering of the features (Couairon et al., arXiv 2406.02842). The largest relative gap between
eigenvalues chooses the exponent of the affinity and the number of clusters. A pivoted QR decomposition of the
eigenvectors assigns the clusters (Damle, Minden and Ying, 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import eigh, eigvalsh, qr, svd
from scipy.linalg.blas import dsymv
from scipy.linalg.lapack import dpotrf
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from diffseg.segmenters.base import Refinable, Scene
from diffseg.segmenters.graphs import ASSIGN_SIDE, Assign, PointInput, affinity_of, assign_pixels, points_of

EigenRule = Literal["paper", "official"]
"""Eigenvectors that are clustered. ``paper``: those of the chosen alpha. ``official``: those of the last alpha, because
the authors' code overwrites the eigenvectors of the chosen one."""

ALPHAS = (1, 5, 10, 15)  # exponents that the authors try
TINY = 1e-6  # keeps the mean of the eigenvalues above 0, as in the authors' code

KEPT = (16, 32, 100)  # numbers of eigenvalues that are tried before all
LANCZOS_SHARE = 8  # Lanczos is faster up to this fraction of all eigenvalues
NEAR_TIE = 1e-9  # gaps and eigenvalues this close are compared as the dense solver gives them


@dataclass(frozen=True)
class AutoSC(Refinable):
    """Spectral clustering of features; the largest eigengap sets the number of segments (AutoSC, arXiv 2406.02842)."""

    rule: Annotated[
        EigenRule, Field(description="eigenvectors of the chosen alpha (paper), or of the last (official: their code)")
    ] = "paper"
    input: PointInput = "features"
    assign: Assign = ASSIGN_SIDE

    def prepare(self, scene: Scene) -> tuple[Tensor, Tensor]:
        points = points_of(scene, self.input)
        labels = torch.from_numpy(auto_clusters(affinity_of(points, 1.0), self.rule))
        return points, labels.to(points.device)

    def finish(self, prepared: tuple[Tensor, Tensor], scene: Scene) -> Tensor:
        return assign_pixels(*prepared, scene, self.assign)


def auto_clusters(affinity: Tensor, rule: EigenRule = "paper") -> NDArray[np.int64]:
    """Clusters a graph, its affinity raised to the best of the `ALPHAS`: ``(n,)`` labels in 0..k-1.

    The affinity is ``(n, n)``, symmetric, with values in 0..1 and a diagonal above 0. All labels are 0 if no eigenvalue
    exceeds the mean of those before it, or if all features are equal. (The authors' code raises UnboundLocalError in
    both cases.)
    """
    weights = affinity.cpu().double().numpy()  # float64, because the smallest eigenvalues decide
    square = weights * weights
    fifth = square * square * weights
    tenth = fifth * fifth  # products are faster than powers
    spectra = [Spectrum(graph) for graph in (weights, fifth, tenth, tenth * fifth)]
    best, clusters = _widest_gap(spectra)
    if clusters == 0:
        return np.zeros(len(weights), dtype=np.int64)
    chosen = spectra[best if rule == "paper" else -1]
    return cluster_qr(chosen.vectors(clusters) / chosen.root[:, None])


def _widest_gap(spectra: Sequence[Spectrum]) -> tuple[int, int]:
    """Finds the graph with the largest of the `relative_gaps`, the first of equal ones, and the eigenvalues before it.

    Graphs of which too few eigenvalues are known to exclude a larger gap behind them get more, until none is left. The
    last graph is first: gaps are wider where the exponent is larger, and a wide gap soon excludes those of others.
    """
    while True:
        gaps = [relative_gaps(spectrum.values) for spectrum in spectra]
        widest = [float(sizes.max()) for sizes in gaps]
        best = int(np.argmax(widest))
        enough = widest[best] - NEAR_TIE
        unsure = [spectrum for spectrum in spectra if spectrum.largest_later_gap(spectrum.values[-1]) > enough]
        second, first = np.sort(np.concatenate(gaps))[-2:]
        if not unsure and first - second < NEAR_TIE:  # Lanczos rounds differently from the dense solver
            unsure = [spectrum for spectrum in spectra if not spectrum.complete]
        if not unsure:
            unproven = [spectrum for spectrum in spectra if spectrum.largest_later_gap(spectrum.floor) > enough]
            unsure = [spectrum for spectrum in unproven if not spectrum.prove()]
        if not unsure:
            return best, int(gaps[best].argmax())
        unsure[-1].extend()


def relative_gaps(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Excess of each of the ascending eigenvalues over the mean of all up to it, as a fraction of this mean."""
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    gaps: NDArray[np.float64] = (values - means) / (means + TINY)
    return gaps


class Spectrum:
    """The smallest eigenvalues of a graph's normalised Laplacian: as many as needed, see `extend`.

    Lanczos finds the first few several times faster than the dense solver finds all, to 14 digits. It may miss a copy
    of a multiple eigenvalue. But the squares of all eigenvalues of the graph have a known sum, and those not found are
    no larger than the root of the rest. Where that is not enough, `prove` shows that none is missing.

    Args:
        weights: ``(n, n)`` symmetric, values in 0..1, the diagonal above 0.

    Attributes:
        root: ``(n,)`` square roots of the degrees.
        values: the smallest eigenvalues, ascending; the first is 0; all of them if ``complete``.
        floor: all eigenvalues below it are among the ``values``.
    """

    def __init__(self, weights: NDArray[np.float64]) -> None:
        self.root = np.sqrt(weights.sum(axis=1))
        self._graph = weights / self.root
        self._graph /= self.root[:, None]  # in place: three times faster
        self._squares = np.vdot(self._graph, self._graph)
        self._suspect = False
        self._keep(np.zeros(1), self.root[:, None] / np.linalg.norm(self.root))

    def _keep(self, values: NDArray[np.float64], vectors: NDArray[np.float64] | None) -> None:
        self.values, self._vectors = values, vectors
        rest = self._squares - np.square(1 - values).sum()
        self.floor = np.inf if self.complete else 1 - np.sqrt(max(rest, 0)) - TINY

    @property
    def complete(self) -> bool:
        """True if all eigenvalues are known."""
        return len(self.values) == len(self._graph)

    def extend(self) -> None:
        """Finds the next number in `KEPT` of eigenvalues, or all if there is none, or if Lanczos does not converge."""
        n = len(self._graph)
        kept = [count for count in KEPT if len(self.values) < count <= n // LANCZOS_SHARE]
        if kept and not self._suspect:
            # Only one triangle is read: half the memory. The transpose, in Fortran's order, is not copied.
            product = LinearOperator((n, n), matvec=partial(dsymv, 1.0, self._graph.T), dtype=np.float64)
            start = np.random.default_rng(0).standard_normal(n)  # a fixed start makes it repeatable
            try:
                values, vectors = eigsh(product, k=kept[0], which="LA", v0=start)
            except ArpackError:
                pass
            else:
                order = values.argsort()[::-1]
                self._keep(1 - values[order], vectors[:, order])
                return
        self._keep(eigvalsh(np.eye(n) - self._graph), None)

    def prove(self) -> bool:
        """True if no eigenvalue is missing among the ``values``. If one is, the next `extend` finds all."""
        if self.floor < self.values[-1]:
            assert self._vectors is not None
            # The known eigenvalues are moved up by 2. A Cholesky decomposition exists only if all others are larger.
            moved = 2 * self._vectors @ self._vectors.T
            moved -= self._graph
            moved[np.diag_indices_from(moved)] += 1 - (self.values[-1] - NEAR_TIE)
            self._suspect = dpotrf(moved.T, overwrite_a=True)[1] != 0
            if not self._suspect:
                self.floor = self.values[-1]
        return bool(self.floor >= self.values[-1])

    def vectors(self, count: int) -> NDArray[np.float64]:
        """``(n, count)`` eigenvectors of the smallest eigenvalues."""
        known = self._vectors
        if (
            known is None
            or count >= known.shape[1]
            or self.values[count] - self.values[count - 1] < NEAR_TIE
            or (self.floor < self.values[count] and not self.prove())
        ):
            known = eigh(np.eye(len(self._graph)) - self._graph)[1]
        return known[:, :count]

    def largest_later_gap(self, floor: float) -> float:
        """A bound on the `relative_gaps` of all eigenvalues above the ``floor``, if all below it are known.

        All eigenvalues sum to the trace, so that the first of these cannot be large: all later ones are at least as
        large. No eigenvalue exceeds 2.
        """
        least = max(floor, self.floor, 0.0)
        known = self.values[self.values <= least]
        count, n = len(known), len(self._graph)
        index = np.arange(count, n)
        before = known.sum() + (index - count) * least
        largest = np.minimum(2, (n - np.trace(self._graph) - before) / (n - index))
        means = (before + largest) / (index + 1)
        return float(((largest - means) / (means + TINY)).max(initial=-np.inf))


def cluster_qr(vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Assigns each row ``(n, k)`` of k eigenvectors to a cluster, ``(n,)`` in 0..k-1, without a random start."""
    clusters = vectors.shape[1]
    pivots = qr(vectors.T, mode="r", pivoting=True)[-1][:clusters]  # the k rows that differ most
    left, _, right = svd(vectors[pivots].T)
    labels: NDArray[np.int64] = np.abs(vectors @ (left @ right)).argmax(axis=1)
    return labels
