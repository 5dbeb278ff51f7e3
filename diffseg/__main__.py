"""``python -m diffseg``: see `diffseg.cli`."""

from __future__ import annotations

import sys

from diffseg.cli.command import begin_command, run_command


def main() -> int:
    """Runs the command line. Returns the exit status."""
    begin_command()
    from diffseg.cli.main import main as command

    return run_command(command)


if __name__ == "__main__":
    sys.exit(main())
