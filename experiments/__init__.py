"""The commands of the benchmark, ``python -m experiments.NAME``, and their parts."""

import sys

from diffseg.command import end_at_once

# Ctrl+C must work while NAME imports its modules, which takes seconds. Python imports this package first.
if sys.argv[0] == "-m":
    end_at_once()
