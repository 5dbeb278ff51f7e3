"""``config.yaml``: what is written is read again, and a changed configuration deletes the old tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval.results.run_config import read_config, write_config
from eval.storage.written import WrittenFiles
from omegaconf import OmegaConf

from eval.config import ConfigError
from tests.helpers.worked_results import DBSCAN, DIFFSEG

CONFIG = OmegaConf.create({"name": "run", "title": "${name} of two rows", "results_dir": "somewhere"})


def test_the_written_rows_are_read_again(tmp_path: Path) -> None:
    write_config(tmp_path, CONFIG, ["segmenter.tau=0.3"], [DIFFSEG, DBSCAN])
    config, rows = read_config(tmp_path)
    assert {name: config[name] for name in config if name != "resolved"} == {
        **{"name": "run", "title": "run of two rows", "overrides": ["segmenter.tau=0.3"]}
    }
    assert [(row.name, row.key, row.published) for row in rows] == [
        *(("DiffSeg", "d", {"acc": 72.5, "miou": None}), ("DBSCAN", "k", None))
    ]
    assert rows[0].settings["backbone"]["sides"] == [32, 16, 8]
    assert rows[1].settings == DBSCAN.settings


@pytest.mark.parametrize(("tau", "kept"), [("0.3", True), ("0.4", False)])
def test_tables_of_another_configuration_are_deleted(tmp_path: Path, tau: str, kept: bool) -> None:
    write_config(tmp_path, CONFIG, ["segmenter.tau=0.3"], [DIFFSEG])
    WrittenFiles(tmp_path).add(["summary.csv"])
    (tmp_path / "summary.csv").touch()
    (tmp_path / "notes.txt").touch()  # a user's file
    write_config(tmp_path, CONFIG, [f"segmenter.tau={tau}"], [DIFFSEG])
    assert (tmp_path / "summary.csv").exists() == kept
    assert (tmp_path / "notes.txt").exists()
    assert read_config(tmp_path)[0].overrides == [f"segmenter.tau={tau}"]


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}/config.yaml: cannot be read"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"- 1", b"resolved: 3", b"resolved: [{colour: red}]", b"name: w\xe4rd", b"name: ${nothing}"]
)
def test_a_damaged_configuration_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{tmp_path}/config.yaml: damaged, or written by another version") as raised:
        read_config(tmp_path)
    assert "\n" not in str(raised.value)
