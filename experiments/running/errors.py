"""Ends a command with one line about an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from datasets.base import DatasetError
from diffseg.backbones import WeightsError
from diffseg.cli.command import ERROR_STATUS, TRACEBACK, one_line
from diffseg.texts import on_one_line
from eval.config import ConfigError
from eval.label_maps import LabelMapError
from eval.records import RecordError
from eval.storage.files import WriteError

USER_ERRORS = (
    *(ConfigError, DatasetError, LabelMapError, WeightsError, RecordError, WriteError),
    *(HydraException, OmegaConfBaseException, OSError),
)
FAILED_STATUS = 1


class PicturesFailed(Exception):
    """A run is complete, but some of its pictures failed."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Context in which an error ends the program with one line instead of a traceback."""
    try:
        yield
    except BrokenPipeError:  # the reader of the pipe, such as head, has stopped: `run_command` ends quietly
        raise
    except USER_ERRORS as error:
        print(f"error: {user_message(error)}", file=sys.stderr)
        sys.exit(ERROR_STATUS)
    except PicturesFailed:
        sys.exit(FAILED_STATUS)  # the run has said how many
    except Exception as error:  # a user's part may raise any error, and Hydra would print a traceback
        if os.environ.get(TRACEBACK):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(ERROR_STATUS)


def user_message(error: Exception) -> str:
    """The message of an error for users: one line that names the key or file."""
    if isinstance(error, ConfigError):
        return str(error)  # what is missing has a line for each thing
    if isinstance(error, WeightsError):
        return error.advising("backbone.path=DIR")
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return on_one_line(error)
