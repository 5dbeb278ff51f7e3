"""Finds weights on this machine, checks that their files are whole, and identifies them. No torch, no network.

Damaged files raise `BrokenWeights`: one line with the file, what is wrong with it, and what to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from diffseg.backbones import PATH_ARGUMENT, BrokenWeights, MissingWeights
from diffseg.files.paths import NoHome, expanded
from diffseg.files.writing import sha256_of as sha256_of_one

TRANSFORMERS_FILES = ("config.json", "model.safetensors")
"""Files that transformers needs to load a model."""

BY_MAKE = ("CompVis/stable-diffusion-v1-4", "facebook/dino-vits8", "Salesforce/blip-image-captioning-base")
"""Repositories from which ``make weights`` downloads the needed files."""

DTYPE_SINCE = (4, 56)
"""First release of transformers that calls the dtype of weights ``dtype`` (before: ``torch_dtype``), and has DINOv3."""

SHA256_NAME = re.compile(r"[0-9a-f]{64}")

HALF = "fp16"  # diffusers' and transformers' name of the variant in half precision
HEAD_BYTES = 1024  # enough of a file to recognise its kind
LENGTH_BYTES = 8  # a safetensors file begins with the length of its header, a little-endian integer


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model, such as a U-Net.

    Attributes:
        config: ``config.json``.
        weights: a single file, or an index and its shards.
        variant: "fp16" if only weights in half precision exist, else None.
    """

    config: Path
    weights: tuple[Path, ...]
    variant: str | None = None

    @property
    def folder(self) -> Path:
        """Folder of the files."""
        return self.config.parent

    @property
    def all(self) -> tuple[Path, ...]:
        """The configuration, then the weights."""
        return self.config, *self.weights


def release_of(package: str) -> tuple[int, ...]:
    """First two numbers of the installed release of a package.

    >>> release_of("transformers") >= (4, 51)
    True
    """
    return tuple(int(number) for number in re.findall(r"\d+", version(package))[:2])


def cache_folder() -> Path:
    """``$DIFFSEG_CACHE``, else ``$XDG_CACHE_HOME/diffseg``, else ``~/.cache/diffseg``. It may not exist yet."""
    if own := os.environ.get("DIFFSEG_CACHE"):
        return expanded(own)
    try:
        return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "diffseg"
    except NoHome:
        raise MissingWeights(
            "this user has no home folder for the weights; set the environment variable DIFFSEG_CACHE=DIR (or HOME)"
        ) from None


def in_checkout() -> bool:
    """True in a checkout of the project, which has the Makefile; False in the installed library."""
    return (Path(__file__).parents[3] / "Makefile").is_file()


def how_to_get(repository: str, files: Iterable[str]) -> str:
    """Command that downloads these files of a repository into the hub's local cache."""
    if repository in BY_MAKE and in_checkout():
        return "make weights"
    return f"hf download {repository} {' '.join(files)}"


def local(path: str) -> Path | None:
    """The folder or file at ``path``, which exists or starts with ``.``, ``/`` or ``~``; None: it is a hub id."""
    try:
        file = expanded(path)
    except NoHome as error:
        raise MissingWeights(f"path: {error}") from None
    return file if path.startswith((".", "/", "~")) or file.exists() else None


def name_of(backbone: Any) -> str:
    """Name of a backbone's weights in records: the hub id, or the name of the local folder or file."""
    source = str(getattr(backbone, "source", backbone.path))
    file = local(source)
    return source if file is None else file.name


def locate(path: str, files: Sequence[str], published: Sequence[str] = ()) -> Path:
    """Finds the folder that holds all ``files``, paths with forward slashes, and checks each with `check_file`.

    ``path`` is a local folder, or a hub id (owner/name), looked up only in the local Hugging Face cache; see `local`.

    Raises:
        MissingWeights: a file is missing. One line names the first one and its source, and says how to get it: by
            downloading ``published``, or else ``files``.
        BrokenWeights: a file is damaged.
    """
    for name in files:
        file = _whole(path, name)
        if file is None:
            raise _missing(path, name, published or files)
        folder = file.parents[name.count("/")]
    return folder


def locate_model(path: str, part: str, published: Sequence[str]) -> ModelFiles:
    """Finds configuration and weights of a model in any safetensors layout of diffusers and transformers.

    A single file is preferred to shards, and full precision to half precision. ``part`` is the model's sub-folder, such
    as "unet", or "". ``path``, ``published`` and the errors are those of `locate`.
    """
    prefix = f"{part}/" if part else ""
    stem = "model" if part.startswith("text_encoder") or not part else "diffusion_pytorch_model"
    config = locate(path, [f"{prefix}config.json"], published) / f"{prefix}config.json"
    for name, variant in (
        (f"{stem}.safetensors", None),
        (f"{stem}.safetensors.index.json", None),
        (f"{stem}.{HALF}.safetensors", HALF),
        (f"{stem}.safetensors.index.{HALF}.json", HALF),
    ):
        if (file := _whole(path, prefix + name)) is not None:
            shards = shards_of(file) if file.suffix == ".json" else []
            for shard in shards:
                _whole(path, prefix + shard.name)
            return ModelFiles(config, (file, *shards), variant)
    error = _missing(path, f"{prefix}{stem}.safetensors", published)
    if any(config.parent.glob("*.bin")) or any(config.parent.glob("*.ckpt")):
        raise MissingWeights(f"{error} (the PyTorch pickles in its folder are not read: they can run any program)")
    raise error


