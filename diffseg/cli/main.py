"""``python -m diffseg PHOTO... -o OUT``: segments photographs, draws the result, writes the masks.

Arguments and weights are checked before torch is imported, which takes seconds. Checks that need torch run before the
weights are loaded.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

from diffseg import pictures
from diffseg.backbones import Backbone, WeightsError
from diffseg.backbones.image import centre_crop
from diffseg.cli import label
from diffseg.cli.inputs import STDIN, find_photos
from diffseg.cli.options import OBLONG, ROWS_A_SHEET, message_of, parse, parser, segmenter_settings, spec_of
from diffseg.cli.version import version_line
from diffseg.command import interruptible
from diffseg.image_files import PhotoError, read_photo
from diffseg.labelling.captioning import NoNouns
from diffseg.paths import expanded
from diffseg.texts import counted

if TYPE_CHECKING:
    from diffseg.recipe import Recipe

SheetRow = list[tuple[str, pictures.Pixels]]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        0, or 1 if a photograph could not be read or named.

    Raises:
        SystemExit: after one line on stderr: status 2 for wrong arguments, missing weights, or a file that cannot be
            written; status 130 after Ctrl+C.
    """
    options = parser()
    options.add_argument("--version", action="store_true", help="print the version and, in a checkout, the commit")
    if "--version" in (sys.argv[1:] if argv is None else argv):
        print(version_line())
        return 0
    args = parse(options, argv)
    try:
        spec = spec_of(args)
        found = find_photos(args.photos, args.out)
        problems = label.problems(args, spec)
        try:
            spec.check()
        except WeightsError as error:
            problems.append(message_of(error))
        if problems:
            options.exit(2, "".join(f"{options.prog}: {problem}\n" for problem in problems))
        recipe = _recipe(spec, args)  # so that wrong settings are reported before folders are made
        _make_folders(args)
        segment = _load(spec, args, recipe)
    except (ValueError, WeightsError) as error:
        options.exit(2, f"{options.prog}: {message_of(error)}\n")
    for note in found.notes:
        print(f"{options.prog}: {note}", file=sys.stderr)
    try:
        with interruptible(_state_of_results(args), f"{options.prog}: "), _json_file(args.json) as masks:
            outputs = _Outputs(args.out, masks, sys.stderr if args.json == "-" else sys.stdout)
            return _run(found.names, segment, outputs, args)
    except BrokenPipeError:  # the reader of the pipe, such as head, has stopped: `run_command` ends quietly
        raise
    except OSError as error:
        reason = f"{error.filename}: cannot be written ({error.strerror})" if error.filename else str(error)
        options.exit(2, f"{options.prog}: {reason}; {_state_of_results(args)}\n")


def _make_folders(args: argparse.Namespace) -> None:
    """Makes the folders of the results. Raises ValueError with the option whose folder cannot be made."""
    json_folder = expanded(args.json).parent if args.json else None
    for option, folder in (("-o/--out", args.out), ("--json", json_folder)):
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"argument {option}: cannot make the folder {folder} ({error.strerror})") from None


def _state_of_results(args: argparse.Namespace) -> str:
    return f"all files in {args.out} are complete" if args.out else "the printed lines are complete"


@contextmanager
def _json_file(path: str | None) -> Iterator[TextIO | None]:
    """The open file of ``--json``; None without it."""
    if path is None:
        yield None
    elif path == "-":
        yield sys.stdout
    else:
        with expanded(path).open("w", encoding="utf-8") as file:
            yield file


@dataclass(frozen=True)
class Segmented:
    """Segments of one photograph.

    Attributes:
        image: ``(h, w, 3)`` uint8.
        labels: ``(h, w)``, the largest segment first.
        named: the named segments with ``--label``, else None.
    """

    image: pictures.Pixels
    labels: pictures.Labels
    named: label.NamedResult | None = None


Segment = Callable[[pictures.Pixels], Segmented]
"""Segments ``(h, w, 3)`` uint8. Raises `NoNouns` if its segments cannot be named."""


def _recipe(spec: Backbone, args: argparse.Namespace) -> Recipe:
    """Checks settings and device. Raises ValueError if they cannot be used."""
    from diffseg.backbones.device import pick_device
    from diffseg.recipe import make_recipe

    pick_device(args.device)
    settings = segmenter_settings(args)
    return make_recipe(spec, args.segmenter, args.weights, args.scheme, args.config_dir, settings)


def _load(spec: Backbone, args: argparse.Namespace, recipe: Recipe) -> Segment:
    """Loads the model. Returns a function that uses it. Raises WeightsError if its weights cannot be used."""
    from diffseg.model import load

    model = load(spec, args.device)
    labeller = label.Labeller(model, recipe, args) if args.label else None

    def segment(image: pictures.Pixels) -> Segmented:
        if labeller is None:
            return Segmented(image, model.run(image, recipe).labels)
        named = labeller(image)
        return Segmented(image, named.segments, named)

    return segment


