"""The environment variables of torchrun: the device of a process, the process that writes tables, and errors."""

from __future__ import annotations

import importlib

import pytest
from experiments.running.starting import PLUGINS

from eval.config import ConfigError
from eval.shards import Shard, join_shards


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, LOCAL_RANK, MASTER_PORT"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "29500"}, "MASTER_ADDR"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE, RANK"),
    ],
)
def test_missing_variables_of_torchrun_are_named(
    environment: dict[str, str], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"missing or not numbers: {wrong}"):
        join_shards()


@pytest.mark.parametrize(
    ("name", "gpus", "rank", "device", "warned"),
    [
        ("auto", 4, 3, "cuda:3", False),
        ("cuda", 4, 3, "cuda:3", False),
        ("auto", 2, 3, "cuda:1", False),
        ("auto", 2, 0, "cuda:0", True),
        ("cuda:1", 2, 0, "cuda:1", False),
        ("cpu", 2, 0, "cpu", False),
    ],
)
def test_more_processes_than_gpus_share_them_and_cause_one_warning(
    *, name: str, gpus: int, rank: int, device: str, warned: bool,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Needs no GPU: only their number is read."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert Shard(rank, 4).device(name) == device
    assert ("started 4 processes on this machine, which has 2 GPUs" in caplog.text) == warned


@pytest.mark.parametrize(
    ("environment", "leads"),
    [
        ({}, True),
        ({"RANK": "3"}, True),
        ({"RANK": "3", "WORLD_SIZE": "1"}, True),
        ({"RANK": "0", "WORLD_SIZE": "4"}, True),
        ({"RANK": "3", "WORLD_SIZE": "4"}, False),
    ],
)
def test_only_the_first_process_of_torchrun_writes_the_table_of_a_sweep(
    environment: dict[str, str], leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert importlib.import_module("hydra_plugins.one_pass")._leads() is leads


def test_an_address_at_which_processes_cannot_meet_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "99999"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"^the 2 processes cannot meet at 127.0.0.1:99999 \(port must"):
        join_shards()
