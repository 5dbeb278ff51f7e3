"""``--rerun`` repeats the run or the sweep of a results folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from experiments.running.rerun import with_rerun
from hydra.core.override_parser.overrides_parser import OverridesParser

from eval.config import ConfigError
from experiments.evaluate import main
from experiments.running import plan
from experiments.running.arguments import normalise_argv
from tests.helpers.runs import SMALL, evaluate

pytestmark = pytest.mark.usefixtures("dinov2")
FEW = ("dataset.limit=2", "panels=0", *SMALL)


def rerun(*arguments: str, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("sys.argv", ["evaluate", *arguments])
    main()


def test_a_run_is_repeated_in_another_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(tmp_path / "first", *FEW, "segmenter.tau=0.35", capture=capsys)
    assert first.status == 0
    rerun("--rerun", str(first.folder), f"results_dir={tmp_path / 'again'}", patch=monkeypatch)
    for name in ("config.yaml", "per_class.csv"):
        assert (tmp_path / "again" / name).read_text() == (first.folder / name).read_text()
    (facts,) = json.loads((tmp_path / "again" / "provenance.json").read_text())
    (run,) = facts["runs"]
    assert "segmenter.tau=0.35" in run["command"]
    assert run["date"].startswith("20")
    rerun(f"--rerun={first.folder}", "segmenter.tau=0.5", patch=monkeypatch)  # a later argument wins
    assert set(first.table()["tau"]) == {0.5}


def test_a_sweep_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = evaluate(tmp_path / "sweep", *FEW, "segmenter.tau=0.3,0.4", capture=capsys, multirun=True)
    (sweep.folder / "sweep.csv").unlink()
    capsys.readouterr()
    rerun("--rerun", str(sweep.folder), patch=monkeypatch)
    assert "resuming, 4 results are already there" in capsys.readouterr().err
    assert list(sweep.table("sweep")["tau"].unique()) == [0.3, 0.4]


def test_tables_take_a_folder_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        rerun("--tables", str(tmp_path), "protocol=present", patch=monkeypatch)
    expected = "error: --tables: takes a results folder and nothing else; leave out protocol=present\n"
    assert capsys.readouterr().err == expected


def test_a_folder_that_cannot_be_rerun_is_an_error(tmp_path: Path) -> None:
    for arguments in (["--rerun"], ["--rerun", str(tmp_path / "absent")]):
        with pytest.raises(ConfigError, match="--rerun: must be followed by a results folder"):
            with_rerun(arguments)
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        with_rerun(["--rerun", str(tmp_path)])
    (tmp_path / "config.yaml").write_text("name: run\n")
    with pytest.raises(ConfigError, match="is no results folder of this version"):
        with_rerun(["--rerun", str(tmp_path)])
    assert with_rerun(["segmenter.tau=0.3", "-m"]) == ["segmenter.tau=0.3", "-m"]


@pytest.mark.parametrize("path", ["/tmp/a b", "/tmp/a=b", "/tmp/müller", "/tmp/a,b", '/tmp/a"b'])
def test_a_stored_path_is_read_as_it_was_typed(path: str) -> None:
    stored = plan._settings(normalise_argv([f"dataset.root={path}", "hydra/launcher=basic", "results_dir=elsewhere"]))
    assert len(stored) == 1
    again = normalise_argv(stored)
    assert plan._settings(again) == stored
    (override,) = OverridesParser.create().parse_overrides(again)
    assert override.value() == path
