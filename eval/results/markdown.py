"""Formats tables as Markdown whose columns also line up in a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from diffseg.texts import on_one_line
from eval.protocols import ProtocolName, needs_classes
from eval.results.columns import BITS, COLUMNS, ENDS
from eval.row import Row, ids_of

_CAPTIONS: Mapping[ProtocolName, str] = {
    "official": "Protocol `official`, as in the paper: classes absent from an image are charged leftover segments",
    "present": "Protocol `present`: only the classes present in an image are matched",
    "dataset": "Protocol `dataset`: label numbers are matched once for all images; not comparable with the others",
    "regions": "Protocol `regions`: against the regions of each person; no classes. VoI: 0 is best",
    "boundaries": "Protocol `boundaries`: boundary pixels matched one to one with those of each person; no classes",
    "instances": "Protocol `instances`: against objects; no classes. FG-ARI counts pictures without objects as 100",
    "dataset_all": "Protocol `dataset_all`: as `dataset`, but classes that no image has take part (STEGO, PiCIE)",
}


def caption(protocol: ProtocolName) -> str:
    """A line that explains a protocol."""
    return _CAPTIONS.get(protocol, f"Protocol `{protocol}`: outside this project")


SCALES = (
    "Best scale of each family of rows that differ in one number. ODS: one value for the whole set; OIS: the best for "
    "each image; best: the best for each region"
)

SCALE_TITLES = {
    "covering_ods": "covering ODS",
    "covering_ods_at": "at",
    "covering_ois": "OIS",
    "covering_best": "best",
    "pri_ods": "PRI ODS",
    "pri_ois": "PRI OIS",
    "voi_ods": "VoI ODS",
    "voi_ois": "VoI OIS",
    "f_ods": "F ODS",
    "f_ois": "F OIS",
    "ap": "AP",
}
"""Column of ``scales.csv`` -> heading."""

CLASS_AGNOSTIC = (
    "Without classes, mean over the images: adjusted Rand index, variation of information (0 is best), covering of the "
    "truth by the segments"
)

FEW_IMAGES = 10
"""Below this number of images, resamples are few and alike, so an interval says little about other images."""


def markdown(overview: pd.DataFrame, rows: Sequence[Row], names: Sequence[str]) -> str:
    """Formats the summary of a run, one table per protocol, and further tables for further data sets.

    Args:
        overview: the summary, from `eval.results.tables.summary`.
        rows: its rows, in order.
        names: names of its rows, see `eval.results.names.telling_names`.
    """
    blocks = []
    for dataset in dict.fromkeys((row.dataset_name, row.frame) for row in rows):
        numbers = [number for number, row in enumerate(rows) if (row.dataset_name, row.frame) == dataset]
        part = overview[overview["number"].isin(numbers)]
        if len(part) < len(overview):
            blocks.append(f"## {dataset[0]}, {dataset[1]} frame\n")
        blocks += _blocks(part, rows, names)
    return "\n".join([*blocks, *(f"{caveat}\n" for caveat in _caveats(overview, rows))])


def _blocks(overview: pd.DataFrame, all_rows: Sequence[Row], all_names: Sequence[str]) -> list[str]:
    """The tables of one data set."""
    blocks, last = [], None
    for protocol, lines in overview.groupby("protocol", sort=False):
        rows, names = ([values[number] for number in lines["number"]] for values in (all_rows, all_names))
        if not needs_classes(str(protocol)):
            blocks.append(f"{caption(str(protocol))}\n\n{pipe_table(_without_classes(str(protocol), lines, names))}")
            continue
        cells = {
            "method": names,
            "ACC % [95 %]": estimates(lines, "acc"),
            "mIoU % [95 %]": estimates(lines, "miou"),
            "paper ACC / mIoU": [
                f"{fixed(line.published_acc)} / {fixed(line.published_miou)}" for line in lines.itertuples()
            ],
            "classes": [_class_count(line.classes, row) for line, row in zip(lines.itertuples(), rows, strict=True)],
            "segments": [fixed(value) for value in lines["segments"]],
            "s / image": [fixed(value, 2) for value in lines["seconds_per_image"]],
            "images": [
                image_count(line.images, line.failed, row.official_count)
                for line, row in zip(lines.itertuples(), rows, strict=True)
            ],
        }
        if lines[["published_acc", "published_miou"]].isna().all(axis=None):
            del cells["paper ACC / mIoU"]
        blocks.append(f"{caption(str(protocol))}\n\n{pipe_table(cells)}")
        last = lines, names
    if last:
        lines, names = last
        cells = {
            "method": names,
            "ARI % [95 %]": estimates(lines, "ari"),
            "VoI bits [95 %]": estimates(lines, "voi", decimals=2),
            "mean covering % [95 %]": estimates(lines, "covering"),
        }
        blocks.append(f"{CLASS_AGNOSTIC}\n\n{pipe_table(cells)}")
    return blocks


def _without_classes(protocol: ProtocolName, lines: pd.DataFrame, names: Sequence[str]) -> dict[str, Sequence[str]]:
    """Columns of a protocol that needs no classes."""
    columns: dict[str, Sequence[str]] = {"method": names}
    for name in COLUMNS[protocol]:
        unit, decimals = ("bits", 2) if name in BITS else ("%", 1)
        columns[f"{name} {unit}"] = estimates(lines, name, decimals)
    if protocol == "instances":
        columns["FG-ARI with objects %"] = [fixed(value) for value in lines["fg_ari_with_objects"]]
        columns["pictures without objects"] = [fixed(value, 0) for value in lines["without_objects"]]
    columns["segments"] = [fixed(value) for value in lines["segments"]]
    columns["images"] = [
        image_count(images, failed, None) for images, failed in zip(lines["images"], lines["failed"], strict=True)
    ]
    return columns


def scales_markdown(best: pd.DataFrame) -> str:
    """Table of the best scale of each family, from `eval.results.scales.scales_table`."""
    cells: dict[str, Sequence[str]] = {"family": list(best["family"]), "parameter": list(best["parameter"])}
    for name, title in SCALE_TITLES.items():
        if best[name].isna().all():  # the rows have no such protocol
            continue
        fine = name.startswith("voi") or name.endswith("_at")
        cells[title] = [
            f"{value:g}" if name.endswith("_at") and pd.notna(value) else fixed(value, 1 + fine) for value in best[name]
        ]
    return f"{SCALES}\n\n{pipe_table(cells)}"


def _class_count(count: int, row: Row) -> str:
    """Number of classes that a mean is over: ``24 of 27``, or ``27``."""
    return "-" if pd.isna(count) else f"{count}" if count == len(row.classes) else f"{count} of {len(row.classes)}"


def coarse(images: Iterable[int]) -> list[str]:
    """A list with one caveat if an interval of a table is over few images; else empty. One image has no interval."""
    fewest = min((int(count) for count in images if count > 1), default=FEW_IMAGES)
    return [f"Intervals over {fewest} images: coarse."] if fewest < FEW_IMAGES else []


def _caveats(overview: pd.DataFrame, rows: Sequence[Row]) -> list[str]:
    """Sentences about few images, several devices, and rows of one data set with different pictures."""
    caveats = coarse(overview["images"])
    devices = sorted(set[str]().union(*(row.facts.devices for row in rows)))
    if len(devices) > 1:
        caveats.append(f"Evaluated on several devices: {', '.join(devices)}.")
    pictures = {(row.dataset_name, tuple(ids_of(row.evaluated))) for row in rows}
    if len(pictures) > len({name for name, _ in pictures}):
        caveats.append("The rows were evaluated on different images; compare rows with care.")
    return caveats


def estimates(lines: pd.DataFrame, name: str, decimals: int = 1) -> list[str]:
    """Cells of a score with its interval, of lines of ``summary.csv``."""
    ends = lines.reindex(columns=[f"{name}{end}" for end in ENDS]).to_numpy(dtype=float)
    return [with_interval(value, low, high, decimals=decimals) for value, low, high in ends]


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
    """A padded Markdown table: first column aligned left, the others right. Escapes every cell."""
    rows = [tuple(map(markdown_cell, row)) for row in (tuple(columns), *zip(*columns.values(), strict=True))]
    first, *others = (max(map(len, cells)) for cells in zip(*rows, strict=True))
    lines = [[row[0].ljust(first), *map(str.rjust, row[1:], others)] for row in rows]
    lines.insert(1, ["-" * first, *("-" * (width - 1) + ":" for width in others)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown_cell(text: str) -> str:
    r"""A text for a cell of a Markdown table, on one line, without what would end the cell or change its look.

    >>> print(markdown_cell("a|b `x`"))
    a\|b \`x\`
    """
    escaped = re.sub(r"[\\|`*<~$]", r"\\\g<0>", on_one_line(text))
    escaped = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)  # inside a word, an underscore is only an underscore
    return re.sub(r"\](?=[(\[])|&(?=#?\w+;)", r"\\\g<0>", escaped)  # links and entities
