"""What may reach a terminal: names come from Azure, and whoever may name a VM must not command a terminal by it."""

from __future__ import annotations

import io
import os
import re
import sys

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and marks that turn the direction of writing."""


def printable(text: str) -> str:
    """Give text without anything that a terminal would obey."""
    return _COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text)


def write_anything() -> None:
    """Let a terminal that lacks a character show `?` instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def reader_left() -> None:
    """Go on in silence after the reader of our output left (`| head`): the exit code still tells the outcome."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, sys.stdout.fileno())
    os.close(silence)
