"""Downloads the benchmark's published weights into the Hugging Face hub's local cache. ``make weights`` runs it.

python -m diffseg.hub
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from threading import Thread

from diffseg.backbones import PATH_ARGUMENT, MissingWeights
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.weights.files import BY_MAKE, TRANSFORMERS_FILES
from diffseg.cli.command import ERROR_STATUS, run_command
from diffseg.labelling.captioning import PUBLISHED_FILES as BLIP_FILES

FILES: Mapping[str, Sequence[str]] = dict(
    zip(BY_MAKE, (StableDiffusion().published, TRANSFORMERS_FILES, BLIP_FILES), strict=True)
)
SIZES = dict(zip(BY_MAKE, ("4.3 GB", "90 MB", "1 GB, names segments"), strict=True))
REACHED_WITHIN = 3.0  # seconds


def main() -> int:
    """Downloads everything and prints the folders. Returns the exit status."""
    try:
        print("Downloading unless already there:", "; ".join(f"{name} ({SIZES[name]})" for name in FILES), flush=True)
        print(*download(FILES), sep="\n")
    except MissingWeights as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR_STATUS
    return 0


def download(files: Mapping[str, Sequence[str]]) -> list[str]:
    """Downloads the files (repository -> names) that are not in the hub's cache yet. An interrupted download resumes.

    Returns the snapshot folder of each repository. Raises `MissingWeights` if the hub cannot be reached within
    `REACHED_WITHIN`, or a file cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    folders = []
    for repository, names in files.items():
        missing = [name for name in names if not isinstance(try_to_load_from_cache(repository, name), str)]
        if missing:
            require_hub(repository)
        for name in missing:
            try:
                hf_hub_download(repository, name)
            except OSError as error:  # among them the HTTP errors of the hub's client
                raise MissingWeights(f"{repository}: {name} could not be downloaded ({_first_line(error)})") from error
        folders.append(str(try_to_load_from_cache(repository, names[0])).removesuffix(names[0]).rstrip("/\\"))
    return folders


def require_hub(repository: str) -> None:
    """Raises `MissingWeights` unless the hub answers within `REACHED_WITHIN`; its client would retry for 30 s."""
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.utils import get_session

    problem = [f"no answer within {REACHED_WITHIN:g} s"]

    def reach() -> None:
        try:
            get_session().head(ENDPOINT, timeout=REACHED_WITHIN)
            problem.clear()
        except Exception as error:  # each HTTP library raises its own classes
            problem[0] = _first_line(error)

    # A thread, because the look-up of the host's address has no time limit.
    thread = Thread(target=reach, daemon=True)
    thread.start()
    thread.join(REACHED_WITHIN)
    if problem:
        raise MissingWeights(
            f"{ENDPOINT} cannot be reached ({problem[0]}), so {repository} was not downloaded; connect to the "
            f"network, or copy the model folder from another machine and give it as {PATH_ARGUMENT}"
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


if __name__ == "__main__":
    sys.exit(run_command(main))
