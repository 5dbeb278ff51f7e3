"""Finds damaged files of a model before anything loads them. Imports no torch.

Each function raises `BrokenWeights` with one line: the file, what is wrong with it, and what to do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffseg.backbones import BrokenWeights, MissingWeights

PULL = "run `git lfs pull` in its folder, or download it again"

LENGTH_BYTES = 8  # a safetensors file begins with the length of its header, a little-endian integer
HEAD_BYTES = 1024  # enough of a file to recognise its kind
INDEX_SUFFIX = ".index.json"


def check_file(file: Path) -> None:
    """Checks a file of a model by its suffix. Reads only the header of large files."""
    size, head = _head(file)
    if not size:
        raise BrokenWeights(file, "is empty")
    if head.startswith(b"version https://git-lfs"):
        raise BrokenWeights(file, "is a Git LFS pointer, not the file itself", PULL)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise BrokenWeights(
            file,
            "is a web page, not the file itself",
            "download it again (from the hub: /resolve/ in the address, not /blob/; some models need a login)",
        )
    if file.suffix == ".safetensors":
        tensor_names(file)
    elif file.suffix == ".json":
        read_json(file)
    elif file.suffix == ".txt":
        _text(file)


def read_json(file: Path) -> dict[str, Any]:
    """Reads the object of a JSON file; skips a byte order mark at its start."""
    _head(file)
    try:
        content = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise BrokenWeights(file, f"is not a JSON file ({error})") from None
    if not isinstance(content, dict):
        raise BrokenWeights(file, f"holds {type(content).__name__} where a JSON object is needed")
    return content


def shards_of(index: Path) -> list[Path]:
    """Files that ``model.safetensors.index.json`` names, sorted. Raises `MissingWeights` if one is missing."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise BrokenWeights(index, "has no weight_map from tensors to files")
    shards = [index.parent / name for name in sorted(set(names.values()))]
    for shard in shards:
        if shard.parent != index.parent:
            raise BrokenWeights(index, f"names a file of another folder, {shard.name}")
        if not shard.exists():
            raise MissingWeights(f"path: {index.name} names {shard}, which is missing: download it again")
    return shards


def tensor_names(file: Path) -> set[str]:
    """Names of the tensors in a safetensors file. Reads only the header, and compares it with the file's length."""
    from safetensors import SafetensorError, safe_open

    _, head = _head(file)
    # The header is a JSON object; the length before it may begin with any byte.
    if head[LENGTH_BYTES : LENGTH_BYTES + 1] != b"{" and head.startswith((b"PK", b"\x80")):
        raise BrokenWeights(file, "is a PyTorch pickle in spite of its name", "get the model's .safetensors file")
    try:
        with safe_open(file, framework="numpy") as stream:
            names = set(stream.keys())
    except OSError as error:
        raise _unreadable(file, error) from None
    except SafetensorError as error:
        raise BrokenWeights(file, f"is cut short, damaged or not a safetensors file ({error})") from None
    if not names:
        raise BrokenWeights(file, "holds no tensors")
    return names


def whole_number(config: dict[str, Any], key: str, file: Path) -> int:
    """Value of ``key`` in the configuration read from ``file``, at least 1."""
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BrokenWeights(file, f"must have a whole number of at least 1 as {key}, got {value!r}")
    return value


def _head(file: Path) -> tuple[int, bytes]:
    """Size and first bytes of a file."""
    try:
        if file.is_dir():
            raise BrokenWeights(file, "is a folder where a file is needed")
        with file.open("rb") as stream:
            return file.stat().st_size, stream.read(HEAD_BYTES)
    except OSError as error:
        raise _unreadable(file, error) from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BrokenWeights(file, "is not a UTF-8 text file") from None
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> BrokenWeights:
    return BrokenWeights(file, f"cannot be read ({error.strerror})", "check its permissions")
