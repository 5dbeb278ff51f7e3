"""Decodes and scores the built-in photographs like a run."""

from __future__ import annotations

from torch import Tensor

from datasets.photos import Photos
from eval.decoding import DecodedPicture, decode
from eval.matching import contingency, match_contingency
from eval.protocols import PROTOCOLS

PHOTOS = Photos()


def decoded(id: str, size: int) -> DecodedPicture:
    """A picture and its ground truth at ``size`` pixels."""
    return decode(PHOTOS, id, size, [size])


def score(labels: Tensor, picture: DecodedPicture) -> None:
    """Matches ``(P, P)`` labels to the ground truth under each protocol."""
    table = contingency(labels, picture.truths[len(labels)].to(labels.device), len(PHOTOS.classes))
    for protocol in PROTOCOLS:
        match_contingency(table, protocol)
