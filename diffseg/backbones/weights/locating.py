"""Finds weights on this machine, and identifies them. Imports no torch and uses no network."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diffseg.backbones import PATH_ARGUMENT, BrokenWeights, MissingWeights
from diffseg.backbones.weights.integrity import INDEX_SUFFIX, check_file, shards_of
from diffseg.files import sha256_of as sha256_of_one
from diffseg.paths import NoHome, expanded

TRANSFORMERS_FILES = ("config.json", "model.safetensors")
"""Files that transformers needs to load a model."""

BY_MAKE = ("CompVis/stable-diffusion-v1-4", "facebook/dino-vits8", "Salesforce/blip-image-captioning-base")
"""Repositories from which ``make weights`` downloads the needed files."""

SHA256_NAME = re.compile(r"[0-9a-f]{64}")

Stem = Literal["model", "diffusion_pytorch_model"]  # beginning of the names of transformers' and diffusers' weights
HALF = "fp16"  # diffusers' and transformers' name of the variant in half precision


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model, such as a U-Net.

    Attributes:
        folder: folder of the files.
        config: ``config.json``.
        weights: a single file, or an index and its shards.
        variant: "fp16" if only weights in half precision exist, else None.
    """

    folder: Path
    config: Path
    weights: tuple[Path, ...]
    variant: str | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """The configuration, then the weights."""
        return self.config, *self.weights


def cache_folder() -> Path:
    """Folder for files that this package creates and keeps. It may not exist yet.

    It is ``$DIFFSEG_CACHE``, else ``$XDG_CACHE_HOME/diffseg``, else ``~/.cache/diffseg``.

    Raises:
        MissingWeights: neither variable is set, and the user has no home folder.
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


def in_checkout() -> bool:
    """True in a checkout of the project, which has the Makefile; False in the installed library."""
    return (Path(__file__).parents[3] / "Makefile").is_file()


def how_to_get(repository: str, files: Iterable[str]) -> str:
    """Command that downloads these files of a repository into the hub's local cache."""
    if repository in BY_MAKE and in_checkout():
        return "make weights"
    return f"hf download {repository} {' '.join(files)}"


def local(path: str) -> Path | None:
    """The folder or file at ``path``, or None if ``path`` is a hub id.

    A path is local if it exists, or starts with ``.``, ``/`` or ``~``.
    """
    file = _expanded(path)
    return file if path.startswith((".", "/", "~")) or file.exists() else None


def _expanded(path: str) -> Path:
    try:
        return expanded(path)
    except NoHome as error:
        raise MissingWeights(f"path: {error}") from None


def locate(path: str, files: Sequence[str], published: Sequence[str] = ()) -> Path:
    """Finds the folder that holds all ``files``, and checks each with `check_file`.

    Args:
        path: a local folder, or a hub id (owner/name), looked up only in the local Hugging Face cache; see `local`.
        files: paths relative to that folder, with forward slashes.
        published: files that the error tells the user to download; empty: ``files``.

    Raises:
        MissingWeights: a file is missing. One line names the first one and its source, and says how to get it.
        BrokenWeights: a file is damaged.
    """
    folder = Path()
    for name in files:
        file = find(path, name)
        if file is None:
            raise missing(path, name, published or files)
        check(path, name, file)
        folder = file.parents[name.count("/")]
    return folder


def locate_model(path: str, part: str, stem: Stem, published: Sequence[str]) -> ModelFiles:
    """Finds configuration and weights of a model in any safetensors layout of diffusers and transformers.

    A single file is preferred to shards, and full precision to half precision.

    Args:
        path: as for `locate`.
        part: sub-folder of the model, such as "unet"; "" if the model is in the folder itself.
        stem: beginning of the names of the weights.
        published: files that the error tells the user to download.

    Raises:
        MissingWeights, BrokenWeights: as `locate`.
    """
    prefix = f"{part}/" if part else ""
    config = locate(path, [f"{prefix}config.json"], published) / f"{prefix}config.json"
    for name, variant in (
        (f"{stem}.safetensors", None),
        (f"{stem}.safetensors{INDEX_SUFFIX}", None),
        (f"{stem}.{HALF}.safetensors", HALF),
        (f"{stem}.safetensors.index.{HALF}.json", HALF),
    ):
        if (file := find(path, prefix + name)) is not None:
            check(path, prefix + name, file)
            shards = shards_of(file) if file.suffix == ".json" else []
            for shard in shards:
                check(path, prefix + shard.name, shard)
            return ModelFiles(config.parent, config, (file, *shards), variant)
    error = missing(path, f"{prefix}{stem}.safetensors", published)
    if any(config.parent.glob("*.bin")) or any(config.parent.glob("*.ckpt")):
        raise MissingWeights(f"{error} (the PyTorch pickles in its folder are not read: they can run any program)")
    raise error


def name_of(backbone: Any) -> str:
    """Name of a backbone's weights in records: the hub id, or the name of the local folder or file."""
    source = str(getattr(backbone, "source", backbone.path))
    file = local(source)
    return source if file is None else file.name


def find(path: str, name: str) -> Path | None:
    """Finds the file ``name`` in a folder or a cached hub repository; None if it is missing.

    Raises:
        MissingWeights: ``path`` is neither a folder nor a hub id.
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


def missing(path: str, name: str, published: Sequence[str]) -> MissingWeights:
    """Error for a file that `find` did not find."""
    if local(path) is not None:
        return MissingWeights(f"path: the folder {path} has no {name}; give one that has it, or a hub id")
    return MissingWeights(
        f"{name} of {path} (Hugging Face hub) is not on this machine: run `{how_to_get(path, published)}`, "
        f"or give a folder that has it, as {PATH_ARGUMENT}"
    )


def check(path: str, name: str, file: Path) -> None:
    """Raises `BrokenWeights` if the file is damaged. For a hub id, the message names the command that replaces it."""
    try:
        check_file(file)
    except BrokenWeights as error:
        if local(path) is not None:
            raise
        remedy = f"run `hf download {path} {name} --force-download`"
        raise BrokenWeights(file, error.fault, remedy) from None


def sha256_of(files: Iterable[Path]) -> str:
    """Digest (hex) of the contents of ``files``, in the given order: sha256 of their hex digests."""
    combined = hashlib.sha256()
    for file in files:
        combined.update(_sha256_of_file(file).encode())
    return combined.hexdigest()


def _sha256_of_file(file: Path) -> str:
    # The hub's cache names a large file's blob by its sha256, so gigabytes need not be read.
    blob = file.resolve()
    if file.is_symlink() and blob.parent.name == "blobs" and SHA256_NAME.fullmatch(blob.name):
        return blob.name
    return sha256_of_one(blob)
