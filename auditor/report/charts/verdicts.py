"""Charts of verdicts: VMs by their worst, fails by severity, groups of rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from auditor.model import Severity, Status
from auditor.report.charts import WORST_FIRST, Bar, Chart, Part, judged, outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.model import Finding, Machine, RuleResult
    from auditor.report.wording import Texts


def outcomes(machines: Sequence[Machine], texts: Texts) -> Chart:
    """Chart the VMs by their worst verdict."""
    counts = Counter(outcome(machine) for machine in machines)
    of = len(judged(machines))
    failing, unknown = counts[Status.FAIL], counts[Status.UNKNOWN]
    if of == 0:
        takeaway = texts("charts.outcomes.none")
    elif failing:
        takeaway = texts("charts.outcomes.failing", n=failing, of=of, share=texts.numerals.share(failing, of, "up"))
    elif unknown:
        takeaway = texts("charts.outcomes.unknown", n=unknown, of=of, share=texts.numerals.share(unknown, of, "up"))
    else:
        takeaway = texts("charts.outcomes.clean", n=of)
    parts = tuple(Part(status, texts(f"status.{status}"), counts[status]) for status in WORST_FIRST)
    return Chart(
        key="outcomes",
        takeaway=takeaway,
        description=texts("charts.outcomes.description"),
        head=texts("charts.outcomes.head"),
        bars=(Bar(texts("charts.outcomes.bar"), parts),),
        numerals=texts.numerals,
    )


def severities(findings: Sequence[Finding], texts: Texts) -> Chart:
    """Chart what failed, is unknown or is waived, by severity."""
    shown = (Status.FAIL, Status.UNKNOWN, Status.WAIVED)
    counts = Counter((row.severity, row.status) for row in findings)
    fails = {severity: counts[severity, Status.FAIL] for severity in Severity}
    total = sum(fails.values())
    urgent = fails[Severity.CRITICAL] + fails[Severity.HIGH]
    unknown = sum(counts[severity, Status.UNKNOWN] for severity in Severity)
    if total:
        takeaway = texts("charts.severities.failing", n=urgent, of=total)
    elif unknown:
        takeaway = texts("charts.severities.unknown", n=unknown)
    else:
        takeaway = texts("charts.severities.clean")
    return Chart(
        key="severities",
        takeaway=takeaway,
        description=texts("charts.severities.description"),
        head=texts("charts.severities.head"),
        bars=tuple(
            Bar(
                texts(f"severity.{severity}"),
                tuple(
                    Part(
                        status,
                        texts(f"status.{status}"),
                        counts[severity, status],
                        severity.rank if status is Status.FAIL else None,
                    )
                    for status in shown
                ),
            )
            for severity in Severity
            if severity is not Severity.INFO or any(counts[severity, status] for status in shown)
        ),
        numerals=texts.numerals,
    )


def areas(rules: Sequence[RuleResult], texts: Texts) -> Chart:
    """Chart the verdicts of each group of rules, as shares of those that apply."""
    shown = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.NOT_YET_DUE, Status.PASS)
    bars = []
    for area in dict.fromkeys(rule.area for rule in rules):
        counts = {s: sum(rule.statuses.get(s, 0) for rule in rules if rule.area == area) for s in shown}
        if sum(counts.values()):
            parts = tuple(Part(status, texts(f"status.{status}"), counts[status]) for status in shown)
            bars.append(Bar(texts.get(f"areas.{area}", area), parts))
    applied = sum(bar.total for bar in bars)
    passed = sum(part.value for bar in bars for part in bar.parts if part.key == Status.PASS)
    return Chart(
        key="areas",
        takeaway=texts("charts.areas.passed", n=passed, of=applied, share=texts.numerals.share(passed, applied, "down"))
        if applied
        else texts("charts.areas.none"),
        description=texts("charts.areas.description"),
        head=texts("charts.areas.head"),
        bars=tuple(bars),
        numerals=texts.numerals,
        each_whole=True,
    )
