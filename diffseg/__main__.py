"""``python -m diffseg``: see `diffseg.cli`."""

from __future__ import annotations

import sys

from diffseg.cli import main

sys.exit(main())
