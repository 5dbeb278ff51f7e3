"""The wandb runs of real results: real wandb, offline. The tests read the files that it writes."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from eval.metrics import accuracy, mean_iou
from eval.protocols import PROTOCOLS
from eval.results.names import telling_names
from tests.conftest import ROOT
from tests.helpers.made_records import counts_of
from tests.helpers.wandb_file import BLOCK, read_wandb_file
from tests.helpers.wandb_runs import OFFLINE, begin, images, recorded, rows

METRICS = {"acc": accuracy, "miou": mean_iou}


def test_each_row_has_a_run_with_its_settings(tracked: Path) -> None:
    runs = [file for _, file in recorded(tracked)]
    assert len(runs) == 3
    for file, row, name in zip(runs, rows(tracked), telling_names(rows(tracked)), strict=True):
        assert (file.run.project, file.run.run_group, file.run.display_name) == ("diffseg", "run", name)
        assert file.run.job_type == row.settings["segmenter"]["name"]
        assert file.run.run_id.endswith(row.key)
        assert {key: value for key, value in file.config.items() if key != "_wandb"} == row.settings
        assert file.exit_code == 0
    assert [file.config["segmenter"].get("tau") for file in runs] == [0.2, 0.4, None]
    assert len({file.run.display_name for file in runs}) == 3


def test_history_has_each_image_and_the_score_so_far(tracked: Path) -> None:
    per_image = pd.read_csv(tracked / "per_image.csv").set_index(["row", "protocol", "image"])
    names = telling_names(rows(tracked))
    for name, row, (_, file) in zip(names, rows(tracked), recorded(tracked), strict=True):
        records = images(tracked, row.key)
        assert len(file.history) == len(records) == 2
        for step, (shown, record) in enumerate(zip(file.history, records, strict=True)):
            assert (shown["_step"], shown["image/id"], shown["images"]) == (step, record["image"], step + 1)
            assert shown["image/segments"] == record["segments"]
            for protocol in PROTOCOLS:
                total = sum(counts_of(each, protocol) for each in records[: step + 1])
                for metric, score in METRICS.items():
                    own = per_image.loc[(name, protocol, record["image"]), metric]
                    assert shown[f"image/{protocol}/{metric}"] == pytest.approx(own, abs=1e-4)
                    assert shown[f"running/{protocol}/{metric}"] == pytest.approx(100 * score(total))


def test_summary_has_the_final_scores_with_intervals(tracked: Path) -> None:
    tables = pd.read_csv(tracked / "summary.csv")
    for number, (_, file) in enumerate(recorded(tracked)):
        for row in tables.iloc[2 * number : 2 * number + 2].to_dict("records"):
            for name in ("acc", "acc_low", "acc_high", "miou", "miou_low", "miou_high"):
                assert file.summary[f"final/{row['protocol']}/{name}"] == row[name]
            assert file.summary["final/images"] == row["images"] == 2
            assert file.summary["final/segments"] == row["segments"]
        assert not [name for name in file.summary if name.startswith("image/")], "of the last image alone"
        for sweep in (ROOT / "experiments" / "sweeps").glob("*.yaml"):
            assert yaml.safe_load(sweep.read_text())["metric"]["name"] in file.summary


def test_table_panels_and_artifact_are_those_of_the_results(tracked: Path) -> None:
    per_class = pd.read_csv(tracked / "per_class.csv")
    panels = {path.stem: np.asarray(Image.open(path)) for path in (tracked / "panels").glob("*.png")}
    for name, (place, file) in zip(telling_names(rows(tracked)), recorded(tracked), strict=True):
        last = file.history[-1]
        table = json.loads((place / "files" / last["per_class.path"]).read_text())
        shown = pd.DataFrame(table["data"], columns=table["columns"])
        expected = per_class[per_class["row"] == name].drop(columns=["number", "row"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(shown, expected, check_dtype=False)
        assert shown["iou"].notna().any()

        shown = {"overview": last["overview.path"]}
        shown |= {last[f"panels/{number}.caption"]: last[f"panels/{number}.path"] for number in range(1, len(panels))}
        assert set(shown) == set(panels)
        for id, path in shown.items():
            assert np.array_equal(np.asarray(Image.open(place / "files" / path)), panels[id])

        (artifact,) = [each for each in file.artifacts if each.type == "results"]
        tables = {path.name for path in tracked.glob("*.csv")}
        assert {each.path for each in artifact.manifest.contents} == {
            *("records.jsonl", "config.yaml", "provenance.json"),
            *tables,
        }
        for each in [each for artifact in file.artifacts for each in artifact.manifest.contents]:
            content = Path(each.local_path).read_bytes()  # where an upload finds it
            assert base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode() == each.digest
            assert Path(each.local_path).is_relative_to(tracked)


def test_only_results_are_sent(tracked: Path) -> None:
    for place, file in recorded(tracked):
        assert not {"output", "output_raw", "stats", "environment"} & set(file.kinds)
        assert not file.run.git.commit
        assert {path.relative_to(place / "files").parts[0] for path in (place / "files").rglob("*")} == {"media"}


def test_a_later_process_tracks_the_same_runs(folder: Path) -> None:
    """Offline, each process records the run from its beginning, so the last file is complete."""
    first, second = images(folder)[:2]
    tracking = begin(OFFLINE, folder, slice(1))
    tracking.record(first)
    tracking.close(failed=True)
    tracking = begin(OFFLINE, folder, slice(1))
    for record in images(folder, first["key"]):
        tracking.record(record)
    tracking.close(failed=False)
    (_, before), (_, after) = recorded(folder)
    assert before.run.run_id == after.run.run_id
    assert not after.run.resume
    assert (len(before.history), before.exit_code) == (1, 1)
    assert (len(after.history), after.exit_code) == (2, 0)
    assert second["key"] != first["key"]

    shutil.rmtree(folder / "wandb")  # as with a deleted results folder: other results get another run
    begin(OFFLINE, folder, slice(1)).close(failed=False)
    assert recorded(folder)[0][1].run.run_id != before.run.run_id


def test_the_reader_of_wandb_files_joins_records_and_sees_damage(tmp_path: Path, folder: Path) -> None:
    text = "x" * (2 * BLOCK)  # longer than a block, so stored in three parts
    tracking = begin(OFFLINE, folder, slice(1))
    run = next(iter(tracking.runs.values())).run  # type: ignore[attr-defined]
    run.summary["long"] = text
    tracking.close(failed=False)
    ((place, file),) = recorded(folder)
    assert file.summary["long"] == text
    (path,) = place.glob("*.wandb")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AssertionError, match="checksum"):
        read_wandb_file(path)
