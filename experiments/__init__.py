"""The commands of the benchmark, ``python -m experiments.NAME``, and what they are made of."""

import sys

from diffseg.interrupts import end_at_once

if sys.argv[0] == "-m":  # so long as Python looks for NAME, which then takes seconds to import what it needs
    end_at_once()
