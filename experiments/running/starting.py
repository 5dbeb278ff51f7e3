"""Starts a Hydra command with the launcher and the sweeper of this project."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.plugins import Plugins

from experiments.running.arguments import normalise_argv

# Hydra finds plugins only in the namespace package hydra_plugins. This folder contains our part of that package.
PLUGINS = str(Path(__file__).resolve().parents[1] / "plugins")


def start_hydra(command: Callable[[], None], arguments: Sequence[str]) -> None:
    """Runs a function that ``hydra.main`` decorates.

    Args:
        command: the function; it reads ``sys.argv``, which is replaced.
        arguments: arguments as typed, without ``--rerun`` and ``--tables``.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: the arguments are wrong, see `normalise_argv`.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises its errors instead of printing them
    if PLUGINS not in sys.path:
        sys.path.append(PLUGINS)
    one_pass = importlib.import_module("hydra_plugins.one_pass")
    Plugins.instance().register(one_pass.OnePassLauncher)
    Plugins.instance().register(one_pass.OnePassSweeper)
    sys.argv[1:] = normalise_argv(arguments)
    command()
