"""Instants, durations and time zones as an estate's YAML writes them and as Azure prints them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zlib import crc32

_DURATION = re.compile(r"([+-]?)(\d+(?:\.\d+)?)(mo|min|[hdwy])")
_SECONDS = {"min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "mo": 30.4375 * 86_400, "y": 365.25 * 86_400}

# Azure Backup runs schedules at the zone's standard offset all year round, so no rule about summer time is needed.
ZONE_MINUTES = {
    "UTC": 0,
    "GMT Standard Time": 0,
    "W. Europe Standard Time": 60,
    "Central Europe Standard Time": 60,
    "Romance Standard Time": 60,
    "FLE Standard Time": 120,
    "India Standard Time": 330,
    "Singapore Standard Time": 480,
    "Tokyo Standard Time": 540,
    "AUS Eastern Standard Time": 600,
    "Eastern Standard Time": -300,
    "Central Standard Time": -360,
    "Mountain Standard Time": -420,
    "Pacific Standard Time": -480,
}
"""Windows time-zone name -> minutes east of UTC, standard time."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""Azure's spelling, in the order of `date.weekday()`."""


def duration(text: str) -> timedelta:
    """Turn `26h`, `-40d`, `7y` into a signed span; ValueError where it is none."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        message = f"{text!r} is not a duration such as 26h, 40d, 12w, 84mo or 7y"
        raise ValueError(message)
    sign = -1 if found[1] == "-" else 1
    return timedelta(seconds=sign * float(found[2]) * _SECONDS[found[3]])


def instant(value: object, as_of: datetime) -> datetime:
    """Turn `-26h`, an ISO text or a YAML date into an aware UTC instant; ValueError where it is none.

    A bare duration counts back from `as_of`, so that `40d` as an age and `-40d` as an instant mean the same.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    text = str(value).strip()
    if _DURATION.fullmatch(text):
        return as_of + duration(text if text[0] in "+-" else f"-{text}")
    return instant(datetime.fromisoformat(text), as_of)


def seed(text: str) -> int:
    """Give a number that depends on `text` only: what looks random in an estate is the same in every run."""
    return crc32(text.encode())


def ticks(moment: datetime, suffix: str = "Z") -> str:
    """Print an instant as Azure does, with .NET's seven fractional digits."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    seventh = (utc.microsecond * 7 + utc.second) % 10
    # Half the time of strftime, and an estate has millions of points.
    return f"{utc.isoformat(timespec='microseconds')[:26]}{seventh}{suffix}"


def seconds(moment: datetime) -> str:
    """Print an instant without a fraction, with a Z."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def timespan(span: timedelta) -> str:
    """Print a span as .NET does: `30.00:00:00`, `00:47:12`."""
    total = max(int(span.total_seconds()), 0)
    days, rest = divmod(total, 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}.{clock}" if days else clock
