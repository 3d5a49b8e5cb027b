"""findings.csv: the same rows and numbers as findings.json, and nothing in it runs."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.report import formats, formulas, tables, view
from tests.formats import sample

if TYPE_CHECKING:
    from auditor.report.view import Report


def _rows(report: Report) -> list[dict[str, str]]:
    text = formats.find("csv").render(report).decode("utf-8")
    assert text.startswith("\ufeff")
    assert "\r\n" in text
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


@pytest.mark.parametrize("all_rows", [False, True])
def test_it_has_the_rows_and_fields_of_findings_json(all_rows: bool) -> None:
    report = view.build(sample.results(kind="nasty"), view.Presentation(all_rows=all_rows))
    record = json.loads(formats.find("json").render(report))
    rows = _rows(report)
    assert [row["serial"] for row in rows] == [it["serial"] or "" for it in record["findings"]]
    assert {row["run"] for row in rows} == {record["run"]["id"]}
    assert {row["manifest_digest"] for row in rows} == {record["run"]["manifest_digest"]}
    flat = set(record["findings"][0]) - {"waiver", "response"}
    assert flat <= set(rows[0])
    for row, it in zip(rows, record["findings"], strict=True):
        for name in flat - {"evidence", "resource_id", "resource_name", "owner"}:
            assert row[name] == (it[name] or ""), name
        assert json.loads(row["evidence"] or "{}") == it["evidence"]
        for part in ("waiver", "response"):
            for name, value in (it[part] or {}).items():
                told = str(value).lower() if isinstance(value, bool) else value
                assert row[f"{part}.{name}"] == told


def test_no_cell_begins_like_a_formula_and_every_name_is_legible() -> None:
    rows = _rows(view.build(sample.results(kind="unknown")))
    assert not [cell for row in rows for cell in row.values() if formulas.begins_one(cell)]
    names = {row["resource_name"] for row in rows}
    assert {
        "'=cmd|'/c calc'!A1",
        "rtl-[U+202E]gpj.exe",
        "a&amp;b[U+0007]bell[U+2028]line",
        "long-" + "x" * 495,
    } <= names


def test_a_run_without_findings_tells_which_it_is() -> None:
    report = view.build(replace(sample.results(kind="clean"), findings=()))
    (row,) = _rows(report)
    assert {name: cell for name, cell in row.items() if cell} == {
        "reason": "There are no findings.",
        "run": report.run.id,
        "manifest_digest": report.run.manifest_digest,
    }


def test_a_table_without_rows_has_its_head() -> None:
    assert tables.to_csv(tables.Table("files", ("path", "sha256"), ())) == b"\xef\xbb\xbfpath,sha256\r\n"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("vm;=HYPERLINK(1)", "vm;'=HYPERLINK(1)"),
        ("two\n=lines", "two\n'=lines"),
        ("a-b = c@d", "a-b = c@d"),
        ("vm;iaasvmcontainerv2;rg;db-01", "vm;iaasvmcontainerv2;rg;db-01"),
        ("", ""),
    ],
)
def test_what_a_spreadsheet_would_run_is_disarmed(text: str, made: str) -> None:
    assert formulas.disarmed(text) == made


@given(st.text(alphabet=st.sampled_from("=+-@;\t\r\n,\"'ab \uff1d")))
def test_no_text_runs_whether_fields_are_parted_by_commas_or_semicolons(text: str) -> None:
    raw = tables.to_csv(tables.Table("any", ("a", "b"), [(text, "z")])).decode("utf-8-sig")
    for parting in ",;":
        # As Excel reads it: by its own separator, whatever the file was written for.
        cells = [cell for row in csv.reader(io.StringIO(raw, newline=""), delimiter=parting) for cell in row]
        assert not [cell for cell in cells if re.match(r"[=+\-@\uff1d]", cell)], (parting, raw)
