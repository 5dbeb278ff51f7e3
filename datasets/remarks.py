"""Remarks of a run about its truth: classes that never occur, and values that are not scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from datasets.base import Dataset
from diffseg.files.label_maps import number_text
from diffseg.texts import counted

SHOWN = 5
"""Up to this number, names and values are listed; more are counted."""


def truth_remarks(
    dataset: Dataset, class_pixels: Sequence[int], unscored: Iterable[Mapping[int, int] | Mapping[str, int]]
) -> list[str]:
    """A line, or none, about the truth of the pictures of a data set that were scored.

    ``class_pixels`` are the scored pixels of each class in all pictures, ``unscored`` is `Picture.unscored` of each.
    """
    if not class_pixels:
        return []
    pictures, seen = 0, Counter[int]()
    for values in unscored:
        pictures += 1
        seen.update(int(value) for value, pixels in values.items() if pixels)
    parts = []
    absent = [name for name, pixels in zip(dataset.classes, class_pixels, strict=True) if not pixels]
    if absent:
        few = len(absent) <= SHOWN
        names = ", ".join(absent) if few else f"{len(absent)} of {len(class_pixels)} classes"
        parts.append(f"{names} {'occurs' if len(absent) == 1 else 'occur'} in no picture")
    if seen and dataset.void_source is not None:
        most = seen.most_common(SHOWN)
        common = [f"{number_text(value)} is not scored in {count:,} of {pictures:,}" for value, count in most]
        more = f" and {counted(len(seen) - SHOWN, 'other value')}" if len(seen) > SHOWN else ""
        parts.append(f"{', '.join(common)}{more} ({dataset.void_source})")
    return [f"{dataset.name}: {'; '.join(parts)}"] if parts else []
