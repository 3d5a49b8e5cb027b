"""How values are written in sentences: times, ages, numbers, shares; and the catalogue of texts."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from auditor.model import Status, kept_for

ENGLISH = "en"
DASH = "\N{EN DASH}"
"""What a printed table shows where there is no value."""

MARKS: Mapping[Status, str] = {
    Status.FAIL: "■",
    Status.UNKNOWN: "◆",
    Status.WAIVED: "◇",
    Status.NOT_YET_DUE: "○",
    Status.NOT_APPLICABLE: DASH,
    Status.PASS: "●",
}
"""A shape for each status, worst first, where there are no colours."""

_HOURS_A_DAY = 24
_HOURS_SHOWN_AS_HOURS = 96
_DAYS_SHOWN_WHOLE = 10


class Texts:
    """The sentences of one language, looked up by dotted key; a missing one is a bug and raises KeyError."""

    def __init__(self, tree: Mapping[str, Any], language: str) -> None:
        """Wrap the catalogue as read from its file."""
        self._tree = tree
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """Give the sentence `key` with `values` filled in; `n` chooses between its `one` and `other`."""
        node = self._node(key)
        if isinstance(node, Mapping):
            node = node["one" if values.get("n") == 1 else "other"]
        return _filled(node, values)

    def label(self, english: str, **values: object) -> str:
        """Give the short text that stands for `english` in the templates, with `values` filled in."""
        return _filled(self._tree["labels"][english], values)

    def get(self, key: str, fallback: str) -> str:
        """Give the sentence `key`, or `fallback` where the catalogue has none (names given by users)."""
        try:
            node = self._node(key)
        except KeyError:
            return fallback
        return str(node)

    def items(self, key: str) -> tuple[str, ...]:
        """Give the list of sentences under `key`."""
        return tuple(str(line) for line in self._node(key))

    def keys(self, key: str) -> tuple[str, ...]:
        """Give the names under `key`."""
        return tuple(self._node(key))

    def rows(self, key: str) -> tuple[tuple[str, ...], ...]:
        """Give the list of lists of sentences under `key`."""
        return tuple(tuple(str(cell) for cell in row) for row in self._node(key))

    def _node(self, key: str) -> Any:
        node: Any = self._tree
        for part in key.split("."):
            node = node[part]
        return node


def _filled(sentence: object, values: Mapping[str, object]) -> str:
    shown = {name: number(value) if type(value) is int else value for name, value in values.items()}
    return str(sentence).format(**shown)


def number(value: int) -> str:
    """Write 1204 as 1,204."""
    return f"{value:,}"


def share(count: int, of: int, lean: Literal["down", "nearest", "up"] = "nearest") -> str:
    """Write a share in percent with one decimal; 100 % means all and 0 % means none.

    What is good leans down and what is bad leans up, so that rounding never flatters.
    """
    if of == 0:
        return DASH
    if count == of:
        return "100 %"
    if count == 0:
        return "0 %"
    tenths = (2000 * count + {"down": 0, "nearest": of, "up": 2 * of - 1}[lean]) // (2 * of)
    if tenths == 0:
        return "under 0.1 %"
    return "over 99.9 %" if tenths == 1000 else f"{tenths // 10}.{tenths % 10} %"  # noqa: PLR2004 - a thousand tenths


def ends_on(waiver: Mapping[str, Any]) -> tuple[str, str]:
    """Give a waiver's id and the day it ends or ended."""
    return str(waiver.get("id", DASH)), str(plain(waiver.get("expires_on")) or DASH)


def moment(value: datetime) -> str:
    """Write a time to the minute with its zone: 2026-11-22 06:00 UTC."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def instant(value: datetime) -> str:
    """Write a time for machines: 2026-11-22T06:00:00Z."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decimal(value: float) -> str:
    """Write a number with at most two decimals, cut towards zero, without trailing zeros."""
    if not math.isfinite(value):
        return str(value)
    cut = Decimal(str(value)).quantize(Decimal("0.01"), rounding="ROUND_DOWN")
    text = f"{cut:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def age(hours: float | None) -> str:
    """Write an age: hours up to four days, days beyond, whole ones from ten on; a dash where there is none."""
    if hours is None:
        return DASH
    if abs(hours) < _HOURS_SHOWN_AS_HOURS:
        return f"{decimal(hours)} h"
    days = hours / _HOURS_A_DAY
    if abs(days) >= _DAYS_SHOWN_WHOLE:
        return f"{number(int(days))} d"
    return f"{decimal(int(days * 10) / 10)} d"


def percent(value: float) -> str:
    """Write a share of what is missing, with one decimal: it never looks smaller than it is."""
    return f"{decimal(math.ceil(value * 10 - 1e-9) / 10)} %"


def keep(days: float | None) -> str:
    """Write a retention in the largest unit that is exact: 30 d, 5 mo, 7 y; a dash where there is none."""
    return DASH if days is None else kept_for(days)


def plain(value: Any) -> Any:  # noqa: PLR0911 - one line a type
    """Turn an evidence value into what JSON can hold; a number that is not one becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(plain(inner)) for inner in value)
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return plain(float(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value)


def read_value(name: str, value: Any, texts: Texts) -> str:  # noqa: PLR0911 - one line a type
    """Write one value that was read, with the unit that its column's name promises."""
    value = plain(value)
    if value is None:
        return DASH
    if isinstance(value, bool):
        return texts("words.yes" if value else "words.no")
    if isinstance(value, (int, float)):
        return _measure(name, value)
    if isinstance(value, list):
        return "; ".join(read_value(name, inner, texts) for inner in value) or texts("words.none")
    if isinstance(value, dict) and set(value) == {"code", "severity"}:
        return f"{value['code']} ({value['severity']})"
    if isinstance(value, dict):
        return ", ".join(f"{key} {read_value(key, inner, texts)}" for key, inner in value.items())
    return str(value)


def _measure(name: str, value: float) -> str:
    if name.endswith("_hours"):
        return age(value)
    if name.endswith("_pct"):
        return percent(value)
    if name.endswith("_days"):
        return keep(value)
    return decimal(value) + (" GiB" if name.endswith("_gib") else "")


_HARMLESS = re.compile(r"[\t\n\x20-\x7e\u00a0-\u00ac\u00ae-\u017f\u2010-\u2027\u2030-\u205e]*")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


def visible(text: str, drawable: frozenset[int] | None = None) -> str:
    """Replace what a reader could not see, or no font can draw, by its code point: [U+202E].

    Names and tags come from strangers: a direction mark or a zero-width space in one would let it pass
    for another.
    """
    if (text.isascii() and text.isprintable()) or (drawable is None and _HARMLESS.fullmatch(text)):
        return text
    return text.translate({ord(char): f"[U+{ord(char):04X}]" for char in set(text) if not _seen(char, drawable)})


def _seen(char: str, drawable: frozenset[int] | None) -> bool:
    if char in "\n\t":
        return True
    return unicodedata.category(char) not in _UNSEEN and (drawable is None or ord(char) in drawable)
