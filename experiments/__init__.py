"""The commands of the benchmark, ``python -m experiments.NAME``, and their parts."""

import sys

from diffseg.cli.command import begin_command

# Python imports this package before NAME, whose imports take seconds.
if sys.argv[0] == "-m":
    begin_command()
