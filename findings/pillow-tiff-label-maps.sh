#!/usr/bin/env bash
# Label maps as TIFF: Pillow loses the sign of 8 bits, turns large 32-bit numbers negative, and inverts "white is zero".
#
# Versions: Pillow 13.0.0, tifffile 2026.3.3 (which writes the files, and reads them as they are), NumPy 2.4.6, Python 3.11.
# Guess before running: both libraries return the numbers that were written, or one of them refuses the file.
# Behaviour: Pillow reads int8 as uint8, so void pixels of -1 become class 255; it reads uint32 as int32, so numbers from
# 2**31 on (hashed segment numbers) become negative; and it subtracts every number from 255 if the file says that 0 is
# white, which scanners and some microscopes write. int16 keeps its sign. tifffile returns what was written in all cases.
# Output seen on 2026-12-01:
#   int8 [-1, 0, 1, 5]: Pillow [255, 0, 1, 5], tifffile [-1, 0, 1, 5]
#   int16 [-1, 0, 1, 300]: Pillow [-1, 0, 1, 300], tifffile [-1, 0, 1, 300]
#   uint32 [0, 5, 2147483648]: Pillow [0, 5, -2147483648], tifffile [0, 5, 2147483648]
#   uint8, white is zero [0, 1, 2, 5]: Pillow [255, 254, 253, 250], tifffile [0, 1, 2, 5]
# Exit status 0: the behaviour is as described; 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6 tifffile==2026.3.3
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import tifffile
from PIL import Image

cases = [
    ("int8", [-1, 0, 1, 5], "minisblack", [255, 0, 1, 5]),
    ("int16", [-1, 0, 1, 300], "minisblack", [-1, 0, 1, 300]),
    ("uint32", [0, 5, 2**31], "minisblack", [0, 5, -(2**31)]),
    ("uint8", [0, 1, 2, 5], "miniswhite", [255, 254, 253, 250]),
]
changed = False
for kind, numbers, photometric, expected in cases:
    file = io.BytesIO()
    tifffile.imwrite(file, np.array([numbers], kind), photometric=photometric)
    file.seek(0)
    with_pillow = np.asarray(Image.open(file)).ravel().tolist()
    file.seek(0)
    as_written = tifffile.imread(file).ravel().tolist()
    note = ", white is zero" if photometric == "miniswhite" else ""
    print(f"{kind}{note} {numbers}: Pillow {with_pillow}, tifffile {as_written}")
    changed |= with_pillow != expected or as_written != numbers
sys.exit(changed)
PYTHON
