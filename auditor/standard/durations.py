"""Durations of the standard (`24h 7d 12w 84mo 7y`) as hours and days."""

from __future__ import annotations

import re

from auditor.model import MONTH_DAYS, YEAR_DAYS

DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0, "mo": MONTH_DAYS, "y": YEAR_DAYS}
"""Length of a unit in days. Months and years are the Gregorian means, so 84mo and 7y are the same length."""

LONGEST_DAYS = 1000 * YEAR_DAYS
"""No demand is longer, and moments that far away can still be counted."""

_FORM = re.compile(r"(\d+(?:\.\d+)?)(h|d|w|mo|y)")


def days(text: str) -> float:
    """Read a duration such as `12w`; give days.

    Raises:
        ValueError: not a number followed by h, d, w, mo or y, or more than 1000 years.
    """
    found = _FORM.fullmatch(str(text).strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration; write a number and one of h d w mo y, such as 30d or 84mo")
    length = float(found[1]) * DAYS[found[2]]
    if length > LONGEST_DAYS:
        raise ValueError(f"{text[:40]!r} is longer than 1000 years; write a duration that somebody will see end")
    return length


def hours(text: str) -> float:
    """Read a duration; give hours, exactly for whole hours."""
    return round(days(text) * 24, 6)
