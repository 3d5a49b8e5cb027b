"""junit.xml: a suite for each rule and a case for each resource, passes included, for the test pages of CI servers.

Of an estate that is too large for them the worst verdicts are cases, and the rest of a rule is one case a status.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from auditor.model import Gap, Status
from auditor.report import remedy, wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditor.model import Coverage, Finding, RuleResult, Subject
    from auditor.report.view import Report

DEFAULT_NAME = "junit.xml"
MEDIA_TYPE = "application/xml"
NEEDS_PASSES = True

MOST_CASES = 50_000
"""GitLab takes files below 30 MB, and every server reads all of one before it shows any of it."""

_EVIDENCE = "evidence"
"""The suite that says what was read: where a subscription was not, no rule has a case that could fail."""
_OUTCOMES = {
    Status.FAIL: "failure",
    Status.UNKNOWN: "error",
    Status.WAIVED: "skipped",
    Status.NOT_YET_DUE: "skipped",
    Status.NOT_APPLICABLE: "skipped",
}


@dataclass(frozen=True, slots=True)
class _Case:
    """One verdict, or one part of the evidence."""

    name: str
    outcome: str | None = None
    """failure, error or skipped; None for a pass."""
    kind: str = ""
    message: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class _Suite:
    """One rule."""

    name: str
    family: str
    """What its cases are filed under."""
    properties: Mapping[str, str]
    cases: tuple[_Case, ...]

    @property
    def counts(self) -> Counter[str | None]:
        """How many cases have each outcome."""
        return Counter(case.outcome for case in self.cases)


def render(report: Report) -> bytes:
    """Write the suites: the evidence, then the rules in the report's order, findings before passes."""
    totals: Counter[str | None] = Counter()
    body = io.BytesIO()
    when = wording.instant(report.run.finished_at).rstrip("Z")  # the schema knows no zone; it is UTC
    for suite in _suites(report):
        totals += suite.counts
        _write(XMLGenerator(body, "utf-8", short_empty_elements=True), suite, when)
    target = io.BytesIO()
    xml = XMLGenerator(target, "utf-8", short_empty_elements=True)
    xml.startDocument()
    name = f"{report.texts('title')} {report.texts('as_at', when=wording.moment(report.run.as_of))}"
    _open(xml, "testsuites", {"name": name, **_numbers(totals)})
    xml.ignorableWhitespace("\n")
    target.write(body.getbuffer())
    xml.endElement("testsuites")
    return target.getvalue() + b"\n"


def _suites(report: Report) -> Iterator[_Suite]:
    run, texts = report.run, report.texts
    about = {
        "run": run.id,
        "as_of": wording.instant(run.as_of),
        "standard": f"{run.standard.name} {run.standard.version} sha256:{run.standard.digest}",
        "rules_digest": run.rules_digest,
        "manifest_digest": run.manifest_digest,
        "exit_code": str(report.gate.exit_code),
    }
    verdicts = sum(report.statuses.values())
    cut = verdicts > MOST_CASES
    if cut:
        about["cut"] = texts("junit.cut", n=min(len(report.findings), MOST_CASES), of=verdicts)
    read: tuple[Coverage | Gap, ...] = (*report.coverage, *report.completeness.gaps)
    yield _Suite(_EVIDENCE, _EVIDENCE, about, tuple(_reading(it, report) for it in read))
    findings: dict[str, list[Finding]] = {rule.id: [] for rule in report.rules}
    for finding in report.findings[:MOST_CASES]:
        findings[finding.rule].append(finding)
    for rule in report.rules:
        told = {"title": rule.title, "severity": str(rule.severity), "resource_type": rule.resource_type}
        passing = () if cut else report.passing(rule)
        left = Counter(rule.statuses)
        left.subtract(row.status for row in findings[rule.id])
        left[Status.PASS] -= len(passing)
        cases = (
            *(_finding(row, rule, report) for row in findings[rule.id]),
            *(_Case(_named(subject)) for subject in passing),
            *(_rest(status, left[status], rule, report) for status in Status if left[status]),
        )
        yield _Suite(rule.id, f"{rule.area}.{rule.id}", told, cases)


def _rest(status: Status, number: int, rule: RuleResult, report: Report) -> _Case:
    """Count what is not told one by one; such a case fails, is an error or is skipped as those in it would."""
    texts = report.texts
    said = texts("junit.rest", n=number, of=rule.statuses[status], status=texts(f"status.{status}"))
    return _Case(said, _OUTCOMES.get(status), str(status), texts("junit.where"))


def _reading(it: Coverage | Gap, report: Report) -> _Case:
    texts = report.texts
    place = (
        it.resource_id
        if isinstance(it, Gap)
        else report.subscription_labels.get(it.subscription_id, it.subscription_id)
    )
    name = f"{it.table}: {place or texts('words.tenant')}"
    if it.state.whole:
        return _Case(name)
    return _Case(name, "error", str(it.state), f"{texts(f'coverage_state.{it.state}')}: {it.reason}")


def _finding(row: Finding, rule: RuleResult, report: Report) -> _Case:
    texts = report.texts
    said = row.reason
    if row.status is Status.WAIVED and row.waiver:
        waiver, when = wording.ends_on(row.waiver)
        said = f"{texts('rows.waiver_until', id=waiver, when=when)}: {said}"
    kind = row.reason_code if row.status in {Status.FAIL, Status.UNKNOWN} else str(row.status)
    return _Case(_named(row), _OUTCOMES[row.status], kind, said, _details(row, rule, report))


def _details(row: Finding, rule: RuleResult, report: Report) -> str:
    """Say whose a fail is, until when it is to be mended, and how."""
    texts = report.texts
    facts = [row.serial, texts(f"severity.{row.severity}")]
    if row.status is not Status.FAIL:
        return ", ".join(facts)
    facts.append(row.owner or texts("words.no_owner"))
    if row.due:
        facts.append(texts("rows.due", when=row.due))
    known = remedy.names(row)
    fix = (
        remedy.path(rule.remediation.get("portal", ""), known),
        remedy.command(rule.remediation.get("az", ""), known),
    )
    return "\n".join((", ".join(facts), *filter(None, fix)))


def _named(it: Finding | Subject) -> str:
    return f"{it.resource_name} ({it.resource_id})"


def _numbers(counts: Counter[str | None]) -> dict[str, str]:
    return {
        "tests": str(counts.total()),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
        "time": "0",
    }


def _open(xml: XMLGenerator, name: str, attributes: Mapping[str, str]) -> None:
    xml.startElement(name, AttributesImpl(attributes))


def _write(xml: XMLGenerator, suite: _Suite, when: str) -> None:
    _open(xml, "testsuite", {"name": suite.name, **_numbers(suite.counts), "timestamp": when})
    _open(xml, "properties", {})
    for name, value in suite.properties.items():
        _open(xml, "property", {"name": name, "value": wording.visible(value)})
        xml.endElement("property")
    xml.endElement("properties")
    for case in suite.cases:
        xml.ignorableWhitespace("\n")
        _open(xml, "testcase", {"classname": suite.family, "name": wording.visible(case.name), "time": "0"})
        if case.outcome:
            _open(xml, case.outcome, {"type": case.kind, "message": wording.visible(case.message)})
            xml.characters(wording.visible(case.details))
            xml.endElement(case.outcome)
        xml.endElement("testcase")
    xml.endElement("testsuite")
    xml.ignorableWhitespace("\n")
