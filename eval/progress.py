"""Progress of long work: a bar on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self

from tqdm import tqdm

LINE_EVERY = 30.0  # seconds between plain lines
CLOCK_STEP = 1e-3  # seconds: some systems count time in steps in which a picture can be done


class Progress:
    """Counts pictures with rate, time left and a note: ``with Progress("photos", 8) as bar: ... bar.advance(note)``.

    Args:
        title: stands in front.
        total: pictures in all.
        done: pictures that an earlier run did.
        shown: whether anything is printed; of the processes that share a run, one shows its progress.
        unit: what is counted, where that is something else.
    """

    def __init__(self, title: str, total: int, done: int = 0, shown: bool = True, unit: str = "img") -> None:
        self.shown, self.terminal = shown, shown and sys.stderr.isatty()
        self.bar = tqdm(desc=title, total=total, initial=done, unit=unit, disable=not self.terminal, dynamic_ncols=True)
        self.title, self.total, self.done, self.began_with, self.unit = title, total, done, done, unit
        self.start = self.last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def advance(self, note: str) -> None:
        """One more is done; ``note`` is shown beside it."""
        self.done += 1
        if self.terminal:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update()
        elif self.shown and (time.monotonic() - self.last >= LINE_EVERY or self.done == self.total):
            self.last = time.monotonic()
            rate = (self.done - self.began_with) / max(self.last - self.start, CLOCK_STEP)
            left = (self.total - self.done) / rate
            speed = f"{rate:.2f} {self.unit}/s, {left:.0f} s left"
            print(f"{self.title}: {self.done}/{self.total}, {speed}, {note}", file=sys.stderr)