def find(path: str, name: str) -> Path | None:
    """Finds the file ``name`` in a folder or a cached hub repository; None if it is missing.

    Raises `MissingWeights` if ``path`` is neither a folder nor a hub id.
    """
    if (folder := local(path)) is not None:
        if not folder.is_dir():
            raise MissingWeights(f"path: {path} is not a folder; give one that holds {name}")
        return folder / name if (folder / name).exists() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(path, name)
    except HFValidationError:
        raise MissingWeights(f"path: {path} is neither a folder nor a hub id (owner/name); {name} is needed") from None
    # Not a string: None (not in the cache), or a sentinel (the repository is known to lack the file).
    return Path(cached) if isinstance(cached, str) else None


def _missing(path: str, name: str, published: Sequence[str]) -> MissingWeights:
    if local(path) is not None:
        return MissingWeights(f"path: the folder {path} has no {name}; give one that has it, or a hub id")
    return MissingWeights(
        f"{name} of {path} (Hugging Face hub) is not on this machine: run `{how_to_get(path, published)}`, "
        f"or give a folder that has it, as {PATH_ARGUMENT}"
    )


def _whole(path: str, name: str) -> Path | None:
    """`find` and `check_file`; for a hub id, the error names the command that replaces a damaged file."""
    file = find(path, name)
    try:
        if file is not None:
            check_file(file)
    except BrokenWeights as error:
        if local(path) is not None:
            raise
        raise BrokenWeights(error.file, error.fault, f"run `hf download {path} {name} --force-download`") from None
    return file


def check_file(file: Path) -> None:
    """Raises `BrokenWeights` if a file of a model is damaged. Reads only the header of large files."""
    head = _read(file, HEAD_BYTES)
    if not head:
        raise BrokenWeights(file, "is empty")
    if head.startswith(b"version https://git-lfs"):
        pull = "run `git lfs pull` in its folder, or download it again"
        raise BrokenWeights(file, "is a Git LFS pointer, not the file itself", pull)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        again = "download it again (from the hub: /resolve/ in the address, not /blob/; some models need a login)"
        raise BrokenWeights(file, "is a web page, not the file itself", again)
    if file.suffix == ".safetensors":
        tensor_names(file)
    elif file.suffix == ".json":
        read_json(file)
    elif file.suffix == ".txt":
        _read_text(file)


def tensor_names(file: Path) -> set[str]:
    """Names of the tensors in a safetensors file. Reads only the header, and compares it with the file's length."""
    from safetensors import SafetensorError, safe_open

    head = _read(file, HEAD_BYTES)
    # The length before the header may begin with any byte, so only a file without a header is taken for a pickle.
    if head.startswith((b"PK", b"\x80")) and head[LENGTH_BYTES : LENGTH_BYTES + 1] != b"{":
        raise BrokenWeights(file, "is a PyTorch pickle in spite of its name", "get the model's .safetensors file")
    try:
        with safe_open(file, framework="numpy") as stream:
            names = set(stream.keys())
    except SafetensorError as error:
        raise BrokenWeights(file, f"is cut short, damaged or not a safetensors file ({error})") from None
    if not names:
        raise BrokenWeights(file, "holds no tensors")
    return names


def read_json(file: Path) -> dict[str, Any]:
    """Reads the object of a JSON file; skips a byte order mark at its start."""
    try:
        content = json.loads(_read_text(file))
    except (ValueError, RecursionError) as error:
        raise BrokenWeights(file, f"is not a JSON file ({error})") from None
    if not isinstance(content, dict):
        raise BrokenWeights(file, f"holds {type(content).__name__} where a JSON object is needed")
    return content


def _read_text(file: Path) -> str:
    try:
        return _read(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BrokenWeights(file, "is not a UTF-8 text file") from None


def _read(file: Path, count: int = -1) -> bytes:
    """The first ``count`` bytes of a file; -1: all. Raises `BrokenWeights` if it cannot be read."""
    if file.is_dir():
        raise BrokenWeights(file, "is a folder where a file is needed")
    try:
        with file.open("rb") as stream:
            return stream.read(count)
    except FileNotFoundError:
        raise BrokenWeights(file, "is missing") from None
    except OSError as error:
        raise BrokenWeights(file, f"cannot be read ({error.strerror})", "check its permissions") from None


def whole_number(config: dict[str, Any], key: str, file: Path) -> int:
    """Value of ``key`` in the configuration read from ``file``, at least 1."""
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BrokenWeights(file, f"must have a whole number of at least 1 as {key}, got {value!r}")
    return value


def shards_of(index: Path) -> list[Path]:
    """Files that ``model.safetensors.index.json`` names, sorted. Raises `MissingWeights` if one is missing."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise BrokenWeights(index, "has no weight_map from tensors to files")
    shards = [index.parent / name for name in sorted(set(names.values()))]
    for shard in shards:
        if shard.parent != index.parent:
            raise BrokenWeights(index, f"names a file of another folder, {shard}")
        if not shard.exists():
            raise MissingWeights(f"path: {index.name} names {shard}, which is missing: download it again")
    return shards


def sha256_of(files: Iterable[Path]) -> str:
    """Digest (hex) of the contents of ``files``, in the given order: sha256 of their hex digests."""
    combined = hashlib.sha256()
    for file in files:
        # The hub's cache names a large file's blob by its sha256, so gigabytes need not be read.
        blob = file.resolve()
        named = file.is_symlink() and blob.parent.name == "blobs" and SHA256_NAME.fullmatch(blob.name)
        combined.update((blob.name if named else sha256_of_one(blob)).encode())
    return combined.hexdigest()
