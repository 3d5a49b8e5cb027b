"""What spreadsheets would run: texts that begin like a formula are made texts for good."""

from __future__ import annotations

import re

_SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
"""They begin a formula; the wide ones do so in East Asian editions."""
_BEGINS = frozenset(_SIGNS + "\t\r\n")
_INSIDE = re.compile(rf"(?<=[;\t\r\n])(?=[{re.escape(_SIGNS)}])")
"""Behind a semicolon or a line's end: where Excel parts fields by semicolons, a new cell begins there."""


def begins_one(text: str) -> bool:
    """Say whether a cell with this text would be taken for a formula."""
    return text[:1] in _BEGINS


def disarmed(text: str) -> str:
    """Put an apostrophe before everything in the text that a spreadsheet would run."""
    return _INSIDE.sub("'", f"'{text}" if begins_one(text) else text)
