"""``backbone=saved``: attention from the files of ``python -m experiments.attend``, without the model or a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import Field

from diffseg.backbones import AttentionModel, Backbone
from diffseg.files.attention import SUFFIX, AttentionError, Header, read_header
from diffseg.files.paths import expanded
from diffseg.isolation import isolated
from diffseg.limits import Checked
from diffseg.texts import counted

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from diffseg.attention import AttentionMaps

BLANK = f".blank{SUFFIX}"
"""Name of the file with the attention and features of a black picture, for `Saved.debias`."""

EXACT = "float32"
PAGE = "diffseg/attention.md describes the files"


def recorded_settings(spec: Backbone) -> dict[str, Any]:
    """Settings of a backbone that change its attention: a part of the key of every row. Raises `WeightsError`.

    The folder of the weights does not matter, because their hash is recorded. Tuned values are recorded as settings of
    the segmenter. Saved attention has the settings of the backbone that computed it.
    """
    if isinstance(spec, Saved):
        return spec.recorded()
    settings = asdict(cast(Any, spec))
    for name in ("path", "tuned"):
        settings.pop(name, None)
    return {"kind": type(spec).__name__, **settings, "sides": spec.sides or None, "weights": spec.fingerprint}


def origin(
    spec: Backbone, name: str, frame: str = "whole", settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The provenance, ready for JSON, that `AttentionMaps` of a backbone with the preset ``name`` get.

    ``frame`` is ``whole`` if the whole picture entered the backbone, ``square`` if its centred square did. ``settings``
    are those that rows record of the backbone; None: `recorded_settings`.
    """
    return {
        "name": name,
        "source": str(getattr(spec, "source", spec.path)),
        "frame": frame,
        "settings": dict(settings or recorded_settings(spec)),
        "tuned": {key: dict(values) for key, values in spec.tuned.items()},
    }


