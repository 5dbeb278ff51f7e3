"""Words for messages: text on one line, counted things. Imports nothing."""

from __future__ import annotations


def on_one_line(message: object) -> str:
    r"""The text of a message or error without line breaks and repeated spaces.

    >>> on_one_line(ValueError("two\n  lines"))
    'two lines'
    """
    return " ".join(str(message).split())


def counted(count: int, noun: str) -> str:
    """A number and a noun.

    >>> counted(1, "segment"), counted(2000, "segment")
    ('1 segment', '2,000 segments')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"
