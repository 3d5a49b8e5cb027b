"""findings.json: the record for other programs, schema 1.0, written field by field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from auditor.model import Status
from auditor.report import verdicts, wording

if TYPE_CHECKING:
    from auditor.model import Coverage, Gate, Population, RuleResult, Run
    from auditor.report.view import Report

DEFAULT_NAME = "findings.json"
MEDIA_TYPE = "application/json"
SCHEMA_VERSION = "1.0"

_ORDER = (Status.FAIL, Status.WAIVED, Status.NOT_YET_DUE, Status.NOT_APPLICABLE, Status.UNKNOWN)


def render(report: Report) -> bytes:
    """Write the document: UTF-8, two spaces, a newline at the end."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run": {**_run(report.run), **({"redacted": True} if report.redacted else {})},
        "coverage": [_coverage(row) for row in report.coverage],
        "population": [_population(row) for row in report.population],
        "rules": [_rule(rule) for rule in sorted(report.rules, key=lambda rule: rule.id)],
        "findings": list(verdicts.rows(report)),
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


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "exit_code": gate.exit_code,
        "threshold": gate.threshold,
        "reasons": [{"code": it.code, "count": it.count, "detail": it.detail} for it in gate.reasons],
    }
