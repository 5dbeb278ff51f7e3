"""AutoSC, DiffCut's clustering without a threshold: the number of segments follows from the graph's eigenvalues.

It is spectral clustering of the features (Couairon et al., arXiv 2406.02842). The largest relative gap between
eigenvalues chooses the exponent of the affinity and the number of clusters. A pivoted QR decomposition of the
eigenvectors assigns the clusters (Damle, Minden and Ying, 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import eigh, eigvalsh, qr, svd
from scipy.linalg.lapack import dpotrf
from scipy.sparse.linalg import ArpackError, eigsh
from torch import Tensor

from diffseg.segmenters.base import Refinable, Scene
from diffseg.segmenters.graphs import ASSIGN_SIDE, Assign, PointInput, affinity_of, assign_pixels, points_of

EigenRule = Literal["paper", "official"]
"""Eigenvectors that are clustered. ``paper``: those of the chosen alpha. ``official``: those of the last alpha, because
the authors' code overwrites the eigenvectors of the chosen one."""

ALPHAS = (1.0, 5.0, 10.0, 15.0)  # exponents that the authors try
TINY = 1e-6  # keeps the mean of the eigenvalues above 0, as in the authors' code

KEPT = (12, 40, 100)  # numbers of eigenvalues that are tried before all
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
    """Clusters a graph, its affinity raised to the best of the `ALPHAS`.

    Args:
        affinity: ``(n, n)`` symmetric, values in 0..1, the diagonal above 0.
        rule: see `EigenRule`.

    Returns:
        ``(n,)`` labels in 0..k-1; all 0 if no eigenvalue exceeds the mean of those before it, or if all features are
        equal. (The authors' code raises UnboundLocalError in both cases.)
    """
    weights = affinity.cpu().double().numpy()  # float64, because the smallest eigenvalues decide
    spectra = [_Spectrum(graph) for graph in _powers(weights)]
    best, clusters = _widest_gap(spectra)
    if clusters == 0:
        return np.zeros(len(weights), dtype=np.int64)
    chosen = spectra[best if rule == "paper" else -1]
    return cluster_qr(chosen.vectors(clusters) / chosen.root[:, None])


