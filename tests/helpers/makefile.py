"""Asks make for the commands of a target."""

from __future__ import annotations

import os
import shlex
import subprocess

from tests.conftest import ROOT


def command_of(target: str, *variables: str) -> list[str]:
    """Words of the last command that ``make TARGET VARIABLE=VALUE ...`` would run."""
    return shlex.split(line_of(target, *variables))


def line_of(target: str, *variables: str) -> str:
    """The last line that ``make TARGET VARIABLE=VALUE ...`` would pass to the shell.

    The tests may run under make, whose environment would add its variables and its messages.
    """
    inherited = ("MAKE", "MFLAGS", "ARGS", "DATA", "DIR", "RESULTS", "ARCHIVES")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
    command = ["make", "--no-print-directory", "--dry-run", "--always-make", target, *variables]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]
