"""Makes ``COLUMNS.md``, which explains every column of every CSV: ``python -m experiments.columns``.

The columns come from the code that writes the tables. A column without a meaning here is an error.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill

from eval.protocols import ALL_PROTOCOLS
from eval.results.columns import CONFUSION, PER_CLASS, PER_IMAGE, SUMMARY, protocol_columns
from eval.results.scales import SCALE_COLUMNS
from experiments.check.truth import COLUMNS as CHECK
from experiments.compare.comparing import COLUMNS as COMPARE
from experiments.leaderboard import LEADERBOARD_COLUMNS
from experiments.published import FOLDER
from experiments.running.audit import AUDIT_COLUMNS

HEAD = """# Columns of the tables

Made by `python -m experiments.columns`. It describes every CSV that the commands write, column by column. Numbers have
four decimals. A cell that does not apply is empty. `_low` and `_high` are the ends of the 95 % bootstrap interval over
the images (2,000 resamples, seed 0). A *row* is a method with all its settings; a table has one line for each row and
protocol. Scores of different protocols are not comparable ([which score is which](../eval/README.md)).
"""

ENDS = ("_low", "_high")
WIDTH = 120

TABLES: Mapping[str, str] = {
    "summary.csv": "One line for each row and protocol. The scores after `backbone_weights` are there with the "
    "protocols `regions`, `boundaries` and `instances`. Further settings of segmenters follow, such as `alpha` of "
    "DiffCut, under the name of their key, or as `segmenter.KEY` if another column has that name.",
    "per_class.csv": "One line for each row, protocol and class.",
    "per_image.csv": "One line for each row, protocol and image; the scores of `regions`, `boundaries` and `instances` "
    "follow as in `summary.csv`. The mIoU of several images is not the mean of theirs: it comes from sums of pixels.",
    "confusion.csv": "One line for each row, protocol, and pair of true class and matched class with common pixels.",
    "scales.csv": "One line for each family: rows that differ in one number (`regions`, `boundaries`), with six "
    "decimals. ODS: one value for the whole set; OIS: the best for each image; best: the best for each region.",
    "audit.csv": "The effect of each choice on the scores of a method (`audit: true`).",
    "compare.csv": "Rows compared with one row on the images of both (`python -m experiments.compare`).",
    "leaderboard.csv": "Results folders and published numbers (`python -m experiments.leaderboard`).",
    "CLASSES.csv": "Classes of a data set (`python -m experiments.check dataset=... -o CLASSES.csv`).",
    "experiments/published/**/*.csv": "Published numbers. `table*.csv` are tables of the DiffSeg paper.",
}
"""Name of a file -> its lines."""

Meaning = tuple[str, str]
"""Unit and meaning of a column."""

MEANINGS: Mapping[str, Meaning] = {
    "number": ("", "number of the row, from 0, the same in all tables of a folder"),
    "row": ("", "name of the row; outside `summary.csv` with the settings that tell it from its namesakes"),
    "experiment": ("", "`name` of the run's configuration"),
    "dataset": ("", "data set"),
    "label_source": ("", "where the ground truth comes from"),
    "frame": ("", "scored pixels: the centred `square` or the `whole` picture; `oclf`, `spot`: frames for objects"),
    "backbone": ("", "backbone; `none`: no network"),
    "size": ("pixels", "side of the square that enters the backbone"),
    "positions": ("", "how position embeddings are resized: `authors` or `transformers`"),
    "sides": ("cells", "sides of the attention maps, finest first"),
    "layers": ("", "layers whose attention is averaged, counted from 0"),
    "timestep": ("", "time step of a diffusion model"),
    "scheme": ("", "aggregation scheme: `official`, `paper` or `paper_normalised`"),
    "weights": ("", "aggregation weights R of the sides (not weights of a network)"),
    "bounces": ("", "2: the attention is multiplied by itself; empty: it is used as it is"),
    "segmenter": ("", "segmenter"),
    "tau": ("nats", "threshold of the KL divergence (DiffSeg), or of the cut cost (DiffCut, NCut; no unit)"),
    "anchors": ("", "anchors along one side, M"),
    "iterations": ("", "merging iterations, N"),
    "rule": ("", "merging rule: `official` or `paper`"),
    "precision": ("", "precision of the first merging iteration"),
    "grid": ("", "grid of the anchors: `official` or `even`"),
    "clusters": ("", "number of clusters, k; `truth`: the number of classes in the image's ground truth"),
    "eps": ("", "radius of a neighbourhood (DBSCAN)"),
    "min_samples": ("", "neighbours of a core point (DBSCAN, HDBSCAN)"),
    "noise": ("", "where noise points go: a separate segment (`own`) or the `nearest` cluster"),
    "seed": ("", "seed of the random start"),
    "n_init": ("", "number of random starts of K-means"),
    "upsample": ("", "upsampling from cells to pixels: `soft` or `nearest`"),
    "protocol": ("", "how segments are compared with the truth"),
    "images": ("images", "number of evaluated images"),
    "failed": ("images", "number of failed images; `per_image.csv` has the reasons"),
    "classes": ("classes", "number of classes in the mean of mIoU"),
    "segments": ("segments", "number of segments; in `summary.csv` the mean over the images"),
    "acc": ("%", "pixel accuracy, of all images together"),
    "miou": ("%", "mean IoU of the classes, of all images together"),
    "ari": ("%", "adjusted Rand index, mean over the images; 0 is chance"),
    "voi": ("bits", "variation of information, mean over the images; 0 is best"),
    "covering": ("%", "covering of the truth by the segments: mean over the images; with `regions` over all regions"),
    "published_acc": ("%", "accuracy in the paper, only in lines of the protocol `official`"),
    "published_miou": ("%", "mIoU in the paper, only in lines of the protocol `official`"),
    "seconds_per_image": ("s", "mean of `seconds` in `per_image.csv`"),
    "device": ("", "device that evaluated the images, or a list of devices"),
    "dtype": ("", "precision of the backbone, or a list"),
    "backbone_weights": ("", "name of the weights, such as a hub id; `provenance.json` has their hash"),
    "key": ("", "key of the row: the folder of its label maps in `labels/`, and its name in `records.jsonl`"),
    "pri": ("%", "probabilistic Rand index"),
    "voi_over": ("bits", "part of VoI that comes from splitting the truth's regions"),
    "voi_under": ("bits", "part of VoI that comes from joining the truth's regions"),
    "boundary_recall": ("%", "share of the people's boundary pixels that are matched"),
    "boundary_precision": ("%", "share of the segments' boundary pixels that match a person's"),
    "boundary_f": ("%", "harmonic mean of the two"),
    "mbo_i": ("%", "mean best overlap with objects"),
    "mbo_c": ("%", "mean best overlap with the classes of objects"),
    "fg_ari": ("%", "adjusted Rand index of the objects' pixels; an image without objects counts as 100"),
    "instance_miou": ("%", "mean IoU of objects matched one to one"),
    "corloc": ("%", "share of the images in which an object has an IoU above 0.5"),
    "fg_ari_with_objects": ("%", "`fg_ari` of the images with objects"),
    "without_objects": ("images", "number of images without objects"),
    "class_id": ("", "label of the class in the ground truth"),
    "class": ("", "name of the class in the ground truth"),
    "iou": ("%", "IoU of all images together"),
    "tp": ("pixels", "true positives; in `per_image.csv` a list in the order of `class_id`"),
    "fp": ("pixels", "false positives, in the same way"),
    "fn": ("pixels", "false negatives, in the same way"),
    "image": ("", "id of the image"),
    "status": ("", "`ok` or `failed`"),
    "reason": ("", "why the image failed"),
    "labelled": ("pixels", "number of pixels with a class in the ground truth"),
    "seconds": (
        "s",
        "time of backbone, aggregation and segmentation; rows that share a pass each count the whole pass",
    ),
    "matched_id": ("", "label of the class of the segment; empty if it has none"),
    "matched": ("", "name of the class of the segment"),
    "pixels": ("pixels", "number of pixels"),
    "family": ("", "name of the rows"),
    "parameter": ("", "the setting in which they differ"),
    "covering_ods_at": ("", "value of the parameter of `covering_ods`"),
    "pri_ods_at": ("", "value of the parameter of `pri_ods`"),
    "voi_ods_at": ("", "value of the parameter of `voi_ods`"),
    "f_ods_at": ("", "value of the parameter of `f_ods`, between two rows"),
    "covering_ods": ("%", "covering, ODS"),
    "covering_ois": ("%", "covering, OIS"),
    "covering_best": ("%", "covering, best"),
    "pri_ods": ("%", "probabilistic Rand index, ODS"),
    "pri_ois": ("%", "probabilistic Rand index, OIS"),
    "voi_ods": ("bits", "variation of information, ODS"),
    "voi_ois": ("bits", "variation of information, OIS"),
    "f_ods": ("%", "F of boundaries, ODS"),
    "f_ois": ("%", "F of boundaries, OIS"),
    "ap": ("%", "average precision of boundaries"),
    "method": ("", "name of the method"),
    "choice": ("", "the setting that differs from the method's first row; empty for the first row"),
    "underflow": ("%", "share of the attention that is 0 in float16"),
    "acc_change": ("points", "change of ACC from the first row, on the images of both rows"),
    "miou_change": ("points", "change of mIoU, in the same way"),
    "folder": ("", "results folder of the row"),
    "to": ("", "the row that it is compared with"),
    "pictures": ("images", "number of images of both rows, or with the class"),
    "score": ("", "the compared score"),
    "value": ("%, bits", "score of the row on these images"),
    "reference": ("%, bits", "score of the other row on these images"),
    "difference": ("points, bits", "the first minus the second"),
    "p": ("", "two-sided p of the difference (bootstrap)"),
    "p_holm": ("", "p corrected for the number of rows (Holm), separately for each score and protocol"),
    "resolution": ("pixels", "side of the square that enters the backbone"),
    "language_dependency": ("", "`yes` if the method needs text, else `no`"),
    "auxiliary_images": ("", "`yes` if the method needs further images, else `no`"),
    "unsupervised_adaptation": ("", "`yes` if the method is trained on the data set without labels, else `no`"),
    "present_miou": ("%", "mIoU, protocol `present`"),
    "official_images": ("images", "number of images in the published evaluation"),
    "results": ("", "results folder of our rows; empty for published rows"),
    "paper": ("", "the paper that reports the method"),
    "source": ("", "where the numbers were read"),
    "image_acc": ("%", "ACC of segments matched in each image"),
    "image_miou": ("%", "mIoU, protocol `official`"),
    "dataset_acc": ("%", "ACC, protocol `dataset`"),
    "dataset_miou": ("%", "mIoU, protocol `dataset`"),
    "named_acc": ("%", "ACC of methods whose classes a language model names"),
    "named_miou": ("%", "mIoU of these methods"),
    "label": ("", "label of the class"),
    "share": ("%", "share of the labelled pixels"),
    "scope": (
        "",
        "how segments got their classes: in each `image`, once for the `dataset`, or `named` by a language model",
    ),
    "convention": ("", "rules for objects: `oclf` or `spot`; empty: not known"),
    "trained_on_boundaries": ("", "`yes` if the method is trained on boundaries of BSDS500, else `no`"),
}

OTHERS: Mapping[tuple[str, str], Meaning] = {
    ("per_class.csv", "images"): ("images", "number of images with the class"),
    ("audit.csv", "method"): ("", "name of the compared rows"),
}
"""Meanings that differ in one table."""


def columns_of_tables() -> dict[str, list[str]]:
    """Name of each file of `TABLES` -> its columns."""
    published: dict[str, None] = {}
    for path in sorted(FOLDER.rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            published |= dict.fromkeys(next(csv.reader(file)))
    columns: list[Sequence[str]] = [
        [*SUMMARY, *protocol_columns(ALL_PROTOCOLS)],
        PER_CLASS,
        PER_IMAGE,
        CONFUSION,
        SCALE_COLUMNS,
        AUDIT_COLUMNS,
        COMPARE,
        LEADERBOARD_COLUMNS,
        CHECK,
        [*published],
    ]
    return {name: list(names) for name, names in zip(TABLES, columns, strict=True)}


def page() -> str:
    """The text of ``COLUMNS.md``."""
    return "\n".join([HEAD, *(line for name, names in columns_of_tables().items() for line in _section(name, names))])


def _section(table: str, columns: Sequence[str]) -> Iterator[str]:
    yield from (
        f"## `{table}`\n",
        f"{fill(TABLES[table], WIDTH)}\n",
        "| column | unit | meaning |",
        "| --- | --- | --- |",
    )
    for column in columns:
        base = next((column.removesuffix(end) for end in ENDS if column.endswith(end)), column)
        if base != column and base in columns:
            continue
        unit, meaning = OTHERS.get((table, column)) or MEANINGS[column]
        ends = "".join(f", `{end}`" for end in ENDS if column + end in columns)
        yield f"| `{column}`{ends} | {unit} | {meaning} |"
    yield ""


if __name__ == "__main__":
    print(page(), end="")
