"""``python -m diffseg PHOTO... -o OUT``: segments photographs and draws the result.

Everything that can be wrong with the arguments or the weights is said before torch is imported, which takes seconds,
or, where it takes torch to know, before the weights are loaded.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from tqdm import tqdm

from diffseg import pictures
from diffseg.backbones import Backbone, MissingWeights
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT

if TYPE_CHECKING:
    from torch import Tensor

Row = list[tuple[str, pictures.Picture]]

BACKBONES: dict[str, type[ViT] | type[StableDiffusion]] = {"dinov2_small": ViT, "sd14": StableDiffusion}
# As in `diffseg.aggregation`, which imports torch.
WEIGHTS = ("proportional", "finest", "half", "quarter", "eighth")
SCHEMES = ("official", "paper", "paper_normalised")

# What a folder's photographs end in. A file that is named itself may end in anything.
SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

ROWS_A_SHEET = 6

DESCRIPTION = f"""\
Segments photographs without training or labels: DiffSeg (Tian et al., CVPR
2024) merges the self-attention maps of a pretrained model into segments.
For each photograph, OUT gets

  NAME.labels.png    label map of the photograph's size: indexed PNG, the pixel
                     values are the segments' numbers, 0 for the largest
  NAME.overlay.png   the photograph under the colours of its segments

and for all of them, {ROWS_A_SHEET} photographs a sheet,

  contact_sheet.png  photograph, overlay and segments side by side
                     (then contact_sheet_2.png, ...)

Photographs of the same name are told apart by a number (NAME_2). Files of
these names that are there already are replaced.
"""

EPILOG = """\
examples:
  python -m diffseg cat.jpg -o out
  python -m diffseg holiday/ -o out --tau 0.4         fewer, larger segments
  python -m diffseg cat.jpg -o out --weights finest   finest attention maps alone
  python -m diffseg cat.jpg -o out --backbone sd14 --path DIR --device cuda

exit status: 0 all done; 1 some photographs could not be read, the others are
done; 2 wrong arguments or no weights
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        self.exit(2, f"{self.prog}: {message} (--help shows all options)\n")


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, got {text}")
    return int(text)


def _tau(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return value


def _weights(text: str) -> str | tuple[float, ...]:
    if text in WEIGHTS:
        return text
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 <= number < math.inf for number in numbers) or not any(numbers):
        allowed = ", ".join(WEIGHTS)
        raise argparse.ArgumentTypeError(
            f"must be {allowed}, or numbers of at least 0 with commas between, not all 0, got {text}"
        )
    return numbers


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="diffseg",
        usage="python -m diffseg PHOTO [PHOTO ...] -o OUT [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("photos", nargs="+", type=Path, metavar="PHOTO", help="a photograph, or a folder of them")
    add("-o", "--out", type=Path, required=True, metavar="OUT", help="folder for the results, made if missing")
    add("--crop", action="store_true", help="keep only the centred square, as in the benchmark; default: the whole")

    specs = {name: backbone() for name, backbone in BACKBONES.items()}
    sizes = ", ".join(f"{spec.size} ({name})" for name, spec in specs.items())
    taus = ", ".join(f"{_tau_of(spec)} ({name})" for name, spec in specs.items())

    model = parser.add_argument_group("model").add_argument
    model("--backbone", choices=BACKBONES, default="dinov2_small", help="default: %(default)s")
    model("--path", metavar="DIR", help="folder, or hub id in the local cache, of its weights; default: its usual ones")
    model(
        "--size",
        type=_positive_int,
        metavar="N",
        help="side in pixels of the square into which a photograph is squeezed for the backbone; for sd14 a multiple "
        f"of 64; default: {sizes}",
    )
    model("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...; default: auto, which is CUDA if there is one")

    method = parser.add_argument_group("method").add_argument
    method(
        "--tau",
        type=_tau,
        metavar="T",
        help=f"attention maps that differ by less are merged: the larger, the fewer segments; default: {taus}",
    )
    method(
        "--anchors", type=_positive_int, default=16, metavar="M", help="anchors along one side; default: %(default)s"
    )
    method("--iterations", type=_positive_int, default=3, metavar="N", help="of the merging; default: %(default)s")
    method(
        "--weights",
        type=_weights,
        default="proportional",
        metavar="R",
        help=f"of the resolutions: {', '.join(WEIGHTS)} or numbers, the finest first, such as 1,0.5,0; "
        "default: %(default)s",
    )
    method("--scheme", choices=SCHEMES, default="official", help="of the aggregation; default: %(default)s")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        0, or 1 when a photograph could not be read.

    Raises:
        SystemExit: with status 2, after one line on stderr, for wrong arguments or missing weights.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        spec = _spec(args)
        photos = _find(args.photos, args.out)
        spec.check()
        _make_folder(args.out)
        segmenter = _Segmenter(spec, args)
    except (ValueError, MissingWeights) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    try:
        return _run(photos, args.out, segmenter, args.crop)
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted; what is in {args.out} is whole\n")


