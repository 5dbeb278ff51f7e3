#!/usr/bin/env bash
# Label maps as PGM: Pillow stretches the numbers whenever the file's largest value is not 255.
#
# Versions: Pillow 13.0.0, NumPy 2.4.6, Python 3.11.
# Guess before running: a PGM whose header says "largest value 3" holds the numbers 0 to 3, and a reader returns them.
# Behaviour: Pillow scales every pixel to 0..255 (0..65535 for 16 bits), so classes 0, 1, 2, 3 come out as 0, 85, 170, 255;
# with 27 classes (largest value 26) class 3 becomes 29. Only a header of 255 (or 65535) leaves the numbers as they are.
# The format describes brightness, so the scaling is right for pictures. For label maps it renumbers the classes.
# Output seen on 2026-12-01:
#   header 255: [0, 1, 2, 3]
#   header 3: [0, 85, 170, 255]
#   header 26: [0, 10, 20, 29]
#   header 1000 (16 bits): [0, 66, 131, 65535] for 0, 1, 2, 1000
# Exit status 0: the behaviour is as described; 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
from PIL import Image


def read(largest, numbers, kind):
    header = b"P5\n%d 1\n%d\n" % (len(numbers), largest)
    return np.asarray(Image.open(io.BytesIO(header + np.array(numbers, kind).tobytes()))).ravel().tolist()


seen = {
    "header 255": read(255, [0, 1, 2, 3], "u1"),
    "header 3": read(3, [0, 1, 2, 3], "u1"),
    "header 26": read(26, [0, 1, 2, 3], "u1"),
    "header 1000 (16 bits)": read(1000, [0, 1, 2, 1000], ">u2"),
}
for name, values in seen.items():
    print(f"{name}: {values}")
expected = [[0, 1, 2, 3], [0, 85, 170, 255], [0, 10, 20, 29], [0, 66, 131, 65535]]
sys.exit(list(seen.values()) != expected)
PYTHON
