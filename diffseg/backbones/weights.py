"""Where weights lie on this machine, and what identifies them. Imports no torch and touches no network."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from diffseg.backbones import MissingWeights
from diffseg.paths import NoHome, expanded

TRANSFORMERS_FILES = ("config.json", "model.safetensors")
"""What transformers needs to load a model."""

BY_MAKE = ("CompVis/stable-diffusion-v1-4", "facebook/dino-vits8", "Salesforce/blip-image-captioning-base")
"""The repositories of which ``make weights`` downloads what is needed."""

SHA256_NAME = re.compile(r"[0-9a-f]{64}")


def cache_folder() -> Path:
    """Folder for what this package derives and keeps; it need not exist yet.

    ``$DIFFSEG_CACHE``, else ``$XDG_CACHE_HOME/diffseg``, else ``~/.cache/diffseg``.

    Raises:
        MissingWeights: none of them is set, and the user has no home folder.
    """
    if own := os.environ.get("DIFFSEG_CACHE"):
        return expanded(own)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return expanded(base) / "diffseg"
    except NoHome:
        raise MissingWeights(
            "this user has no home folder for the weights; set the environment variable DIFFSEG_CACHE=DIR (or HOME)"
        ) from None


def how_to_get(repository: str, files: Iterable[str]) -> str:
    """The command that puts these files of a repository into the hub's local cache."""
    return "make weights" if repository in BY_MAKE else f"hf download {repository} {' '.join(files)}"


def locate(path: str, files: Sequence[str], published: Sequence[str] = ()) -> Path:
    """Folder that holds all ``files``.

    Args:
        path: a local folder, or a hub id (owner/name), looked up in the local Hugging Face cache only. What
            exists, or starts with ``.``, ``/`` or ``~``, is a folder.
        files: paths relative to that folder, with forward slashes.
        published: what to download where one of them is missing; none: these files.

    Raises:
        MissingWeights: the first file that is missing, where it lives, and how to get it, in one line.
    """
    try:
        folder = expanded(path)
    except NoHome as error:
        raise MissingWeights(f"path: {error}") from None
    if folder.exists() or path.startswith((".", "/", "~")):
        if not folder.is_dir():
            raise MissingWeights(f"path: {path} is not a folder; give one that holds {', '.join(files)}")
        for name in files:
            if not (folder / name).is_file():
                raise MissingWeights(f"path: the folder {path} has no {name}; give one that has it, or a hub id")
        return folder
    return _locate_in_hub_cache(path, files, published or files)


def _locate_in_hub_cache(repository: str, files: Sequence[str], published: Sequence[str]) -> Path:
    """Snapshot folder of ``repository`` in the Hugging Face cache; raises `MissingWeights`."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    folder = Path()
    for name in files:
        try:
            cached = try_to_load_from_cache(repository, name)
        except HFValidationError:
            raise MissingWeights(f"path: {repository} is neither a folder nor a hub id (owner/name)") from None
        # Not a string: None (not in the cache), or a sentinel (the repository is known to lack the file).
        if not isinstance(cached, str):
            raise MissingWeights(
                f"{name} of {repository} (Hugging Face hub) is not on this machine: "
                f"run `{how_to_get(repository, published)}`, "
                "or give a folder that has it, as backbone.path=DIR or --path DIR"
            )
        folder = Path(cached).parents[name.count("/")]
    return folder


def sha256_of(files: Iterable[Path]) -> str:
    """One digest (hex) over the contents of ``files`` in the given order: sha256 over their hex digests."""
    combined = hashlib.sha256()
    for file in files:
        combined.update(_sha256_of_file(file).encode())
    return combined.hexdigest()


def _sha256_of_file(file: Path) -> str:
    # The hub's cache names a large file's blob by its sha256: no need to read gigabytes again.
    blob = file.resolve()
    if file.is_symlink() and blob.parent.name == "blobs" and SHA256_NAME.fullmatch(blob.name):
        return blob.name
    status = blob.stat()
    return _sha256_of_content(blob, status.st_size, status.st_mtime_ns)


@cache
def _sha256_of_content(file: Path, size: int, modified_ns: int) -> str:
    """Reads gigabytes once a process, however many rows share the weights."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
