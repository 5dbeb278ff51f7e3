"""The photographs that installed packages carry, decoded and scored as a run does it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from datasets.photos import Photos
from datasets.transforms import classes_in_square, square_image, square_label
from eval.matching import contingency, match_contingency
from eval.protocols import PROTOCOLS

PHOTOS = Photos()


@dataclass(frozen=True)
class Picture:
    """One decoded picture.

    Attributes:
        image: ``(3, P, P)``.
        truth: ``(P, P)``.
        classes: in the truth.
    """

    image: Tensor
    truth: Tensor
    classes: int


def decoded(id: str, size: int) -> Picture:
    """A picture and its truth at ``size`` pixels."""
    sample = PHOTOS.load(id)
    return Picture(square_image(sample, size), square_label(sample, size), classes_in_square(sample))


def score(labels: Tensor, picture: Picture) -> None:
    """Matches ``(P, P)`` labels to the truth under each protocol."""
    table = contingency(labels, picture.truth.to(labels.device), len(PHOTOS.classes))
    for protocol in PROTOCOLS:
        match_contingency(table, protocol)
