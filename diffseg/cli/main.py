"""``python -m diffseg PHOTO... -o OUT``: segments photographs, draws the result, writes the masks.

Arguments and weights are checked before torch is imported, which takes seconds. Checks that need torch run before the
weights are loaded.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from tqdm import tqdm

from diffseg import pictures
from diffseg.backbones import Backbone, WeightsError
from diffseg.backbones.image import centre_crop
from diffseg.cli import label
from diffseg.cli.command import interruptible
from diffseg.cli.inputs import STDIN, find_photos
from diffseg.cli.options import DEFAULT_SEGMENTER, OBLONG, ROWS_A_SHEET, message_of, parse, segmenter_settings, spec_of
from diffseg.files.images import PhotoError
from diffseg.files.paths import expanded
from diffseg.files.photographs import read_photo
from diffseg.labelling.captioning import NoNouns
from diffseg.result import Result
from diffseg.texts import counted

if TYPE_CHECKING:
    from diffseg.labelling.naming import Named
    from diffseg.recipe import Recipe

SheetRow = list[tuple[str, pictures.Pixels]]

Segment = Callable[[pictures.Pixels], "tuple[Result, Named | None]"]
"""Segments ``(h, w, 3)`` uint8; with ``--label`` it also joins the segments of a name. Raises `NoNouns`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns 0, or 1 if a photograph could not be read or named.

    Raises:
        SystemExit: after one line on stderr: status 2 for wrong arguments, missing weights, or a file that cannot be
            written; status 130 after Ctrl+C.
    """
    args = parse(argv)
    try:
        spec = spec_of(args)
        photos, notes = find_photos(args.photos, args.out)
        problems = label.problems(args, spec) if args.label else []
        try:
            spec.check()
        except WeightsError as error:
            problems.append(message_of(error))
        if problems:
            _fail(*problems)
        recipe = _recipe(spec, args)  # so that wrong settings are reported before folders are made
        _make_folders(args)
        segment = _load(spec, args, recipe)
    except (ValueError, WeightsError) as error:
        _fail(message_of(error))
    _warn(*notes)
    state = f"all files in {args.out} are complete" if args.out else "the printed lines are complete"
    try:
        with interruptible(state, "diffseg: "), _json_file(args.json) as masks:
            return _run(photos, segment, args, masks)
    except BrokenPipeError:  # the reader of the pipe, such as head, has stopped: `run_command` ends quietly
        raise
    except OSError as error:
        reason = f"{error.filename}: cannot be written ({error.strerror})" if error.filename else str(error)
        _fail(f"{reason}; {state}")


def _recipe(spec: Backbone, args: argparse.Namespace) -> Recipe:
    """Checks settings and device. Raises ValueError if they cannot be used."""
    from diffseg.backbones.device import pick_device
    from diffseg.recipe import make_recipe

    pick_device(args.device)
    segmenter = args.segmenter or DEFAULT_SEGMENTER
    return make_recipe(spec, segmenter, args.weights, args.scheme, args.config_dir, segmenter_settings(args))


def _load(spec: Backbone, args: argparse.Namespace, recipe: Recipe) -> Segment:
    """Loads the model. Returns a function that uses it. Raises WeightsError if its weights cannot be used."""
    from diffseg.model import load

    model = load(spec, args.device)
    if args.label:
        return label.Labeller(model, recipe, args)
    return lambda image: (model.run([image], recipe)[0], None)


def _make_folders(args: argparse.Namespace) -> None:
    """Makes the folders of the results. Raises ValueError with the option whose folder cannot be made."""
    for option, folder in (("-o/--out", args.out), ("--json", expanded(args.json).parent if args.json else None)):
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"argument {option}: cannot make the folder {folder} ({error.strerror})") from None


def _json_file(path: str | None) -> AbstractContextManager[TextIO | None]:
    """Opens the file of ``--json``; None without it."""
    if path in (None, "-"):
        return nullcontext(sys.stdout if path else None)
    return expanded(path).open("w", encoding="utf-8")


def _run(photos: Mapping[Path, str], segment: Segment, args: argparse.Namespace, masks: TextIO | None) -> int:
    """Segments the photographs, each with the name of its results, and writes these; returns the exit status.

    ``masks`` is the file of ``--json``.
    """
    log = sys.stderr if masks is sys.stdout else sys.stdout
    rows: list[SheetRow] = []  # of the next contact sheet
    failed, sheets, squeezed = 0, 0, False
    for number, (photo, name) in enumerate(tqdm(photos.items(), unit="photo", disable=None), start=1):
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
            result, named = segment(image)
        except (PhotoError, NoNouns) as error:
            failed += 1
            _warn(f"{photo}: {error}; give your own words with --words" if isinstance(error, NoNouns) else str(error))
        else:
            caption, files = counted(result.count, "segment"), ""
            if args.out:
                files, row = _draw(args.out / name, photo, result, named)
                rows.append(row)
                caption = row[-1][0]
            if masks:
                height, width = result.labels.shape
                line = {"file": str(photo), "name": name, "height": height, "width": width, "segments": result.coco()}
                print(json.dumps(line, ensure_ascii=False), file=masks, flush=True)
            _log(f"{photo}: {caption}{files}", log)
        if rows and (len(rows) == ROWS_A_SHEET or number == len(photos)):
            sheets += 1
            path = args.out / (f"contact_sheet_{sheets}.png" if sheets > 1 else "contact_sheet.png")
            pictures.write_picture(path, pictures.contact_sheet(rows))
            _log(f"contact sheet: {path}", log)
            rows = []
    if failed:
        _warn(f"{failed} of {len(photos)} photographs could not be {'read or named' if args.label else 'read'}")
    return int(failed > 0)


def _read(photo: Path) -> pictures.Pixels:
    if photo != STDIN:
        return read_photo(photo)
    return read_photo(io.BytesIO(sys.stdin.buffer.read()), "standard input")


def _draw(target: Path, photo: Path, result: Result, named: Named | None) -> tuple[str, SheetRow]:
    """Writes the pictures. Returns their names and a row of the contact sheet; its last caption counts segments."""
    image, labels, caption = result.picture, result.labels, counted(result.count, "segment")
    overlay = pictures.overlay(image, labels)
    pictures.write_label_map(f"{target}.labels.png", labels)
    pictures.write_picture(f"{target}.overlay.png", overlay)
    files = f", {target}.labels.png, {target.name}.overlay.png"
    row = [
        (f"{photo.name} · {image.shape[1]} x {image.shape[0]}", image),
        ("overlay", overlay),
        (caption, pictures.colourise(labels)),
    ]
    if named:
        row.append((f"{caption}: {', '.join(named.names)}", label.write(target, photo, image, named)))
        files += f", {target.name}.named.png, {target.name}.named.json"
    # Shrunk now, because photographs of many megapixels would fill the memory.
    return files, [(text, pictures.fit(picture)) for text, picture in row]


def _log(line: str, log: TextIO) -> None:
    tqdm.write(line, file=log)
    log.flush()  # a pipe would keep the lines until the end


def _warn(*lines: str) -> None:
    for line in lines:
        tqdm.write(f"diffseg: {line}", file=sys.stderr)


def _fail(*lines: str) -> NoReturn:
    _warn(*lines)
    sys.exit(2)
