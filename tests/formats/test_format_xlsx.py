"""findings.xlsx, read back by openpyxl: every part a sheet, frozen, filterable, and all texts are texts."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import openpyxl
import pytest

from auditor.report import formats, tables, view
from auditor.report.formats import xlsx
from tests.formats import sample

if TYPE_CHECKING:
    from openpyxl import Workbook

    from auditor.report.view import Report


def _read(report: Report) -> Workbook:
    return openpyxl.load_workbook(io.BytesIO(formats.find("xlsx").render(report)))


@pytest.fixture(scope="module")
def report() -> Report:
    return view.build(sample.results(kind="incomplete"))


@pytest.fixture(scope="module")
def book(report: Report) -> Workbook:
    return _read(report)


def test_every_part_is_a_sheet_with_a_frozen_head_and_a_filter(report: Report, book: Workbook) -> None:
    assert book.sheetnames == [
        "Report", "Findings", "VMs", "Snapshots", "Rules", "Coverage", "Not read", "Subscriptions", "Waivers",
        "Controls", "Questions", "Runs", "Files",
    ]  # fmt: skip
    for table, sheet in zip(tables.parts(report), book.worksheets[1:], strict=True):
        rows = list(table.rows)
        assert [cell.value for cell in sheet[1]] == list(table.columns)
        assert sheet.max_row == 1 + len(rows)
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref == sheet.dimensions


def test_it_says_which_run_it_is_of_and_that_the_record_is_another(report: Report, book: Workbook) -> None:
    told = "\n".join(str(cell.value) for row in book["Report"].iter_rows() for cell in row if cell.value)
    run = report.run
    for digest in (run.manifest_digest, run.standard.digest, run.rules_digest):
        assert digest in told
    for words in (run.id, "The record is findings.json", "INCOMPLETE", "2026-11-22 06:00 UTC", report.evidence):
        assert words in told
    assert b"readOnlyRecommended" in _part(report, "xl/workbook.xml")


def _part(report: Report, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(formats.find("xlsx").render(report))) as archive:
        return archive.read(name)


def test_findings_have_the_serials_of_findings_json_and_real_dates(report: Report, book: Workbook) -> None:
    record = json.loads(formats.find("json").render(report))["findings"]
    head, *rows = book["Findings"].iter_rows(values_only=True)
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["serial"] for row in found] == [it["serial"] for it in record]
    for row, it in zip(found, record, strict=True):
        assert row["status"] == it["status"]
        assert row["first_seen"] == datetime.fromisoformat(it["first_seen"]).replace(tzinfo=None)
        assert row["due"] == (datetime.fromisoformat(it["due"]) if it["due"] else None)


def test_no_cell_is_a_formula_or_a_link_and_hostile_names_stay_texts(book: Workbook) -> None:
    hostile = set()
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f"
                assert cell.hyperlink is None
                if isinstance(cell.value, str) and cell.value[:1] == "=":
                    hostile.add(cell.value)
                    assert cell.quotePrefix, "it would become a formula when somebody edits the cell"
    assert hostile == {"=cmd|'/c calc'!A1"}
    names = {cell.value for cell in book["VMs"]["C"]}
    assert {"rtl-[U+202E]gpj.exe", "a&amp;b[U+0007]bell[U+2028]line", "long-" + "x" * 495} <= names


def test_a_full_sheet_goes_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MOST_ROWS", 11)
    report = view.build(sample.results(12))
    book = _read(report)
    sheets = [sheet for sheet in book.worksheets if sheet.title.startswith("Findings")]
    assert [sheet.title for sheet in sheets] == ["Findings", "Findings 2", "Findings 3"]
    serials = [cell.value for sheet in sheets for cell in sheet["A"][1:]]
    assert serials == [row.serial for row in report.findings]
    assert all(sheet.max_row <= 11 and sheet["A1"].value == "serial" for sheet in sheets)


def test_a_text_that_no_cell_holds_is_cut_and_says_so() -> None:
    made = sample.results(12)
    long = replace(made.findings[0], reason="\N{FIRE}" * 40_000)
    book = _read(view.build(replace(made, findings=(long, *made.findings[1:]))))
    head = [cell.value for cell in book["Findings"][1]]
    told = book["Findings"].cell(2, head.index("reason") + 1).value
    assert isinstance(told, str)
    assert len(told.encode("utf-16-le")) // 2 <= xlsx.MOST_CHARACTERS
    assert told.endswith("… [cut here: 40,000 characters; findings.json has all]")


def test_the_dates_inside_are_the_run_s(report: Report) -> None:
    assert b"2026-11-22T06:04:11Z" in _part(report, "docProps/core.xml")
    with zipfile.ZipFile(io.BytesIO(formats.find("xlsx").render(report))) as archive:
        assert {it.date_time[0] for it in archive.infolist()} == {1980}
