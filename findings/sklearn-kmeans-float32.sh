#!/usr/bin/env bash
# K-means of pixels: the same seed and the same float32 points start from other points in scikit-learn 1.9 than in 1.6.
#
# Versions: scikit-learn 1.9.1 and 1.6.1, numpy 2.2.6, scipy 1.15.3, Python 3.11.
# Guess before running: k-means++ with a fixed seed draws the same points in both versions, and the same from float32 as
# from float64 copies of the points, as long as no two points are at nearly the same distance.
# Behaviour: k-means++ draws a point from the running sum of the squared distances. Version 1.6 adds up in float64, 1.9 in
# the precision of the points. In float32 the error of the sum grows with the number of points: with 200,704 points (a
# picture of 448 x 448 pixels) the drawn place moves by hundreds to tens of thousands of points, so the starts, and the
# clusters, are others. With 20,000 points nothing changes. float64 points give the starts of 1.6 in both versions.
# Output seen on 2026-12-01:
#   scikit-learn 1.6.1, 200704 points, float32: 110149 121082 193414 77053 185763 156052 156494 28788 155240 123966
#   scikit-learn 1.6.1, 200704 points, float64: 110149 121082 193414 77053 185763 156052 156494 28788 155240 123966
#   scikit-learn 1.9.1, 200704 points, float32: 110149 85123 193414 158888 185712 156140 156543 128355 83029 122731
#   scikit-learn 1.9.1, 200704 points, float64: 110149 121082 193414 77053 185763 156052 156494 28788 155240 123966
# Exit status 0: the behaviour is as described; 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.cluster import kmeans_plusplus

points = np.random.default_rng(0).random((448 * 448, 5), dtype=np.float32)
starts = {}
for dtype in (np.float32, np.float64):
    _, starts[dtype] = kmeans_plusplus(points.astype(dtype), 10, random_state=0)
    print(f"scikit-learn {sklearn.__version__}, {len(points)} points, {dtype.__name__}:", *starts[dtype])
few = [kmeans_plusplus(points[:20000].astype(dtype), 10, random_state=0)[1] for dtype in starts]
alike = np.array_equal(*starts.values())
sys.exit(not np.array_equal(*few) or alike != (sys.argv[1] == "alike"))
PYTHON
status=0
for case in 1.6.1:alike 1.9.1:other; do
	python3 -m venv --clear "$folder/venv"
	"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "scikit-learn==${case%:*}" numpy==2.2.6 scipy==1.15.3
	"$folder/venv/bin/python" "$folder/program.py" "${case#*:}" || status=1
done
exit $status
