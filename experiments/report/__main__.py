"""Writes a results folder as one HTML page: ``python -m experiments.report RESULTS [-o FILE]`` (a run or a sweep).

The page contains everything that it shows and opens from disk. Its content security policy forbids network access.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import pandas as pd
from eval.results.reading import Results, ResultsError, read_results, swept
from eval.storage.records import RecordError
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from diffseg.command import ERROR_STATUS, run_command
from diffseg.command_line import Parser, path_argument
from diffseg.palette import palette
from eval.results.markdown import caption, coarse, fixed
from eval.storage.files import WriteError, write_text
from eval.storage.layout import SUMMARY_CSV, records_folder
from eval.storage.provenance import read_provenance
from experiments.plotting.all_plots import all_plots
from experiments.plotting.data_uri import data_uri

if TYPE_CHECKING:
    from experiments.report.gallery import GalleryPicture

PAGE = Path(__file__).with_name("page")
FACTS = {
    "dataset": "Data set",
    "label_source": "Ground truth",
    "backbone": "Backbone",
    "size": "Input side in pixels",
    "sides": "Sides of the attention maps",
    "layers": "Layers",
    "timestep": "Time step",
}
PICTURE = ["dataset", "label_source", "image"]
MOST_COLUMNS = 4  # settings that the gallery compares when the page opens


def report(results: Results, shown: Sequence[GalleryPicture], reasons: Sequence[str]) -> str:
    """Renders the HTML page.

    Args:
        results: results, from `read_results`.
        shown, reasons: from `read_gallery` for these results.
    """
    script = (PAGE / "report.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["fixed"] = fixed
    summary, made_with = results.summary, _provenance(results)
    return environment.get_template("report.html").render(
        title=f"{', '.join(summary['experiment'].unique())} on {', '.join(summary['dataset'].unique())}",
        style=Markup((PAGE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # The page's policy runs only the script with this hash, so a script hidden in a result cannot run.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        facts=_facts(results, made_with),
        made_with=made_with,
        failures=_failures(results.per_image),
        unfinished=results.unfinished,
        protocols={protocol: caption(protocol) for protocol in summary["protocol"].unique()},
        parameters=[name for name in swept(summary) if name != "segmenter"],
        published=bool(summary["published_acc"].notna().any()),
        rows=_summary_rows(summary),
        caveats=coarse(summary["images"]),
        classes=_class_tables(results.per_class),
        plots={name.replace("_", " "): _svg_uri(figure) for name, figure in all_plots(results).items()},
        reasons=reasons,
        data={
            "settings": list(summary["setting"].unique()),
            "columns": _first_columns(summary),
            "pictures": _pictures(results, shown),
        },
    )


def _facts(results: Results, made_with: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Facts at the head of the page: label -> text."""
    summary = results.summary
    values = {label: ", ".join(filter(None, summary[name].unique())) for name, label in FACTS.items()}
    images = results.per_image.groupby(["dataset", "label_source"])["image"].nunique()
    written = max((folder / SUMMARY_CSV).stat().st_mtime for folder in results.folders.values())
    values["Pictures"] = ", ".join(f"{count:,}" for count in images)
    values["Tables written"] = f"{datetime.fromtimestamp(written, UTC):%Y-%m-%d %H:%M} UTC"
    commits = [each["Commit"].partition("+") for each in made_with]
    values["Commit"] = ", ".join(dict.fromkeys(commit[:12] + plus + changes for commit, plus, changes in commits))
    return {label: value for label, value in values.items() if value}


def _provenance(results: Results) -> list[dict[str, str]]:
    """Code, versions and hardware of the jobs, without repetitions."""
    found = []
    for folder in dict.fromkeys(map(records_folder, results.folders.values())):
        for each in read_provenance(folder):
            hardware = each["hardware"]
            facts = {
                "Commit": each["git_commit"] or "unknown",
                "Code": f"sha256 {each['code'][:16]}",
                "Python": each["python"],
                "Packages": ", ".join(f"{name} {version}" for name, version in each["versions"].items() if version),
                "Hardware": ", ".join(
                    [hardware["system"], hardware["machine"], f"{hardware['cpu_cores']} cores", *hardware["gpus"]]
                ),
            }
            if facts not in found:
                found.append(facts)
    return found


