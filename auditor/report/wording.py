"""How values are written in sentences: times, ages, numbers, shares; and the catalogue of texts."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from auditor import numerals, rulebook
from auditor.model import Status

if TYPE_CHECKING:
    from auditor.numerals import Numerals

ENGLISH = "en"
DASH = numerals.DASH
MARKS: Mapping[Status, str] = {
    Status.FAIL: "■",
    Status.UNKNOWN: "◆",
    Status.WAIVED: "◇",
    Status.NOT_YET_DUE: "○",
    Status.NOT_APPLICABLE: DASH,
    Status.PASS: "●",
}
"""A shape for each status, worst first, where there are no colours."""


class Texts:
    """The sentences of one language, looked up by dotted key; a missing one is a bug and raises KeyError."""

    def __init__(self, tree: Mapping[str, Any], language: str) -> None:
        """Wrap the catalogue as read from its file."""
        self._tree = tree
        self.language = language
        self.numerals = numerals.of(language)

    def __call__(self, key: str, **values: object) -> str:
        """Give the sentence `key` with `values` filled in; `n` chooses between its `one` and `other`."""
        node = self._node(key)
        if isinstance(node, Mapping):
            node = node["one" if values.get("n") == 1 else "other"]
        return self._filled(node, values)

    def label(self, english: str, **values: object) -> str:
        """Give the short text that stands for `english` in the templates, with `values` filled in."""
        return self._filled(self._tree["labels"][english], values)

    def get(self, key: str, fallback: str) -> str:
        """Give the sentence `key`, or `fallback` where the catalogue has none (names given by users)."""
        try:
            node = self._node(key)
        except KeyError:
            return fallback
        return str(node)

    def subject(self, framework: str, control: str, english: str) -> str:
        """Give a control's subject in a translation: its id has dots in it."""
        return str(self._tree["controls"].get(framework, {}).get("titles", {}).get(control, english))

    def said(self, english: str) -> str:
        """Give what a rule, a framework or the engine says in English, in the language, where it is translated."""
        return str(self._tree["sentences"].get(english, english))

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

    def _filled(self, sentence: object, values: Mapping[str, object]) -> str:
        write = self.numerals.number
        return str(sentence).format(**{k: write(value) if type(value) is int else value for k, value in values.items()})


def ends_on(waiver: Mapping[str, Any]) -> tuple[str, str]:
    """Give a waiver's id and the day it ends or ended."""
    return str(waiver.get("id", DASH)), str(plain(waiver.get("expires_on")) or DASH)


def moment(value: datetime) -> str:
    """Write a time to the minute with its zone: 2026-11-22 06:00 UTC."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def instant(value: datetime) -> str:
    """Write a time for machines: 2026-11-22T06:00:00Z."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        return _measure(name, value, texts.numerals)
    if isinstance(value, list):
        told = [read_value(name, inner, texts) for inner in value]
        return ("; " if any("," in it for it in told) else ", ").join(told) or texts("words.none")
    if isinstance(value, dict) and set(value) == {"code", "severity"}:
        return f"{_words(name, value['code'], texts)} ({texts('severity.' + value['severity'])})"
    if isinstance(value, dict):
        return ", ".join(f"{key} {read_value(key, inner, texts)}" for key, inner in value.items())
    return _words(name, str(value), texts)


def _words(name: str, value: str, texts: Texts) -> str:
    return rulebook.words(name, value, texts.language)


def _measure(name: str, value: float, write: Numerals) -> str:
    if name.endswith("_hours"):
        return write.age(value)
    if name.endswith("_pct"):
        return write.percent(value)
    if name.endswith("_days"):
        return write.keep(value)
    return write.decimal(value) + (" GiB" if name.endswith("_gib") else "")


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
