#!/usr/bin/env bash
# A TIFF that its orientation tag turns by 90 degrees: opened by name, its pixels come out scrambled.
#
# Versions: Pillow 13.0.0, NumPy 2.4.6, Python 3.11.
# Guess before running: Pillow turns a TIFF upright while it decodes it (PNG and JPEG it leaves as stored), in the same
# way whether it gets the name of the file or an open file, and whether the pixels are compressed or not.
# Behaviour: an uncompressed TIFF that is opened by name is mapped into memory with height and width exchanged, before it
# is turned. The result has the size of the stored picture and the pixels of neither. No error, no warning.
# Output seen on 2026-12-01, of a picture of 3 x 4 pixels, 0 to 11, stored turned by 90 degrees with orientation 6:
#   by name, uncompressed: [[9, 6, 3], [0, 10, 7], [4, 1, 11], [8, 5, 2]]
#   by name, LZW: [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
#   open file, uncompressed: [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
# Exit status 0: the behaviour is as described; 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from PIL import Image

upright = np.arange(12, dtype=np.uint8).reshape(3, 4)
stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
stored.save("plain.tif", tiffinfo={274: 6})
stored.save("lzw.tif", tiffinfo={274: 6}, compression="tiff_lzw")
seen = {
    "by name, uncompressed": np.array(Image.open("plain.tif")),
    "by name, LZW": np.array(Image.open("lzw.tif")),
    "open file, uncompressed": np.array(Image.open(open("plain.tif", "rb"))),
}
for name, pixels in seen.items():
    print(f"{name}: {pixels.tolist()}")
sys.exit([np.array_equal(pixels, upright) for pixels in seen.values()] != [False, True, True])
PYTHON