@dataclass
class _Outputs:
    """Writes the results.

    Attributes:
        folder: folder for the pictures; None: no pictures are written.
        masks: file for the masks as JSON; None: no masks are written.
        log: gets one line for each photograph.
        rows: rows of the next contact sheet.
        sheets: number of contact sheets written.
    """

    folder: Path | None
    masks: TextIO | None
    log: TextIO
    rows: list[SheetRow] = field(default_factory=list)
    sheets: int = 0

    def write(self, photo: Path, name: str, segmented: Segmented) -> None:
        """Writes the files of one photograph, and a line to the log."""
        count = int(segmented.labels.max()) + 1
        found = counted(count, "segment")
        files = ""
        if self.folder:
            files, row = self._draw(photo, name, segmented, found)
            self.rows.append(row)
            found = row[-1][0]
        if self.masks:
            self._write_masks(photo, name, segmented)
        tqdm.write(f"{photo}: {found}{files}", file=self.log)
        self.log.flush()  # a pipe would keep the lines until the end
        if len(self.rows) == ROWS_A_SHEET:
            self.write_sheet()

    def _draw(self, photo: Path, name: str, segmented: Segmented, found: str) -> tuple[str, SheetRow]:
        """Writes the pictures. Returns their names and a row of the contact sheet; its last caption counts segments."""
        assert self.folder is not None
        image, labels, target = segmented.image, segmented.labels, self.folder / name
        overlay = pictures.overlay(image, labels)
        pictures.write_label_map(f"{target}.labels.png", labels)
        pictures.write_picture(f"{target}.overlay.png", overlay)
        files = f", {target}.labels.png, {name}.overlay.png"
        row = [
            (f"{photo.name} · {image.shape[1]} x {image.shape[0]}", image),
            ("overlay", overlay),
            (found, pictures.colourise(labels)),
        ]
        if segmented.named:
            caption = f"{found}: {', '.join(segmented.named.named.names)}"
            row.append((caption, label.write(target, photo, image, segmented.named)))
            files += f", {name}.named.png, {name}.named.json"
        # Shrunk now, because photographs of many megapixels would fill the memory.
        return files, [(caption, pictures.fit(picture)) for caption, picture in row]

    def _write_masks(self, photo: Path, name: str, segmented: Segmented) -> None:
        from diffseg.result import Result

        assert self.masks is not None
        height, width = segmented.labels.shape
        segments = Result(segmented.image, segmented.labels).coco()
        line = {"file": str(photo), "name": name, "height": height, "width": width, "segments": segments}
        print(json.dumps(line, ensure_ascii=False), file=self.masks, flush=True)

    def write_sheet(self) -> None:
        """Writes the rows so far as a contact sheet."""
        if not self.folder or not self.rows:
            return
        self.sheets += 1
        path = self.folder / (f"contact_sheet_{self.sheets}.png" if self.sheets > 1 else "contact_sheet.png")
        pictures.write_picture(path, pictures.contact_sheet(self.rows))
        tqdm.write(f"contact sheet: {path}", file=self.log)
        self.rows = []


def _run(found: dict[Path, str], segment: Segment, outputs: _Outputs, args: argparse.Namespace) -> int:
    """Segments and writes; returns the exit status."""
    failed, squeezed = 0, False
    for photo, name in tqdm(found.items(), unit="photo", disable=None):
        try:
            image = _read(photo)
            if args.crop:
                image = centre_crop(image)
            elif not squeezed and max(image.shape[:2]) > OBLONG * min(image.shape[:2]):
                squeezed = True
                _warn(
                    f"{photo}: {image.shape[1]} x {image.shape[0]} pixels are squeezed into a square, which loses "
                    "detail along the longer side; --crop keeps the centred square instead"
                )
            segmented = segment(image)
        except PhotoError as error:
            failed += 1
            _warn(str(error))
        except NoNouns as error:
            failed += 1
            _warn(f"{photo}: {error}; give your own words with --words")
        else:
            outputs.write(photo, name, segmented)
    outputs.write_sheet()
    if failed:
        done = "read or named" if args.label else "read"
        print(f"diffseg: {failed} of {len(found)} photographs could not be {done}", file=sys.stderr)
    return int(failed > 0)


def _warn(line: str) -> None:
    tqdm.write(f"diffseg: {line}", file=sys.stderr)


def _read(photo: Path) -> pictures.Pixels:
    if photo != STDIN:
        return read_photo(photo)
    return read_photo(io.BytesIO(sys.stdin.buffer.read()), "standard input")