def _failures(per_image: pd.DataFrame) -> list[dict[str, str]]:
    """Pictures that could not be evaluated, each with its reason and the settings that failed."""
    failed = per_image[per_image["status"] == "failed"]
    return [
        {"image": image, "reason": reason, "settings": "; ".join(group["setting"].unique())}
        for (image, reason), group in failed.groupby(["image", "reason"], sort=False)
    ]


def _summary_rows(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Makes a row of the summary table for each setting; ``scores`` holds the scores of each protocol."""
    return [
        {**group.iloc[0].to_dict(), "scores": group.set_index("protocol").to_dict("index")}
        for _, group in summary.groupby("setting", sort=False)
    ]


def _class_tables(per_class: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Protocol -> rows of its class table: name, colour, number of pictures with the class, IoU by setting."""
    colours = palette(per_class["class_id"].max() + 1).tolist()
    tables: dict[str, list[dict[str, Any]]] = {}
    for (protocol, number, name), rows in per_class.groupby(["protocol", "class_id", "class"]):
        if rows["iou"].notna().any():
            colour = "#" + bytes(colours[number]).hex()
            iou = rows.set_index("setting")["iou"].to_dict()
            row = {"class": name, "colour": colour, "images": rows["images"].max(), "iou": iou}
            tables.setdefault(protocol, []).append(row)
    return tables


def _first_columns(summary: pd.DataFrame) -> list[int]:
    """Numbers of the settings shown when the page opens: the first of each method; if there is one method, its first
    and last.
    """
    settings = list(summary["setting"].unique())
    first = summary.groupby("name", sort=False)["setting"].first().tolist()
    chosen = first if len(first) > 1 else list(dict.fromkeys([settings[0], settings[-1]]))
    return [settings.index(setting) for setting in chosen[:MOST_COLUMNS]]


def _pictures(results: Results, shown: Sequence[GalleryPicture]) -> list[dict[str, Any]]:
    """Every picture with its scores by setting, and with its tiles if the gallery shows it.

    A score is ``{segments, PROTOCOL: [ACC, mIoU]}``, the reason of a failure, or None: not evaluated.
    """
    number = {setting: index for index, setting in enumerate(results.summary["setting"].unique())}
    tiles = {(each.dataset, each.label_source, each.image): each for each in shown}
    pictures = []
    for key, rows in results.per_image.groupby(PICTURE, sort=False):
        scores: list[Any] = [None] * len(number)
        for row in rows.itertuples():
            if row.status == "failed":
                scores[number[row.setting]] = f"failed: {row.reason}"
                continue
            found = scores[number[row.setting]] or {"segments": int(row.segments)}
            scores[number[row.setting]] = found | {row.protocol: [_json_number(row.acc), _json_number(row.miou)]}
        picture: dict[str, Any] = {"id": key[-1], "scores": scores}
        if key in tiles:
            facts = asdict(tiles[key])
            labels = {number[setting]: uri for setting, uri in facts["labels"].items()}
            picture |= {name: facts[name] for name in ("photo", "truth", "classes")} | {"labels": labels}
        pictures.append(picture)
    return pictures


def _json_number(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not have."""
    return None if pd.isna(value) else value


def _svg_uri(figure: Figure) -> str:
    """A figure as a data URI. Equal figures give equal bytes. In data URIs, the ids of several SVGs cannot collide."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return data_uri(file.getvalue(), "svg+xml")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m experiments.report", description="Writes one HTML page of results: tables, plots, gallery."
    )
    parser.add_argument("results", type=path_argument, help="results_dir of a run or of a sweep (-m)")
    parser.add_argument(
        "-o", "--output", type=path_argument, help="the page (default: report.html in the results folder)"
    )
    options = parser.parse_args(arguments)
    output = options.output or options.results / "report.html"
    try:
        results = read_results(options.results)
        from experiments.report.gallery import read_gallery

        shown, reasons = read_gallery(results)
        write_text(output, report(results, shown, reasons))
    except (RecordError, ResultsError, WriteError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ERROR_STATUS)
    for reason in reasons:
        print(f"not in the gallery: {reason}", file=sys.stderr)
    print(f"Report: {output} ({output.stat().st_size / 1e6:.1f} MB, {len(shown)} pictures in the gallery)")


if __name__ == "__main__":
    run_command(main)
