"""Downloads the benchmark's published weights into the Hugging Face hub's local cache. ``make weights`` runs it.

python -m diffseg.hub
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from diffseg.backbones import MissingWeights
from diffseg.backbones.stable_diffusion import PUBLISHED_FILES as STABLE_DIFFUSION_FILES
from diffseg.backbones.weights.downloads import download
from diffseg.backbones.weights.locating import BY_MAKE, TRANSFORMERS_FILES
from diffseg.command import run_command
from diffseg.labelling.captioning import PUBLISHED_FILES as BLIP_FILES

FILES: Mapping[str, Sequence[str]] = dict(
    zip(BY_MAKE, (STABLE_DIFFUSION_FILES, TRANSFORMERS_FILES, BLIP_FILES), strict=True)
)
SIZES = dict(zip(BY_MAKE, ("4.3 GB", "90 MB", "1 GB, names segments"), strict=True))
ERROR_STATUS = 2


def main() -> int:
    """Downloads everything and prints the folders. Returns the exit status."""
    try:
        print("Downloading unless already there:", "; ".join(f"{name} ({SIZES[name]})" for name in FILES), flush=True)
        print(*download(FILES), sep="\n")
    except MissingWeights as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
