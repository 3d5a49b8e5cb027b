"""The rows of findings.json and of its twins: a row for each verdict, under the names of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditor.model import Status, fingerprint
from auditor.report import wording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.model import Finding, RuleResult, Subject
    from auditor.report.view import Report


def rows(report: Report) -> Iterator[dict[str, Any]]:
    """Give every finding, worst first, and behind them the passes where all rows are asked for."""
    yield from map(_finding, report.findings)
    if report.how.all_rows:
        for rule in sorted(report.rules, key=lambda rule: rule.id):
            for subject in report.passing(rule):
                yield _pass(rule, subject)


def _finding(row: Finding) -> dict[str, Any]:
    return {
        "rule": row.rule,
        "resource_id": row.resource_id,
        "resource_type": row.resource_type,
        "resource_name": row.resource_name,
        "resource_group": row.resource_group,
        "subscription_id": row.subscription_id,
        "subscription_name": row.subscription_name,
        "status": str(row.status),
        "severity": str(row.severity),
        "reason_code": row.reason_code,
        "reason": row.reason,
        "evidence": wording.plain(row.evidence),
        "class": row.class_,
        "tier": row.tier,
        "owner": row.owner,
        "due": row.due.isoformat() if row.due else None,
        "group": row.group,
        "serial": row.serial,
        "waiver": wording.plain(row.waiver),
        "response": wording.plain(row.response),
        "baseline": row.baseline,
        "fingerprint": row.fingerprint,
        "first_seen": wording.instant(row.first_seen),
    }


def _pass(rule: RuleResult, subject: Subject) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "resource_id": subject.resource_id,
        "resource_type": subject.resource_type,
        "resource_name": subject.resource_name,
        "resource_group": subject.resource_group,
        "subscription_id": subject.subscription_id,
        "subscription_name": subject.subscription_name,
        "status": str(Status.PASS),
        "severity": str(rule.severity),
        "reason_code": "",
        "reason": "",
        "evidence": {},
        "class": subject.class_,
        "tier": subject.tier,
        "owner": subject.owner,
        "due": None,
        "group": None,
        "serial": None,
        "waiver": None,
        "response": None,
        "baseline": None,
        "fingerprint": fingerprint(rule.id, subject.resource_id),
        "first_seen": None,
    }