def _powers(weights: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The weights to the power of each of the `ALPHAS`, 1, 5, 10 and 15. Products are faster than powers."""
    square = weights * weights
    fifth = square * square * weights
    tenth = fifth * fifth
    return [weights, fifth, tenth, tenth * fifth]


def _widest_gap(spectra: Sequence[_Spectrum]) -> tuple[int, int]:
    """Finds the graph with the largest `eigengap`.

    Graphs of which too few eigenvalues are known to exclude a larger gap behind them get more, until none is left.

    Returns:
        The number of the graph, the first of equal gaps, and the number of eigenvalues before its gap.
    """
    while True:
        gaps = [eigengap(spectrum.values) for spectrum in spectra]
        best = int(np.argmax([gap for gap, _ in gaps]))
        unsure = [spectrum for spectrum in spectra if spectrum.largest_later_gap() > gaps[best][0] - NEAR_TIE]
        every = np.sort(np.concatenate([relative_gaps(spectrum.values) for spectrum in spectra]))
        if not unsure and every[-1] - every[-2] < NEAR_TIE:  # Lanczos rounds differently from the dense solver
            unsure = [spectrum for spectrum in spectra if not spectrum.complete]
        unsure = unsure or [spectrum for spectrum in spectra if not spectrum.certain()]
        if not unsure:
            return best, gaps[best][1]
        for spectrum in unsure:
            spectrum.extend()


class _Spectrum:
    """The smallest eigenvalues of a graph's normalised Laplacian: as many as needed, see `extend`.

    Lanczos finds the first few several times faster than the dense solver finds all, to 14 digits. It may miss a copy
    of a multiple eigenvalue. Therefore a Cholesky decomposition proves that none is missing: it exists only if all
    other eigenvalues are larger than those found.

    Args:
        weights: ``(n, n)`` symmetric, values in 0..1, the diagonal above 0.

    Attributes:
        root: ``(n,)`` square roots of the degrees.
        values: the smallest eigenvalues, ascending; all of them if ``complete``. One may be missing until `certain`.
    """

    def __init__(self, weights: NDArray[np.float64]) -> None:
        self.root = np.sqrt(weights.sum(axis=1))
        self._graph = weights / self.root / self.root[:, None]
        self._vectors: NDArray[np.float64] | None = None
        self._certain = self._suspect = False
        self.values = np.empty(0)
        self.extend()

    @property
    def complete(self) -> bool:
        """True if all eigenvalues are known."""
        return len(self.values) == len(self._graph)

    def extend(self) -> None:
        """Finds the next number in `KEPT` of eigenvalues, or all if there is none."""
        kept = [count for count in KEPT if len(self.values) < count <= len(self._graph) // LANCZOS_SHARE]
        if self._suspect or not kept or not self._lanczos(kept[0]):
            self.values, self._vectors, self._certain = eigvalsh(self._laplacian()), None, True

    def certain(self) -> bool:
        """True if no eigenvalue is missing among those known. If one may be, the next `extend` finds all."""
        if not self._certain:
            assert self._vectors is not None
            # The known eigenvalues are moved up by 2. Positive definite: no other one is below the largest of them.
            moved = 2 * self._vectors @ self._vectors.T - self._graph
            moved[np.diag_indices_from(moved)] += 1 - (self.values[-1] - NEAR_TIE)
            self._certain = dpotrf(moved.T, overwrite_a=True)[1] == 0
            self._suspect = not self._certain
        return self._certain

    def vectors(self, count: int) -> NDArray[np.float64]:
        """``(n, count)`` eigenvectors of the smallest eigenvalues."""
        known = self._vectors
        if known is None or count >= known.shape[1] or self.values[count] - self.values[count - 1] < NEAR_TIE:
            known = eigh(self._laplacian())[1]
        return known[:, :count]

    def largest_later_gap(self) -> float:
        """A bound on the relative gaps (`eigengap`) of all eigenvalues that are not known.

        None is below the largest known one. They sum to the rest of the trace, so that the first ones cannot be large:
        all later ones are at least as large. No eigenvalue exceeds 2.
        """
        count, n = len(self.values), len(self._graph)
        if self.complete:
            return -np.inf
        index, last, known = np.arange(count, n), self.values[-1], self.values.sum()
        rest = n - np.trace(self._graph) - known - (index - count) * last
        largest = np.minimum(2, rest / (n - index))
        means = (known + (index - count) * last + largest) / (index + 1)
        return float(((largest - means) / (means + TINY)).max())

    def _laplacian(self) -> NDArray[np.float64]:
        """``D^-1/2 (D - W) D^-1/2``."""
        return np.eye(len(self._graph)) - self._graph

    def _lanczos(self, count: int) -> bool:
        """Finds the ``count`` smallest eigenvalues. False if Lanczos did not converge."""
        start = np.random.default_rng(0).standard_normal(len(self._graph))  # a fixed start makes it repeatable
        try:
            values, vectors = eigsh(self._graph, k=count, which="LA", v0=start)
        except ArpackError:
            return False
        order = values.argsort()[::-1]
        self.values, self._vectors = 1 - values[order], vectors[:, order]
        return True


def eigengap(values: NDArray[np.float64]) -> tuple[float, int]:
    """The largest of the `relative_gaps`, and the number of eigenvalues before it."""
    gaps = relative_gaps(values)
    largest = int(gaps.argmax())
    return float(gaps[largest]), largest


def relative_gaps(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Excess of each eigenvalue over the mean of all up to it, itself included, as a fraction of this mean.

    Args:
        values: ``(n,)`` ascending.
    """
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    gaps: NDArray[np.float64] = (values - means) / (means + TINY)
    return gaps


def cluster_qr(vectors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Assigns each row of k eigenvectors to a cluster, without a random start (Damle, Minden and Ying, 2019).

    Args:
        vectors: ``(n, k)``, n >= k.

    Returns:
        ``(n,)`` in 0..k-1.
    """
    clusters = vectors.shape[1]
    pivots = qr(vectors.T, mode="r", pivoting=True)[-1][:clusters]  # the k rows that differ most
    left, _, right = svd(vectors[pivots].T)
    labels: NDArray[np.int64] = np.abs(vectors @ (left @ right)).argmax(axis=1)
    return labels
