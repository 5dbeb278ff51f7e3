"""Reading results: each line of the tables gets the parameters of its row."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from eval.results.reading import Results, ResultsError, read_results, swept
from eval.results.row_results import RowResults

from eval.results.columns import setting_names
from eval.results.tables import write_tables
from tests.conftest import ROOT
from tests.helpers.made_records import CLASSES, records, results_of
from tests.helpers.runs import SMALL, evaluate

SWEEP = ("segmenter.tau=0.2,0.6", "segmenter.anchors=2,4", "backbone.size=112", "backbone.sides=[8]")
FEW = ("dataset.limit=2", "panels=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def sweep(folder: Path, dinov2: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A real sweep, run by the first test that needs it."""
    if not (folder / "sweep").is_dir():
        assert evaluate(folder / "sweep", *SWEEP, *FEW, capture=capsys, multirun=True).status == 0
    return folder / "sweep"


@pytest.fixture
def run(folder: Path, dinov2: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A real run of four methods, run by the first test that needs it."""
    if not (folder / "run").is_dir():
        assert evaluate(folder / "run", "experiment=demo", *FEW, *SMALL, capture=capsys).status == 0
    return folder / "run"


def assert_like_the_files(results: Results) -> None:
    """Asserts that each table holds its CSV files one after the other, with the parameters in front."""
    for name in ("summary", "per_class", "per_image"):
        table = getattr(results, name)
        for job, folder in results.folders.items():
            own = table[table["job"] == job]
            file = pd.read_csv(folder / f"{name}.csv", dtype=str).fillna("")
            renamed = own.drop(columns=["name", *([] if name == "summary" else setting_names(own))])
            if name == "summary":
                renamed["row"] = own["name"]
            for column in file:
                if pd.api.types.is_numeric_dtype(own[column]):
                    assert list(pd.to_numeric(file[column])) == pytest.approx(list(own[column]), nan_ok=True)
                else:
                    assert list(file[column]) == list(renamed[column].fillna("")), column


def test_a_sweep_is_read_with_the_parameters_of_each_job(sweep: Path) -> None:
    results = read_results(sweep)
    assert_like_the_files(results)
    assert list(results.folders) == ["0", "1", "2", "3"]
    assert swept(results.summary) == ["tau", "anchors"]
    assert list(results.summary["setting"].unique()) == [
        f"tau={tau}, anchors={anchors}" for tau in ("0.2", "0.6") for anchors in ("2", "4")
    ]
    for table in (results.summary, results.per_class, results.per_image):
        for job, (tau, anchors) in enumerate((tau, anchors) for tau in ("0.2", "0.6") for anchors in ("2", "4")):
            own = table[table["job"] == str(job)]
            assert set(zip(own["tau"], own["anchors"], strict=True)) == {(tau, anchors)}
    assert results.unfinished == ()


def test_rows_of_one_run_are_matched_by_their_place(run: Path) -> None:
    results = read_results(run)
    assert_like_the_files(results)
    assert list(results.summary["setting"].unique()) == ["K-Means-C", "K-Means-S", "DBSCAN", "DiffSeg"]
    assert swept(results.summary) == ["segmenter"]  # not clusters or tau, which follow from it
    pairs = {"K-Means-C": "kmeans_c", "K-Means-S": "kmeans_s", "DBSCAN": "dbscan", "DiffSeg": "diffseg"}
    for table in (results.per_class, results.per_image):
        assert dict(zip(table["setting"], table["segmenter"], strict=True)) == pairs


@pytest.mark.parametrize("protocols", [("official",), ("official", "present")])
def test_rows_may_have_different_pictures(tmp_path: Path, protocols: tuple[str, ...]) -> None:
    """A run was killed between two backbones, and the tables were made of its records."""
    rows = [RowResults("DiffSeg", size, {"backbone": {"size": size}}) for size in ("224", "448", "896")]
    made = {"224": records(0, 5, failed=["broken"]), "448": records(1, 2), "896": []}
    write_tables(tmp_path, results_of(rows, made), [f"class {number}" for number in range(CLASSES)], protocols)
    results = read_results(tmp_path)
    assert_like_the_files(results)
    for size, expected in made.items():
        lines = results.per_image[results.per_image["size"] == size]
        assert sorted(lines["image"]) == sorted(record["image"] for record in expected for _ in protocols)
        assert set(lines["row"]) == ({f"DiffSeg, size={size}"} if expected else set())


def test_an_audit_has_its_first_rows_once(folder: Path, dinov2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = evaluate(folder / "audit", "experiment=protocol_audit", "dataset.limit=1", *SMALL, capture=capsys)
    assert run.status == 0, run.err
    results = read_results(run.folder)
    assert len(results.summary) < len(run.table())  # anchor grid `even` is that of the first row
    assert not results.summary.duplicated(["setting", "protocol"]).any()
    assert len(results.per_image) == len(results.summary)  # one picture
    settings = set(results.summary["setting"])
    assert {"DiffSeg", "DiffSeg, scheme=paper", "DiffSeg, protocol.size=320"} <= settings
    assert len(results.audit) == len(run.table("audit"))
    assert results.audit["choice"].iloc[0] == ""


def test_settings_of_several_folders_have_distinct_names(sweep: Path, run: Path) -> None:
    both = read_results(sweep, run)
    assert list(both.folders) == [*(f"{sweep}/{job}" for job in range(4)), str(run)]
    assert not both.summary.duplicated(["setting", "protocol"]).any()
    assert {"diffseg, tau=0.2, anchors=2", "DiffSeg", "DBSCAN"} <= set(both.summary["setting"])
    twice = read_results(run, run.parent / "run")
    assert len(twice.folders) == 1  # the same folder under the same name is one
    again = read_results(run, run / ".." / "run")
    assert "DiffSeg #2" in set(again.summary["setting"])


def test_numbers_stay_text_where_they_are_names(sweep: Path, tmp_path: Path) -> None:
    for name in ("summary", "per_class", "per_image"):
        text = (sweep / "0" / f"{name}.csv").read_text()
        (tmp_path / f"{name}.csv").write_text(text.replace("astronaut", "000000000139"))
    results = read_results(tmp_path)
    assert "000000000139" in set(results.per_image["image"])
    assert set(results.summary["anchors"]) == {"2"}
    assert set(results.summary["eps"]) == {""}


def test_jobs_are_in_the_order_of_their_numbers(sweep: Path, tmp_path: Path) -> None:
    for number, source in ((10, 1), (9, 0), (2, 2)):
        (tmp_path / str(number)).symlink_to(sweep / str(source))
    (tmp_path / "11").mkdir()
    results = read_results(tmp_path)
    assert list(results.folders) == ["2", "9", "10"]
    assert results.unfinished == (tmp_path / "11",)


def test_missing_and_damaged_tables_are_one_line(sweep: Path, tmp_path: Path) -> None:
    def error(*folders: Path) -> str:
        with pytest.raises(ResultsError) as caught:
            read_results(*folders)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert error(tmp_path / "none").startswith(f"{tmp_path}/none: no summary.csv")
    assert error(tmp_path).startswith(f"{tmp_path}: no summary.csv")
    assert error(sweep, tmp_path).startswith(f"{tmp_path}: no summary.csv")
    (tmp_path / "summary.csv").write_bytes((sweep / "0" / "summary.csv").read_bytes())
    assert error(tmp_path).startswith(f"{tmp_path}/per_class.csv: cannot be read (No such file")
    for name in ("per_class", "per_image"):
        lines = (sweep / "0" / f"{name}.csv").read_text().splitlines(keepends=True)
        (tmp_path / f"{name}.csv").write_text("".join(lines[:-1]))
    assert error(tmp_path).startswith(f"{tmp_path}/per_class.csv: does not belong to the summary.csv beside it")
    for name in ("per_class", "per_image"):
        (tmp_path / f"{name}.csv").write_bytes((sweep / "0" / f"{name}.csv").read_bytes())
    read_results(tmp_path)
    pd.read_csv(tmp_path / "per_image.csv").drop(columns=["tp", "fp", "fn"]).to_csv(tmp_path / "per_image.csv")
    assert error(tmp_path).startswith(f"{tmp_path}/per_image.csv: has no column tp, which older versions did not")
    (tmp_path / "summary.csv").write_text("")
    assert error(tmp_path).startswith(f"{tmp_path}/summary.csv: cannot be read")


def test_reading_imports_no_torch() -> None:
    code = (
        "import sys, experiments.plotting.all_plots; "
        "print(*({'torch', 'matplotlib.pyplot', 'hydra'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
