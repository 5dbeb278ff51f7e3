"""``python -m diffseg PHOTO... -o OUT``: segments photographs and draws the result.

Everything that can be wrong with the arguments or the weights is said before torch is imported, which takes seconds,
or, where it takes torch to know, before the weights are loaded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from diffseg import photos as photo_files
from diffseg import pictures
from diffseg.backbones import Backbone, WeightsError
from diffseg.backbones.image import centre_crop, resize_image
from diffseg.cli_options import ROWS_A_SHEET, parser, spec_of, tau_of
from diffseg.labelling import cli_label
from diffseg.labelling.captioning import NoNouns

if TYPE_CHECKING:
    from torch import Tensor

    from diffseg.attention import AttentionMaps

Row = list[tuple[str, pictures.Picture]]

# What a folder's photographs end in. A file that is named itself may end in anything.
SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        0, or 1 when a photograph could not be read.

    Raises:
        SystemExit: with status 2, after one line on stderr, for wrong arguments or missing weights.
    """
    options = parser()
    args = options.parse_args(argv)
    args.label |= args.words is not None
    try:
        spec = _spec(args)
        photos = _find(args.photos, args.out)
        if problems := [*cli_label.problems(args, spec), *_missing(spec)]:
            options.exit(2, "".join(f"{options.prog}: {problem}\n" for problem in problems))
        _make_folder(args.out)
        segmenter = _Segmenter(spec, args)
        labeller = cli_label.Labeller(segmenter, args) if args.label else None
    except (ValueError, WeightsError) as error:
        options.exit(2, f"{options.prog}: {error}\n")
    try:
        return _run(photos, args.out, segmenter, labeller, args.crop)
    except KeyboardInterrupt:
        options.exit(130, f"{options.prog}: interrupted; what is in {args.out} is whole\n")


def _spec(args: argparse.Namespace) -> Backbone:
    spec = spec_of(args)
    if args.anchors > (side := max(spec.sides)):
        raise ValueError(f"anchors: must be 1..{side}, the side of the attention, got {args.anchors}")
    return spec


def _missing(spec: Backbone) -> list[str]:
    """Which weights are not on this machine."""
    try:
        spec.check()
    except WeightsError as error:
        return [str(error)]
    return []


def _find(given: Sequence[Path], out: Path) -> dict[Path, str]:
    """Photograph -> name of its results, in the order given, folders sorted; each photograph once, each name once.

    Raises:
        ValueError: a folder holds no photograph, or would get the results among its photographs.
    """
    photos: dict[Path, str] = {}
    names: set[str] = set()
    for path in given:
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if _is_photograph(file))
            if not found:
                raise ValueError(f"{path}: the folder holds no photographs ({', '.join(sorted(SUFFIXES))})")
            if out.resolve() == path.resolve():
                raise ValueError(f"argument -o/--out: {out} holds the photographs, give another folder")
        for photo in found:
            if photo in photos:
                continue
            name, number = photo.stem, 1
            while name.casefold() in names:  # some file systems do not tell a.png from A.png
                number += 1
                name = f"{photo.stem}_{number}"
            names.add(name.casefold())
            photos[photo] = name
    return photos


def _is_photograph(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"argument -o/--out: cannot make the folder {path} ({error.strerror})") from None


