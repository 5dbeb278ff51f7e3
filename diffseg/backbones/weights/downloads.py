"""Downloads files of the Hugging Face hub into its local cache. Reports within seconds that the hub is unreachable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Thread

from diffseg.backbones import PATH_ARGUMENT, MissingWeights

REACHED_WITHIN = 3.0  # seconds


def download(files: Mapping[str, Sequence[str]]) -> list[str]:
    """Downloads the files that are not in the hub's cache yet. An interrupted download resumes.

    Args:
        files: repository (owner/name) -> its files.

    Returns:
        The snapshot folder of each repository.

    Raises:
        MissingWeights: the hub cannot be reached within `REACHED_WITHIN`, or a file cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    folders = []
    for repository, names in files.items():
        missing = [name for name in names if not isinstance(try_to_load_from_cache(repository, name), str)]
        if missing:
            require_hub(repository)
        for name in missing:
            try:
                hf_hub_download(repository, name)
            except HfHubHTTPError as error:
                raise MissingWeights(f"{repository}: the hub refuses {name} ({_first_line(error)})") from error
            except OSError as error:
                raise MissingWeights(f"{repository}: {name} could not be downloaded ({_first_line(error)})") from error
        found = str(try_to_load_from_cache(repository, names[0]))
        folders.append(found.removesuffix(names[0]).rstrip("/\\"))
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
