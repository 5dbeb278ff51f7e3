"""Lists the files that this project wrote into a folder. Only listed files are deleted, never a user's."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path, PureWindowsPath

from eval.storage.files import write_text, writing

LIST = ".written.json"


class WrittenFiles:
    """The list of files that this project wrote into a results folder, stored there as `LIST`.

    Args:
        folder: the results folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / LIST
        self.names: set[str] = set()
        if self.path.is_file():
            try:
                self.names = set(filter(_is_below, json.loads(self.path.read_text(encoding="utf-8"))))
            except (ValueError, TypeError):  # with a damaged list, no file is deleted
                self.names = set()

    def add(self, names: Iterable[str]) -> None:
        """Adds files to the list. Call it before writing them, so that a killed run leaves no unlisted file.

        Args:
            names: paths relative to the folder, with ``/``.

        Raises:
            WriteError: the list could not be written.
        """
        new = self.names | set(names)
        if new != self.names:
            self._save(new)

    def delete(self, names: Iterable[str] | None = None, keep: Collection[str] = ()) -> list[Path]:
        """Deletes listed files.

        Args:
            names: files to delete; None: all. Unlisted files are kept.
            keep: files to keep.

        Returns:
            Paths of the deleted files.

        Raises:
            WriteError: a file could not be deleted.
        """
        chosen = (self.names if names is None else self.names & set(names)) - set(keep)
        deleted = []
        for path in (self.folder / name for name in sorted(chosen)):
            if path.is_file():
                with writing(path):
                    path.unlink()
                deleted.append(path)
        if chosen:
            self._save(self.names - chosen)
        return deleted

    def _save(self, names: set[str]) -> None:
        write_text(self.path, json.dumps(sorted(names)) + "\n")
        self.names = names


def _is_below(name: str) -> bool:
    """False for a path that leads out of the folder, so that an edited list deletes no file elsewhere."""
    path = PureWindowsPath(name)  # its rules cover both separators, drives and POSIX
    return not path.anchor and ".." not in path.parts