class _Segmenter:
    """The loaded backbone with aggregation and merging: from a picture to its label map."""

    def __init__(self, spec: Backbone, args: argparse.Namespace) -> None:
        """Raises ValueError when weights and backbone do not go together, or the device does not exist."""
        from transformers.utils.logging import disable_progress_bar

        from diffseg.aggregation import side_weights
        from diffseg.segmenters.diffseg import DiffSeg

        self.weights = side_weights(args.weights, spec.sides)
        self.scheme = args.scheme
        self.diffseg = DiffSeg(args.tau, args.anchors, args.iterations).resolved(max(spec.sides), {"tau": tau_of(spec)})
        self.size = spec.size
        disable_progress_bar()  # the weights are there in a moment; the bar to watch is that of the photographs
        self.model = spec.load(args.device)

    def __call__(self, image: pictures.Picture) -> pictures.Labels:
        """Segments ``(h, w, 3)`` uint8: ``(h, w)`` labels 0, 1, ..., the largest segment first."""
        return self.labels(self.model.attend(self.tensor(image))[0], image)

    def labels(self, maps: AttentionMaps, image: pictures.Picture) -> pictures.Labels:
        """The segments of the image, from its attention."""
        from diffseg.aggregation import aggregate
        from diffseg.masks import labels_from_proposals
        from diffseg.merging import Merger

        aggregated = aggregate(maps.maps, self.weights, self.scheme, maps.layers)
        d = self.diffseg
        assert d.tau is not None  # resolved
        assert d.grid is not None
        proposals = Merger(aggregated).proposals(d.tau, d.anchors, d.iterations, d.rule, d.precision, d.grid)
        return pictures.by_area(labels_from_proposals(proposals, image.shape[:2]).cpu().numpy())

    def tensor(self, image: pictures.Picture) -> Tensor:
        """``(h, w, 3)`` uint8 -> ``(1, 3, P, P)`` float32 in [0, 255], resized as in the benchmark."""
        return resize_image(image, self.size)[None]


def _run(
    photos: Mapping[Path, str],
    out: Path,
    segmenter: _Segmenter,
    labeller: cli_label.Labeller | None,
    crop: bool,
) -> int:
    """Segments and writes; returns the exit status."""
    written: list[str] = []
    sheets: list[Path] = []
    rows: list[Row] = []
    for number, (photo, name) in enumerate(tqdm(photos.items(), unit="photo", disable=None), start=1):
        try:
            image = photo_files.read_photo(photo)
            rows.append(_segment(centre_crop(image) if crop else image, photo, out / name, segmenter, labeller))
        except photo_files.PhotoError as error:
            tqdm.write(f"diffseg: {error}", file=sys.stderr)
        except NoNouns as error:
            tqdm.write(f"diffseg: {photo}: {error}", file=sys.stderr)
        else:
            named = f", {name}.named.png, {name}.named.json" if labeller else ""
            written.append(f"{photo}: {rows[-1][-1][0]}, {out / name}.labels.png, {name}.overlay.png{named}")
        if rows and (len(rows) == ROWS_A_SHEET or number == len(photos)):
            sheets.append(out / (f"contact_sheet_{len(sheets) + 1}.png" if sheets else "contact_sheet.png"))
            pictures.write_picture(sheets[-1], pictures.contact_sheet(rows))
            rows = []
    print(*written, *(f"contact sheet: {path}" for path in sheets), sep="\n", end="\n" if written else "")
    if failed := len(photos) - len(written):
        done = "read or named" if labeller else "read"
        print(f"diffseg: {failed} of {len(photos)} photographs could not be {done}", file=sys.stderr)
    return int(failed > 0)


def _segment(
    image: pictures.Picture,
    photo: Path,
    target: Path,
    segmenter: _Segmenter,
    labeller: cli_label.Labeller | None,
) -> Row:
    """Writes the results; returns the row of the contact sheet, whose last caption says what was found."""
    result = labeller(image) if labeller else None
    labels = result.segments if result else segmenter(image)
    overlay = pictures.overlay(image, labels)
    pictures.write_label_map(f"{target}.labels.png", labels)
    pictures.write_picture(f"{target}.overlay.png", overlay)
    count = int(labels.max()) + 1
    found = "1 segment" if count == 1 else f"{count} segments"
    row = [
        (f"{photo.name} · {image.shape[1]} x {image.shape[0]}", image),
        ("overlay", overlay),
        (found, pictures.colourise(labels)),
    ]
    if result:
        row.append((f"{found}: {', '.join(result.named.names)}", cli_label.write(target, image, result)))
    # Shrunk at once: photographs of many megapixels would fill the memory.
    return [(caption, pictures.fit(picture)) for caption, picture in row]
