"""junit.xml, read back by junitparser: every verdict is a case, and all of them add up."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import junitparser
import pytest

from auditor.model import Status
from auditor.report import formats, view
from auditor.report.formats import junit
from tests.formats import sample

if TYPE_CHECKING:
    from auditor.report.view import Report

_OUTCOMES = {
    Status.PASS: "passed",
    Status.FAIL: "Failure",
    Status.UNKNOWN: "Error",
    Status.WAIVED: "Skipped",
    Status.NOT_YET_DUE: "Skipped",
    Status.NOT_APPLICABLE: "Skipped",
}


def _read(report: Report) -> dict[str, junitparser.TestSuite]:
    document = junitparser.JUnitXml.fromstring(formats.find("junit").render(report))
    suites = {suite.name: suite for suite in document}
    cases = [case for suite in suites.values() for case in suite]
    assert document.tests == len(cases)
    counted = Counter(_outcome(case) for case in cases)
    assert (document.failures, document.errors, document.skipped) == (
        counted["Failure"],
        counted["Error"],
        counted["Skipped"],
    )
    assert len({(case.classname, case.name) for case in cases}) == len(cases)
    return suites


def _outcome(case: junitparser.TestCase) -> str:
    return type(case.result[0]).__name__ if case.result else "passed"


@pytest.mark.parametrize("kind", ["nasty", "clean", "unknown", "incomplete", "empty"])
def test_the_cases_of_a_rule_are_its_verdicts_passes_included(kind: str) -> None:
    report = view.build(sample.results(kind=kind))
    suites = _read(report)
    assert [*suites] == ["evidence", *(rule.id for rule in report.rules)]
    for rule in report.rules:
        expected: Counter[str] = Counter()
        for status, number in rule.statuses.items():
            expected[_OUTCOMES[status]] += number
        counted = Counter(_outcome(case) for case in suites[rule.id])
        assert counted == +expected, rule.id
        assert suites[rule.id].tests == counted.total()


@pytest.mark.parametrize("most", [1, 40, 200])
def test_a_large_estate_is_counted_where_its_verdicts_are_too_many(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junit, "MOST_CASES", most)
    report = view.build(replace(sample.results(120), passes={}))
    suites = _read(report)
    for rule in report.rules:
        counted: Counter[str] = Counter()
        for case in suites[rule.id]:
            rest = re.fullmatch(r"([\d,]+) of ([\d,]+) resources, counted: (.+)", str(case.name))
            counted[_outcome(case)] += int(rest[1].replace(",", "")) if rest else 1
        expected: Counter[str] = Counter()
        for status, number in rule.statuses.items():
            expected[_OUTCOMES[status]] += number
        assert counted == +expected, rule.id
    said = {it.name: it.value for it in suites["evidence"].properties()}["cut"]  # type: ignore[no-untyped-call]
    assert said.startswith(
        f"{most} of {sum(report.statuses.values()):,} verdicts are cases of their own, the worst first"
    )
    assert sum(len([*suite]) for suite in suites.values()) < most + 6 * len(report.rules) + len(report.coverage) + 10


def test_what_was_not_read_is_an_error_even_where_no_rule_has_a_case() -> None:
    report = view.build(sample.results(kind="incomplete"))
    errors = [case for case in _read(report)["evidence"] if _outcome(case) == "Error"]
    assert len(errors) == len(report.completeness.unread) + len(report.completeness.gaps) == 7
    assert all("403 AuthorizationFailed" in case.result[0].message for case in errors)
    assert {_outcome(case) for case in _read(view.build(sample.results(kind="clean")))["evidence"]} == {"passed"}


def test_a_fail_says_why_whose_it_is_and_what_to_do() -> None:
    report = view.build(sample.results())
    finding = next(row for row in report.findings if row.rule == "vm-unprotected" and row.status is Status.FAIL)
    case = next(it for it in _read(report)["vm-unprotected"] if finding.resource_id in str(it.name))
    result = case.result[0]
    assert (result.type, result.message) == (finding.reason_code, finding.reason)
    assert finding.serial in result.text
    assert f"due {finding.due}" in result.text
    assert "az backup protection enable-for-vm" in result.text


def test_a_waived_fail_is_skipped_and_says_by_which_waiver_until_when() -> None:
    report = view.build(sample.results())
    finding = next(row for row in report.findings if row.status is Status.WAIVED)
    case = next(it for it in _read(report)[finding.rule] if finding.resource_id in str(it.name))
    assert isinstance(case.result[0], junitparser.Skipped)
    assert case.result[0].message.startswith("waiver W-2026-004, until 2027-03-31: ")


def test_hostile_names_are_legible() -> None:
    names = {case.name.rpartition(" (")[0] for case in _read(view.build(sample.results()))["vm-unprotected"]}
    assert {"=cmd|'/c calc'!A1", "</script><!--<img src=x onerror=alert(2)>", "rtl-[U+202E]gpj.exe"} <= names
    assert {"a&amp;b[U+0007]bell[U+2028]line", "long-" + "x" * 495} <= names


def test_it_says_which_run_it_is_of() -> None:
    report = view.build(sample.results(12))
    told = {it.name: it.value for it in _read(report)["evidence"].properties()}  # type: ignore[no-untyped-call]
    assert told["run"] == report.run.id
    assert told["manifest_digest"] == report.run.manifest_digest


def test_passes_that_were_not_read_are_not_left_out_in_silence() -> None:
    with pytest.raises(ValueError, match="passes are named"):
        formats.find("junit").render(view.build(replace(sample.results(12), passes={})))
