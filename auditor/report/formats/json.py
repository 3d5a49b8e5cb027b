"""findings.json: the record for other programs, schema 1.0, written field by field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from auditor.model import Status
from auditor.report import wording
from auditor.report.causes import serial_key
from auditor.report.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditor.model import Coverage, Finding, Gate, Population, RuleResult, Run
    from auditor.report.view import Report

DEFAULT_NAME = "findings.json"
MEDIA_TYPE = "application/json"
SCHEMA_VERSION = "1.0"

_ORDER = (Status.FAIL, Status.WAIVED, Status.NOT_YET_DUE, Status.NOT_APPLICABLE, Status.UNKNOWN)


def render(report: Report) -> bytes:
    """Write the document: UTF-8, two spaces, a newline at the end."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": _run(report.run),
        "coverage": [_coverage(row) for row in report.coverage],
        "population": [_population(row) for row in report.population],
        "rules": [_rule(rule) for rule in sorted(report.rules, key=lambda rule: rule.id)],
        "findings": [*map(_finding, sorted(report.findings, key=serial_key)), *_passes(report)],
        "gate": _gate(report.gate),
    }
    return (json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "as_of": wording.instant(run.as_of),
        "started_at": wording.instant(run.started_at),
        "finished_at": wording.instant(run.finished_at),
        "tool_version": run.tool_version,
        "rules_digest": run.rules_digest,
        "standard": {"name": run.standard.name, "version": run.standard.version, "digest": run.standard.digest},
        "scope": wording.plain(run.scope),
        "identity": wording.plain(run.identity),
        "cloud": run.cloud,
        "complete": run.complete,
        "manifest_digest": run.manifest_digest,
        "self_test": {"passed": run.self_test.get("passed", 0), "failed": run.self_test.get("failed", 0)},
    }


def _coverage(row: Coverage) -> dict[str, Any]:
    return {
        "table": row.table,
        "subscription_id": row.subscription_id,
        "state": str(row.state),
        "expected": row.expected,
        "received": row.received,
        "reason": row.reason,
    }


def _population(row: Population) -> dict[str, Any]:
    return {
        "resource_type": row.resource_type,
        "total": row.total,
        "in_scope": row.in_scope,
        "not_applicable": dict(sorted(row.not_applicable.items())),
    }


def _rule(rule: RuleResult) -> dict[str, Any]:
    order = (Status.PASS, *_ORDER)
    return {
        "id": rule.id,
        "title": rule.title,
        "severity": str(rule.severity),
        "resource_type": rule.resource_type,
        "statuses": {str(status): rule.statuses.get(status, 0) for status in order},
        "controls": {framework: list(ids) for framework, ids in sorted(rule.controls.items())},
    }


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


def _passes(report: Report) -> Iterable[dict[str, Any]]:
    """Give the passes where they are asked for, for the resources whose every verdict is kept: VMs and snapshots."""
    if not report.all_rows:
        return
    rules = report.rules_by_id
    for kind, resources in (("vm", report.machines), ("snapshot", report.snapshots)):
        for resource in resources:
            for rule_id in sorted(rule for rule, status in resource.statuses.items() if status is Status.PASS):
                yield {
                    "rule": rule_id,
                    "resource_id": resource.resource_id,
                    "resource_type": kind,
                    "resource_name": resource.name,
                    "resource_group": resource.resource_group,
                    "subscription_id": resource.subscription_id,
                    "subscription_name": resource.subscription_name,
                    "status": "pass",
                    "severity": str(rules[rule_id].severity),
                    "reason_code": "",
                    "reason": "",
                    "evidence": {},
                    "class": getattr(resource, "class_", None),
                    "tier": getattr(resource, "tier", None),
                    "owner": resource.owner,
                    "due": None,
                    "group": None,
                    "serial": None,
                    "waiver": None,
                    "response": None,
                    "baseline": None,
                    "fingerprint": fingerprint(rule_id, resource.resource_id),
                    "first_seen": None,
                }


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "exit_code": gate.exit_code,
        "threshold": gate.threshold,
        "reasons": [{"code": it.code, "count": it.count, "detail": it.detail} for it in gate.reasons],
    }
