"""Shows the progress of long work: a bar in a terminal, a plain line every `LINE_EVERY` seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Self

from tqdm import tqdm

LINE_EVERY = 30.0  # seconds between plain lines
NOTE_EVERY = 0.1  # seconds between notes beside a bar
CLOCK_STEP = 1e-3  # seconds: on some systems, the clock has not moved when a picture is done


class Progress:
    """Counts pictures with rate, time left and a note: ``with Progress("photos", 8) as bar: ... bar.advance(note)``.

    Args:
        title: text before the bar.
        total: number of pictures.
        done: number of pictures that an earlier run finished.
        shown: False prints nothing. If several processes share a run, only one of them prints.
        unit: unit of the count.
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

    def advance(self, note: str | Callable[[], str]) -> None:
        """Counts one more picture, and shows ``note`` beside the count. A function is called only when it is shown."""
        self.done += 1
        now = time.monotonic()
        if self.shown and (now - self.last >= (NOTE_EVERY if self.terminal else LINE_EVERY) or self.done == self.total):
            self.last = now
            text = note if isinstance(note, str) else note()
            if self.terminal:
                self.bar.set_postfix_str(text, refresh=False)
            else:
                rate = (self.done - self.began_with) / max(now - self.start, CLOCK_STEP)
                speed = f"{rate:.2f} {self.unit}/s, {(self.total - self.done) / rate:.0f} s left"
                parts = (f"{self.title}: {self.done}/{self.total}", speed, text)
                print(", ".join(filter(None, parts)), file=sys.stderr)
        self.bar.update()  # nothing without a terminal
