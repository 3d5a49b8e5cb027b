"""findings.xlsx: the whole report as sheets to filter and sort; a convenience, the record is findings.json."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any

import xlsxwriter

from auditor.report import formulas, tables, wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditor.report.tables import Cell, Table
    from auditor.report.view import Report
    from auditor.report.wording import Texts

DEFAULT_NAME = "findings.xlsx"
MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

MOST_ROWS = 1_048_576
"""Rows of a sheet, its head included; what is more goes on in the next."""
MOST_CHARACTERS = 32_767
"""Of a cell, which Excel counts in UTF-16."""

_WIDE = re.compile(
    r"(.*_)?(id|name|sha256|digest|fingerprint|path|text|reason|rationale|params|evidence|controls|title)"
)
_WIDTHS = (16, 40)
_FORBIDDEN = re.compile(r"[][:*?/\\']")
"""In the name of a sheet, which a user's own texts may give."""
_LABELS, _FACTS = 26, 110
"""Widths of the first sheet, in characters."""


def render(report: Report) -> bytes:
    """Write the workbook; the dates inside are the run's."""
    target = io.BytesIO()
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(target, options) as workbook:
        book = _Book(workbook, report)
        book.facts()
        for table in tables.parts(report):
            book.sheets(table)
    return target.getvalue()


class _Book:
    """A workbook that is being written."""

    def __init__(self, workbook: Any, report: Report) -> None:
        self._workbook, self._report = workbook, report
        texts = report.texts
        run = report.run
        workbook.set_properties(
            {
                "title": f"{texts('title')} {texts('as_at', when=wording.moment(run.as_of))}",
                "comments": texts("workbook.convenience"),
                "created": run.finished_at.astimezone(UTC).replace(tzinfo=None),
            }
        )
        workbook.read_only_recommended()
        # A text that begins like a formula stays one when somebody goes into its cell and out again.
        self._guarded = workbook.add_format({"quote_prefix": True})
        self._day = workbook.add_format({"num_format": "yyyy-mm-dd"})
        self._moment = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        self._head = workbook.add_format({"bold": True, "font_color": "#ffffff", "bg_color": "#24292f", "top": 1})
        self._title = workbook.add_format({"bold": True, "font_size": 16})
        self._label = workbook.add_format({"bold": True, "valign": "top"})
        self._wrapped = workbook.add_format({"text_wrap": True, "valign": "top", "quote_prefix": True})

    def facts(self) -> None:
        """Write the first sheet: what the others are made of."""
        texts = self._report.texts
        sheet = self._sheet(texts("workbook.sheets.report"))
        sheet.set_column(0, 0, _LABELS)
        sheet.set_column(1, 1, _FACTS)
        sheet.write_string(0, 0, texts("title"), self._title)
        for row, (label, fact) in enumerate(_facts(self._report, texts), start=1):
            sheet.write_string(row, 0, label, self._label)
            sheet.write_string(row, 1, _fitting(fact, texts), self._wrapped)

    def sheets(self, table: Table) -> None:
        """Write a table: a sheet, and another where it is full."""
        name = self._report.texts(f"workbook.sheets.{table.key}")
        rows = iter(table.rows)
        for number in count(1):
            ahead = list(islice(rows, 1))
            if number > 1 and not ahead:
                return
            sheet = self._sheet(name if number == 1 else f"{name} {number}")
            self._fill(sheet, table.columns, chain(ahead, islice(rows, MOST_ROWS - 2)))

    def _sheet(self, name: str) -> Any:
        sheet = self._workbook.add_worksheet(_FORBIDDEN.sub(" ", name)[:31])
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        run = self._report.run
        sheet.set_footer(f"&L&8{run.id}  sha256:{run.manifest_digest}&R&8&P / &N")
        return sheet

    def _fill(self, sheet: Any, columns: Sequence[str], rows: Iterator[Sequence[Cell]]) -> None:
        sheet.freeze_panes(1, 0)
        sheet.repeat_rows(0)
        for column, name in enumerate(columns):
            sheet.set_column(column, column, _WIDTHS[_WIDE.fullmatch(name) is not None])
            sheet.write_string(0, column, name, self._head)
        last = 0
        for last, row in enumerate(rows, start=1):
            for column, value in enumerate(row):
                self._write(sheet, last, column, value)
        sheet.autofilter(0, 0, last, len(columns) - 1)

    def _write(self, sheet: Any, row: int, column: int, value: Cell) -> None:
        if isinstance(value, str):
            if value:
                text = _fitting(value, self._report.texts)
                sheet.write_string(row, column, text, self._guarded if formulas.begins_one(text) else None)
        elif isinstance(value, datetime):
            sheet.write_datetime(row, column, value.astimezone(UTC).replace(tzinfo=None), self._moment)
        elif isinstance(value, date):
            sheet.write_datetime(row, column, value, self._day)
        elif isinstance(value, bool):
            sheet.write_boolean(row, column, value)
        elif (number := wording.plain(value)) is not None:
            sheet.write_number(row, column, number)


def _facts(report: Report, texts: Texts) -> Iterator[tuple[str, str]]:
    run = report.run
    standard = f"{run.standard.name} {run.standard.version}"
    yield "", texts("workbook.convenience")
    yield "", texts("no_opinion")
    if run.organisation or run.classification:
        yield "", " · ".join(part for part in (run.organisation, run.classification) if part)
    yield texts.label("Run"), f"{run.id}, {texts('as_at', when=wording.moment(run.as_of))}"
    yield texts.label("Completeness"), f"{texts(f'banner.{report.state}')}: {report.evidence}"
    yield texts.label("Results"), f"{report.headline} {report.result}"
    if report.untested:
        yield "", f"{report.untested_line} {'; '.join(report.untested)}"
    yield (
        texts.label("Gate"),
        texts.label(
            "exit code {code}, threshold {threshold}", code=report.gate.exit_code, threshold=report.gate.threshold
        ),
    )
    for reason in report.gate_reasons:
        yield "", reason
    yield texts.label("Standard"), f"{standard}, sha256:{run.standard.digest}"
    yield texts.label("Rule set"), f"sha256:{run.rules_digest}, auditor {run.tool_version}"
    yield texts.label("Manifest"), f"sha256:{run.manifest_digest}"
    yield (
        texts.label("Rules"),
        texts.label(
            "{n} rules; self-test {passed} passed, {failed} failed",
            n=len(report.rules),
            passed=run.self_test.get("passed", 0),
            failed=run.self_test.get("failed", 0),
        ),
    )
    for name, said in report.scope:
        yield texts.label("Scope"), f"{name}: {said}"
    for status, number in report.statuses.items():
        yield texts(f"status.{status}"), texts.numerals.number(number)


def _fitting(text: str, texts: Texts) -> str:
    """Make all of a text visible and cut what no cell can hold, saying how much."""
    shown = wording.visible(text)
    if len(shown) <= MOST_CHARACTERS // 2 or _units(shown) <= MOST_CHARACTERS:
        return shown
    mark = texts("workbook.cut", n=len(shown))
    room = MOST_CHARACTERS - len(mark)
    return shown.encode("utf-16-le")[: 2 * room].decode("utf-16-le", "ignore") + mark


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