def _spec(args: argparse.Namespace) -> Backbone:
    chosen = {key: getattr(args, key) for key in ("path", "size") if getattr(args, key) is not None}
    spec = BACKBONES[args.backbone](**chosen)
    if args.anchors > (side := max(spec.sides)):
        raise ValueError(f"anchors: must be 1..{side}, the side of the attention, got {args.anchors}")
    return spec


def _tau_of(spec: Backbone) -> float:
    return spec.tuned["diffseg"]["tau"]["default"]


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
        from diffseg.segmenters import DiffSeg

        self.weights = side_weights(args.weights, spec.sides)
        self.scheme = args.scheme
        self.diffseg = DiffSeg(args.tau, args.anchors, args.iterations).resolved(
            max(spec.sides), {"tau": _tau_of(spec)}
        )
        self.size = spec.size
        disable_progress_bar()  # the weights are there in a moment; the bar to watch is that of the photographs
        self.model = spec.load(args.device)

    def __call__(self, image: pictures.Picture) -> pictures.Labels:
        """Segments ``(h, w, 3)`` uint8: ``(h, w)`` labels 0, 1, ..., the largest segment first."""
        from diffseg.aggregation import aggregate
        from diffseg.masks import labels_from_proposals
        from diffseg.merging import Merger

        maps = self.model.attend(_to_tensor(image, self.size))[0]
        aggregated = aggregate(maps.maps, self.weights, self.scheme, maps.layers)
        d = self.diffseg
        assert d.tau is not None  # resolved
        assert d.grid is not None
        proposals = Merger(aggregated).proposals(d.tau, d.anchors, d.iterations, d.rule, d.precision, d.grid)
        return pictures.by_area(labels_from_proposals(proposals, image.shape[:2]).cpu().numpy())


def _to_tensor(image: pictures.Picture, size: int) -> Tensor:
    """``(h, w, 3)`` uint8 -> ``(1, 3, size, size)`` float32 in [0, 255], resized as in the benchmark."""
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=False)
    return resized.clamp_(0, np.iinfo(np.uint8).max)  # rounded weights can sum to 1 + 1e-7


def _centre_square(image: pictures.Picture) -> pictures.Picture:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _run(photos: Mapping[Path, str], out: Path, segmenter: _Segmenter, crop: bool) -> int:
    """Segments and writes; returns the exit status."""
    written: list[str] = []
    sheets: list[Path] = []
    rows: list[Row] = []
    for number, (photo, name) in enumerate(tqdm(photos.items(), unit="photo", disable=None), start=1):
        try:
            image = pictures.read_photo(photo)
        except pictures.PhotoError as error:
            tqdm.write(f"diffseg: {error}", file=sys.stderr)
        else:
            rows.append(_segment(_centre_square(image) if crop else image, photo, out / name, segmenter))
            written.append(f"{photo}: {rows[-1][-1][0]}, {out / name}.labels.png, {name}.overlay.png")
        if rows and (len(rows) == ROWS_A_SHEET or number == len(photos)):
            sheets.append(out / (f"contact_sheet_{len(sheets) + 1}.png" if sheets else "contact_sheet.png"))
            pictures.write_picture(sheets[-1], pictures.contact_sheet(rows))
            rows = []
    print(*written, *(f"contact sheet: {path}" for path in sheets), sep="\n", end="\n" if written else "")
    if failed := len(photos) - len(written):
        print(f"diffseg: {failed} of {len(photos)} photographs could not be read", file=sys.stderr)
    return int(failed > 0)


def _segment(image: pictures.Picture, photo: Path, target: Path, segmenter: _Segmenter) -> Row:
    """Writes label map and overlay; returns the row of the contact sheet, whose last caption counts the segments."""
    labels = segmenter(image)
    overlay = pictures.overlay(image, labels)
    pictures.write_label_map(f"{target}.labels.png", labels)
    pictures.write_picture(f"{target}.overlay.png", overlay)
    count = int(labels.max()) + 1
    row = (
        (f"{photo.name} · {image.shape[1]} x {image.shape[0]}", image),
        ("overlay", overlay),
        ("1 segment" if count == 1 else f"{count} segments", pictures.colourise(labels)),
    )
    # Shrunk at once: photographs of many megapixels would fill the memory.
    return [(caption, pictures.fit(picture)) for caption, picture in row]
