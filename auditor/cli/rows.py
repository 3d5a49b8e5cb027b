"""Rows on stdout, as they come: a table for eyes, Markdown, CSV, or JSON."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from typing import TYPE_CHECKING, Protocol

from auditor.cli.terminal import escaped, printable
from auditor.report.formulas import disarmed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    Row: TypeAlias = Sequence[str | None]
    """Texts of a row; of JSON its one text."""

_MEASURED = 1000
"""Rows that a table waits for before it decides how wide its columns are."""
_NARROWEST = 6
_SPACE = "  "
_MARKDOWN = re.compile(r"([\\`*\[\]<>|&~!])")


class Form(Protocol):
    """Makes text of rows, piece by piece."""

    def rows(self, batch: Sequence[Row]) -> str:
        """Give what can be written of these rows, and of those before."""

    def end(self) -> str:
        """Give the rest."""


def form(kind: str, names: Sequence[str], numeric: Sequence[bool], width: int | None) -> Form:
    """Make the form of that kind.

    Args:
        kind: table, json, markdown or csv.
        names: of the columns.
        numeric: which columns hold numbers.
        width: of the terminal, which a table is made to fit; None where there is none.
    """
    if kind == "json":
        return _Json()
    if kind == "markdown":
        return _Markdown(names, numeric)
    return _Csv(names, numeric) if kind == "csv" else _Table(names, numeric, width)


class _Table:
    def __init__(self, names: Sequence[str], numeric: Sequence[bool], width: int | None) -> None:
        self._names = [_one_line(name) for name in names]
        self._numeric, self._width = numeric, width
        self._waiting: list[list[str]] = []
        self._widths: list[int] | None = None

    def rows(self, batch: Sequence[Row]) -> str:
        cells = [[_one_line(cell or "") for cell in row] for row in batch]
        if self._widths is not None:
            return "".join(map(self._line, cells))
        self._waiting += cells
        return self._begin() if len(self._waiting) >= _MEASURED else ""

    def end(self) -> str:
        return self._begin() if self._widths is None else ""

    def _begin(self) -> str:
        rows = [self._names, *self._waiting]
        self._widths = _fitted([max(map(_cells, column)) for column in zip(*rows, strict=True)], self._width)
        rule = ["\N{BOX DRAWINGS LIGHT HORIZONTAL}" * width for width in self._widths]
        text = "".join(map(self._line, [self._names, rule, *self._waiting]))
        self._waiting = []
        return text

    def _line(self, row: list[str]) -> str:
        parts = []
        for cell, width, right in zip(row, self._widths or (), self._numeric, strict=True):
            shown = _cut(cell, width) if self._width else cell
            blank = " " * (width - _cells(shown))
            parts.append(blank + shown if right else shown + blank)
        line = _SPACE.join(parts).rstrip()
        return f"{_cut(line, self._width) if self._width else line}\n"


def _fitted(widths: list[int], width: int | None) -> list[int]:
    """Take from the widest columns until all fit, but leave each something to show."""
    if width is not None:
        room = width - len(_SPACE) * (len(widths) - 1)
        while sum(widths) > room and max(widths) > _NARROWEST:
            widest = max(widths)
            below = max([_NARROWEST, *(w for w in widths if w < widest)])
            many = widths.count(widest)
            lower = max(below, widest - max(1, (sum(widths) - room) // many))
            widths = [lower if w == widest else w for w in widths]
    return widths


def _one_line(text: str) -> str:
    return printable(re.sub(r"\r\n|[\r\n]", "\N{RETURN SYMBOL}", text).replace("\t", " "))


def _cells(text: str) -> int:
    """Give how wide a terminal shows a text."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me", "Cf") for char in text)


def _cut(text: str, width: int) -> str:
    if _cells(text) <= width:
        return text
    while text and _cells(text) > width - 1:
        text = text[: max(len(text) - max(1, (_cells(text) - width) // 2), 0)]
    return text + "\N{HORIZONTAL ELLIPSIS}"


class _Markdown:
    def __init__(self, names: Sequence[str], numeric: Sequence[bool]) -> None:
        self._head = _bar(names) + _bar_raw("---:" if number else "---" for number in numeric)

    def rows(self, batch: Sequence[Row]) -> str:
        text = self._head + "".join(map(_bar, batch))
        self._head = ""
        return text

    def end(self) -> str:
        return self._head


def _bar(cells: Row) -> str:
    return _bar_raw(_MARKDOWN.sub(r"\\\1", printable(cell or "")) for cell in cells)


def _bar_raw(cells: Iterable[str]) -> str:
    return "| " + " | ".join(re.sub(r"\s*\n\s*", "<br>", cell).strip() for cell in cells) + " |\n"


class _Csv:
    def __init__(self, names: Sequence[str], numeric: Sequence[bool]) -> None:
        self._numeric = numeric
        self._head: list[Row] = [names]

    def rows(self, batch: Sequence[Row]) -> str:
        text = io.StringIO()
        out = csv.writer(text, lineterminator="\n")
        out.writerows([disarmed(cell or "") for cell in row] for row in self._head)
        self._head = []
        for row in batch:
            # A negative number is no formula.
            cells = zip(row, self._numeric, strict=True)
            out.writerow([cell if number and cell else disarmed(cell or "") for cell, number in cells])
        return printable(text.getvalue())

    def end(self) -> str:
        return self.rows(())


class _Json:
    def __init__(self) -> None:
        self._before = "[\n "

    def rows(self, batch: Sequence[Row]) -> str:
        text = "".join(f"{self._before if n == 0 else _NEXT}{row}" for n, row in enumerate(batch))
        if batch:
            self._before = _NEXT
        return escaped(text)

    def end(self) -> str:
        return "\n]\n" if self._before == _NEXT else "[]\n"


_NEXT = ",\n "
