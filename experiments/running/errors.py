"""Ends a command with one line about an error, including errors of Hydra and OmegaConf."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from datasets.base import DatasetError
from diffseg.backbones import WeightsError
from diffseg.command import ERROR_STATUS, TRACEBACK, one_line
from diffseg.parts import keys_of, nearest, unknown_key
from diffseg.texts import on_one_line
from eval.config import ConfigError
from eval.records import RecordError
from eval.storage.files import WriteError

USER_ERRORS = (
    *(ConfigError, DatasetError, WeightsError, RecordError, WriteError),
    *(HydraException, OmegaConfBaseException, OSError, YAMLError),
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
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) else error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key and cause.parent_node is not None:
        groups = cause.parent_node.items()
        if homes := [f"{name}.{cause.full_key}" for name, group in groups if cause.full_key in _keys(group)]:
            return f"{cause.full_key}: there is no such key; did you mean {' or '.join(homes)}?"
        owner = str(cause.parent_node.get("_target_", "")).rpartition(".")[2]
        return unknown_key(cause.full_key, [str(name) for name in cause.parent_node if name != "_target_"], owner)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return unknown_choice(error.missing_cfg_file, error.options)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: is neither group=choice nor key=value; check its brackets and quotes"
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, WeightsError):
        return error.advising("backbone.path=DIR")
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name}: is not valid YAML (line {mark.line + 1}: {error.problem})"
    message = str(error).split("Config search path")[0]  # Hydra's list of folders does not help users
    lines = [message, *str(cause).splitlines()[:1]] if cause is not error and cause else [message]
    return on_one_line(": ".join(lines))


def unknown_choice(path: str, known: Iterable[str]) -> str:
    """Message about a choice that its group does not have, with the most similar one. ``path``: ``GROUP/CHOICE``."""
    group, _, name = path.rpartition("/")
    return f"{group}={name}: there is no such choice{nearest(name, known, f'{group}=')}"


def _keys(node: Any) -> list[str]:
    return keys_of(node) if isinstance(node, DictConfig) else []