@dataclass(frozen=True)
class Saved(Checked):
    """A backbone whose attention is in files; everything else about it is in their provenance.

    The ``folder`` holds ``ID.safetensors`` for each picture; ids with slashes are in sub-folders. ``debias`` is that of
    `diffseg.backbones.vit.ViT`, and needs the file `BLANK`. Raises ValueError if a value is out of range, or the folder
    holds no attention.
    """

    path: ClassVar[str] = ""

    folder: str | Path | None = None
    debias: Annotated[float, Field(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.folder:
            raise ValueError("folder: not set; give the folder that python -m experiments.attend out=DIR has written")
        if not self.root.is_dir():
            raise ValueError(f"folder: {self.folder} is not a folder; python -m experiments.attend out=DIR writes one")
        missing = [name for name in ("size", "weights") if name not in self.header.provenance.get("settings", {})]
        if missing:
            raise ValueError(f"folder: {self.header.path} does not say settings.{missing[0]} in its provenance; {PAGE}")
        if self.debias and "debias" not in self.settings:
            raise ValueError(f"debias: {self.name} has no such setting; leave it out")

    @property
    def root(self) -> Path:
        """The folder as a path."""
        return expanded(self.folder or "")

    @cached_property
    def header(self) -> Header:
        """Header of `BLANK`, else of the first file that can be read. Raises ValueError if there is none."""
        fault = "holds no files of attention"
        for path in (self.root / BLANK, *_files(self.root)):
            try:
                return read_header(path)
            except AttentionError as error:
                fault = fault if path.name == BLANK else f"holds no complete file of attention; {error}"
        raise ValueError(f"folder: {self.folder} {fault}; {PAGE}")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the backbone that computed the attention, as `recorded_settings` gives them."""
        stored = self.header.provenance["settings"]
        return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}

    @property
    def name(self) -> str:
        """Name of the preset of that backbone."""
        return str(self.header.provenance.get("name", self.root.name))

    @property
    def source(self) -> str:
        """Name of its weights."""
        return str(self.header.provenance.get("source", self.name))

    @property
    def frame(self) -> str:
        """``square`` if the centred square of each picture was attended, ``whole`` if the whole picture was."""
        return str(self.header.provenance.get("frame", "whole"))

    @property
    def size(self) -> int:
        return int(self.settings["size"])

    @property
    def sides(self) -> tuple[int, ...]:
        return tuple(sorted(self.header.layers, reverse=True))

    @property
    def tuned(self) -> Mapping[str, Mapping[str, Any]]:
        return self.header.provenance.get("tuned", {})

    @property
    def fingerprint(self) -> str:
        return str(self.settings["weights"])

    @property
    def encoder(self) -> tuple[str, str]:
        """Rows on one folder share its files."""
        return "saved", str(self.root)

    @property
    def pass_settings(self) -> tuple[()]:
        """All rows on one folder share what is read; ``debias`` comes after (`SavedAttention.project`)."""
        return ()

    def recorded(self) -> dict[str, Any]:
        """The settings that rows record: those of the backbone, with this `debias`, and ``stored`` if rounded."""
        debias = {"debias": self.debias} if "debias" in self.settings else {}
        rounded = {"stored": self.header.dtype} if self.header.dtype != EXACT else {}
        return {**self.settings, "sides": self.sides, **debias, **rounded}

    def check(self) -> None:
        """Checks that the folder holds the attention of a single backbone, and what ``debias`` needs.

        Raises ValueError if two files are of different backbones, frames or number formats; or `BLANK` is missing.
        """
        if self.debias and not (self.root / BLANK).is_file():
            raise ValueError(f"debias: needs {self.root / BLANK}, the black picture; experiments.attend writes it")
        modified = tuple((folder, Path(folder).stat().st_mtime_ns) for folder, _, _ in os.walk(self.root))
        _check_one_backbone(self.header.path, self.root, modified)

    def check_files(self, ids: Sequence[str], frame: str) -> list[str]:
        """Looks for the files of the pictures ``ids``, whose ``frame`` enters the backbone. Warns of missing ones.

        Raises ValueError if every picture lacks its file, or the files are of another frame.
        """
        if frame != self.frame:
            raise ValueError(
                f"folder: {self.folder} holds attention of protocol.frame={self.frame}, and the run has {frame}; "
                f"compute that with python -m experiments.attend protocol.frame={frame}"
            )
        missing = [id for id in ids if not self.file(id).is_file()]
        if not missing:
            return []
        if len(missing) == len(ids):
            raise ValueError(
                f"folder: {self.folder} has no attention of any of the {counted(len(ids), 'picture')}; the first "
                f"should be {self.file(missing[0])}"
            )
        few = f"{counted(len(missing), 'picture')} of {len(ids):,} will fail without a file of attention"
        return [f"{self.folder}: {few}; the first is {missing[0]}"]

    def file(self, id: str) -> Path:
        """Path of a picture's file."""
        return self.root / f"{id}{SUFFIX}"

    def load(self, device: str = "auto") -> SavedAttention:
        """Returns a reader of the files, which puts the maps on ``device``. Raises as `check` does."""
        from diffseg.backbones.device import pick_device

        self.check()
        return SavedAttention(self, pick_device(device))


class SavedAttention(AttentionModel):
    """Reads the attention of pictures from files, and puts the maps on a device."""

    spec: Saved

    def __init__(self, spec: Saved, device: torch.device) -> None:
        self.spec, self.device = spec, device
        self._bases: dict[float, Tensor] = {}

    def attend_encoded(self, encoded: Tensor, spec: Any) -> list[AttentionMaps]:
        """Always raises ValueError: files have names, not pixels. See `attend_file`."""
        raise ValueError(
            "backbone=saved has only the attention in its files; load one with AttentionMaps.load, and segment that"
        )

    @isolated
    def attend_file(self, id: str, shape: tuple[int, int]) -> AttentionMaps:
        """Reads the attention of a picture whose whole has this (height, width). `project` adds ``debias``.

        Raises AttentionError if the file is missing or damaged, of another backbone, or of another picture.
        """
        from diffseg.attention import AttentionMaps

        path = self.spec.file(id)
        if difference := _difference(self.spec.header, read_header(path)):
            raise AttentionError(difference)
        maps = AttentionMaps.load(path, self.device)
        height, width = (min(shape), min(shape)) if self.spec.frame == "square" else shape
        if maps.picture and (maps.picture.id, maps.picture.height, maps.picture.width) != (id, height, width):
            raise AttentionError(
                f"{path}: is of {maps.picture.id}, {maps.picture.width} x {maps.picture.height} pixels, not of {id}, "
                f"{width} x {height}; compute it again"
            )
        return maps

    @isolated
    def project(self, maps: AttentionMaps, spec: Any) -> AttentionMaps:
        """Projects the positional part out of the features if ``spec`` has ``debias``, as the backbone's pass does."""
        from diffseg.attention import AttentionMaps
        from diffseg.backbones.debiasing import positional_basis, without_positions

        if not spec.debias or maps.features is None:
            return maps
        if spec.debias not in self._bases:
            blank = AttentionMaps.load(spec.root / BLANK, self.device).features
            if blank is None:
                raise AttentionError(f"{spec.root / BLANK}: holds no features")
            self._bases[spec.debias] = positional_basis(blank, spec.debias)
        return replace(maps, features=without_positions(maps.features, self._bases[spec.debias]))


def _files(folder: Path) -> Iterator[Path]:
    """All files of attention in a folder and its sub-folders, except hidden ones."""
    for name, folders, files in os.walk(folder):
        folders[:] = [child for child in folders if not child.startswith(".")]
        yield from (Path(name, file) for file in files if file.endswith(SUFFIX) and not file.startswith("."))


@cache
def _check_one_backbone(first: Path, folder: Path, modified: tuple[tuple[str, int], ...]) -> None:
    """Compares all files with the first. Cached, because all rows ask; ``modified`` changes when a file does.

    Damaged files pass: each will be the failure of its picture.
    """
    expected = read_header(first)
    for path in _files(folder):
        try:
            header = read_header(path)
        except AttentionError:
            continue
        if difference := _difference(expected, header):
            raise ValueError(f"folder: {difference}; keep them in different folders")


def _difference(expected: Header, header: Header) -> str:
    """Says how the settings of two files differ; empty if the same backbone has computed both."""
    ours, theirs = (
        {
            **file.provenance.get("settings", {}),
            "frame": file.provenance.get("frame", "whole"),
            "number format": file.dtype,
            "layers": dict(file.layers),
        }
        for file in (expected, header)
    )
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            values = f"{name} is {theirs.get(name)}, not {ours.get(name)}"
            return f"{header.path}: is of another backbone than {expected.path}: {values}"
    return ""
