"""Reads the ``.wandb`` file of an offline wandb run without wandb's reader.

The file has the log format of LevelDB: a header, then blocks with whole records or parts of records. Each part has a
checksum. A record is a protocol buffer of the type that wandb sends to its server.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")

FILE_HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK = 32768
PART = struct.Struct("<IHB")  # checksum, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class WandbFile:
    """Content of a file: the run, its settings, the lines of its history in order, summary, exit code."""

    run: pb.RunRecord = field(default_factory=pb.RunRecord)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    """Kinds of its records."""
    exit_code: int | None = None


def read_wandb_file(path: Path) -> WandbFile:
    """Reads a ``run-ID.wandb``.

    Raises:
        AssertionError: it is damaged.
    """
    content = WandbFile()
    for data in _records(path.read_bytes()):
        record = pb.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        content.kinds.add(kind)
        match kind:
            case "run":
                content.run = record.run
                _update(content.config, record.run.config.update)
            case "config":
                _update(content.config, record.config.update)
            case "history":
                content.history.append(_update({}, record.history.item))
            case "summary":
                _update(content.summary, record.summary.update)
            case "exit":
                content.exit_code = record.exit.exit_code
    return content


def _records(data: bytes) -> Iterator[bytes]:
    """Verifies the checksums of the parts, and joins parts into records."""
    assert data.startswith(FILE_HEADER)
    position, parts = len(FILE_HEADER), b""
    while position < len(data):
        if BLOCK - position % BLOCK < PART.size:  # no part begins in the last bytes of a block
            position += BLOCK - position % BLOCK
            continue
        checksum, length, kind = PART.unpack_from(data, position)
        content = data[position + PART.size : position + PART.size + length]
        assert len(content) == length, "the file ends inside a record"
        assert checksum == zlib.crc32(bytes([kind]) + content), "a checksum is wrong"
        assert (kind in (FULL, FIRST)) == (not parts), "a part is missing"
        parts += content
        position += PART.size + length
        if kind in (FULL, LAST):
            yield parts
            parts = b""
    assert not parts, "the last record is incomplete"


def _update(values: dict[str, Any], items: Any) -> dict[str, Any]:
    """Adds items of the file. A key may be a path: ``nested_key`` ("final", "acc") becomes "final.acc"."""
    for item in items:
        key = item.key or ".".join(item.nested_key)
        values[key] = json.loads(item.value_json)
    return values
