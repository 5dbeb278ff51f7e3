"""``python -m experiments.app [--backbone NAME] [--port N]``: serves the page on 127.0.0.1, and only there.

Reports wrong arguments and missing weights before the server starts.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from diffseg.backbones import WeightsError
from diffseg.cli.arguments import Parser
from diffseg.cli.command import run_command
from diffseg.cli.options import add_model, message_of, spec_of

HOST, PORT = "127.0.0.1", 8501
PAGE = Path(__file__).with_name("page.py")

SETTINGS = {
    "server_address": HOST,
    # Stops DNS rebinding: another site cannot reach the server through a host name that it points to this address.
    "server_allowedHosts": [HOST, "localhost"],
    "server_headless": True,  # opens no browser and asks for no e-mail address
    "server_fileWatcherType": "none",
    "server_runOnSave": False,
    "browser_gatherUsageStats": False,
    "client_toolbarMode": "minimal",
    "theme_light_primaryColor": "#2266c4",  # the report's accent
    "theme_dark_primaryColor": "#74aaf5",
    "logger_hideWelcomeMessage": True,
}
"""Options that override Streamlit's configuration file; its other options still apply."""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    about = "Serves a page on this machine: drop a picture, change the parameters, see segments and attention."
    parser = Parser(prog="app", usage="python -m experiments.app [options]", description=about)
    add_model(parser)
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help="port on 127.0.0.1; default: %(default)s")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line. If the server cannot start, prints one line and raises SystemExit with status 2."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser()
    args = options.parse_args(arguments)
    try:
        if find_spec("streamlit") is None:
            raise ValueError("needs the package streamlit: pip install streamlit (make app does)")
        spec_of(args).check()
        _check_port(args.port)
        from diffseg.backbones.device import pick_device  # imports torch, which takes seconds

        pick_device(args.device)
    except (ValueError, WeightsError) as error:
        options.exit(2, f"{options.prog}: {message_of(error)}\n")

    from streamlit.web import bootstrap

    flags = {**SETTINGS, "server_port": args.port}
    bootstrap.load_config_options(flags)
    print(f"http://{HOST}:{args.port} (Ctrl+C ends it)", flush=True)
    bootstrap.run(str(PAGE), False, arguments, flags)


def _check_port(port: int) -> None:
    """Raises ValueError if the server cannot listen on this port."""
    with socket.socket() as probe:
        # The server sets this option too. Without it, a port that was closed a moment ago would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "must be 0..65535"
            raise ValueError(f"--port: cannot listen on {HOST}:{port} ({reason}); give another") from None


if __name__ == "__main__":
    run_command(main)
