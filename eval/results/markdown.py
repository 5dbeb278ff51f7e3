"""Formats tables as Markdown whose columns also line up in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from eval.protocols import ProtocolName

_CAPTIONS: Mapping[ProtocolName, str] = {
    "official": "Protocol `official`, as in the paper: classes absent from an image are charged leftover segments",
    "present": "Protocol `present`: only the classes present in an image are matched",
    "dataset": "Protocol `dataset`: label numbers are matched once for all images; not comparable with the others",
}


def caption(protocol: ProtocolName) -> str:
    """A line that explains a protocol."""
    return _CAPTIONS.get(protocol, f"Protocol `{protocol}`: outside this project")


CLASS_AGNOSTIC = (
    "Without classes, mean over the images: adjusted Rand index, variation of information (0 is best), covering of the "
    "truth by the segments"
)

FEW_IMAGES = 10
"""Below this number of images, resamples are few and alike, so an interval says little about other images."""


def markdown(overview: pd.DataFrame, names: Sequence[str], official_count: int | None = None) -> str:
    """Formats the summary of a run, one table per protocol.

    Args:
        overview: the summary, from `eval.results.tables.summary`.
        names: names of its rows, in order, see `eval.results.names.telling_names`.
        official_count: number of images in the published evaluation; None if the data set has none.
    """
    blocks = []
    for protocol, rows in overview.groupby("protocol", sort=False):
        cells = {
            "method": names,
            "ACC % [95 %]": [with_interval(*row) for row in rows[["acc", "acc_low", "acc_high"]].to_numpy()],
            "mIoU % [95 %]": [with_interval(*row) for row in rows[["miou", "miou_low", "miou_high"]].to_numpy()],
            "paper ACC / mIoU": [
                f"{fixed(row.published_acc)} / {fixed(row.published_miou)}" for row in rows.itertuples()
            ],
            "segments": [fixed(value) for value in rows["segments"]],
            "s / image": [fixed(value, 2) for value in rows["seconds_per_image"]],
            "images": [image_count(row.images, row.failed, official_count) for row in rows.itertuples()],
        }
        if rows[["published_acc", "published_miou"]].isna().all(axis=None):
            del cells["paper ACC / mIoU"]
        blocks.append(f"{caption(protocol)}\n\n{pipe_table(cells)}")
    blocks.append(f"{CLASS_AGNOSTIC}\n\n{pipe_table(_class_agnostic(overview, names))}")
    caveats = [f"{caveat}\n" for caveat in [*coarse(overview["images"]), *mixed(overview)]]
    return "\n".join([*blocks, *caveats])


def _class_agnostic(overview: pd.DataFrame, names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Columns of the scores without matching."""
    rows = overview[overview["protocol"] == overview["protocol"].iloc[0]]
    columns: dict[str, Sequence[str]] = {"method": names}
    for name, (title, decimals) in {"ari": ("ARI %", 1), "voi": ("VoI bits", 2), "covering": ("covering %", 1)}.items():
        ends = rows[[name, f"{name}_low", f"{name}_high"]].to_numpy()
        columns[f"{title} [95 %]"] = [with_interval(value, low, high, decimals=decimals) for value, low, high in ends]
    return columns


def coarse(images: Iterable[int]) -> list[str]:
    """A list with one caveat if an interval of a table is over few images; else empty. One image has no interval."""
    fewest = min((int(count) for count in images if count > 1), default=FEW_IMAGES)
    return [f"Intervals over {fewest} images: coarse."] if fewest < FEW_IMAGES else []


def mixed(overview: pd.DataFrame) -> list[str]:
    """A list with one caveat if the images of a table were evaluated on several devices; else empty."""
    devices = sorted({device for cell in overview["device"].dropna() for device in cell.split(", ") if device})
    return [f"Evaluated on several devices: {', '.join(devices)}."] if len(devices) > 1 else []


def fixed(value: float, decimals: int = 1, sign: str = "") -> str:
    """``63.0``, never ``-0.0``; ``+63.0`` with ``sign="+"``; ``-`` for NaN."""
    return "-" if pd.isna(value) else f"{value:{sign}z.{decimals}f}"


def with_interval(value: float, low: float, high: float, sign: str = "", decimals: int = 1) -> str:
    """``63.0 [60.1, 65.9]``; ``63.0`` without an interval; ``-`` for NaN."""
    ends = "" if pd.isna(low) else f" [{fixed(low, decimals, sign)}, {fixed(high, decimals, sign)}]"
    return fixed(value, decimals, sign) + ends


def image_count(evaluated: int, failed: int, official_count: int | None) -> str:
    """``8``, or ``812 of 2,175`` if the published evaluation has more images; also the number of failed images."""
    text = f"{evaluated:,}"
    if official_count is not None and evaluated < official_count:
        text += f" of {official_count:,}"
    return f"{text}, {failed:,} failed" if failed else text


def pipe_table(columns: Mapping[str, Iterable[str]]) -> str:
    """A padded Markdown table: first column aligned left, the others right."""
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    first, *others = (max(map(len, cells)) for cells in zip(*rows, strict=True))
    lines = [[row[0].ljust(first), *map(str.rjust, row[1:], others)] for row in rows]
    lines.insert(1, ["-" * first, *("-" * (width - 1) + ":" for width in others)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
