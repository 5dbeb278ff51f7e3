"""Reads wandb's environment variables, which set whatever the configuration leaves open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

EnvironmentMode = Literal["auto", "online", "offline", "disabled"]

# WANDB_MODE -> mode; "run" and "dryrun" are wandb's older names.
MODES: Mapping[str, EnvironmentMode] = {
    **{"online": "online", "run": "online"},
    **{"offline": "offline", "dryrun": "offline"},
    **{"disabled": "disabled"},
}
YES = ("true", "1", "yes", "y", "on")


def environment_mode() -> EnvironmentMode:
    """The mode in WANDB_MODE or WANDB_DISABLED; "auto" if neither names a mode of wandb.

    wandb no longer reads WANDB_DISABLED, but people and libraries still set it.
    """
    if os.environ.get("WANDB_DISABLED", "").lower() in YES:
        return "disabled"
    return MODES.get(os.environ.get("WANDB_MODE", ""), "auto")


def given(name: str) -> str | None:
    """The value of an environment variable; None if it is not set or empty."""
    return os.environ.get(name) or None


def overruled(settings: Mapping[str, str | None]) -> list[str]:
    """Messages about settings that overrule wandb's environment variable of the same name.

    Args:
        settings: key of the tracker -> value; None: left open.
    """
    return [
        f"tracker.{key}={value} is used, not WANDB_{key.upper()}={variable}"
        for key, value in settings.items()
        if value is not None and (variable := given(f"WANDB_{key.upper()}")) not in (None, value)
    ]
