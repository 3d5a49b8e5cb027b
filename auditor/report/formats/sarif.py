"""findings.sarif: SARIF 2.1.0 for code scanning; a result points at its rule's file, a waived one at the register."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from auditor.model import Severity, Status
from auditor.report import remedy, verdicts, wording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditor.model import RuleResult
    from auditor.report.view import Report
    from auditor.report.wording import Texts

DEFAULT_NAME = "findings.sarif"
MEDIA_TYPE = "application/sarif+json"

MOST_RESULTS = 25_000
"""GitHub refuses a run with more, and shows the 5,000 worst."""
MOST_TAGS = 20
"""GitHub refuses a rule with more."""
MOST_NOTIFICATIONS = 100

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_NAME = "azure-backup-auditor"
_WAIVERS = "waivers.yaml"
_TOLD = frozenset({"fail", "unknown", "waived"})
"""GitHub takes every result for a problem, whatever its kind: the others only come where all rows are asked for."""
_KINDS = {
    Status.FAIL: "fail",
    Status.WAIVED: "fail",
    Status.UNKNOWN: "open",
    Status.NOT_YET_DUE: "informational",
    Status.NOT_APPLICABLE: "notApplicable",
    Status.PASS: "pass",
}
"""`open`: there was too little information to decide."""
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
_BASELINE = {"new": "new", "known": "unchanged"}
_PROPERTIES = (
    "serial", "status", "severity", "reason_code", "resource_type", "resource_group", "subscription_id",
    "subscription_name", "class", "tier", "owner", "due", "group", "baseline",
)  # fmt: skip
_SCOPE = ("subscriptions", "management_groups", "exclude_subscriptions", "tenant")
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}
"""GitHub's scale: critical over 9.0, high from 7.0, medium from 4.0, low above 0."""


def render(report: Report) -> bytes:
    """Write the log: one run, the worst results first."""
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(report)]}
    return (json.dumps(log, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")


def _run(report: Report) -> dict[str, Any]:
    run, texts = report.run, report.texts
    places = {rule.id: number for number, rule in enumerate(report.rules)}
    told = (row for row in verdicts.rows(report) if report.how.all_rows or row["status"] in _TOLD)
    shown = list(islice(told, MOST_RESULTS))
    left_out = sum(1 for _ in told)
    # The standard demands that all results of a run say how they stand to the baseline, or none.
    compared = all(row["baseline"] for row in shown)
    return {
        "tool": {
            "driver": {
                "name": _NAME,
                "version": run.tool_version,
                "rules": [_rule(rule, report.cited.get(rule.id, ())) for rule in report.rules],
            }
        },
        "automationDetails": {"id": f"{_NAME}/{_scope(run.scope)}/{run.id}"},
        "invocations": [
            {
                "executionSuccessful": run.complete,
                "startTimeUtc": wording.instant(run.started_at),
                "endTimeUtc": wording.instant(run.finished_at),
                "toolExecutionNotifications": list(_notifications(report, len(shown), left_out)),
            }
        ],
        "artifacts": list(_artifacts(report)),
        "results": [_result(row, report.rules[places[row["rule"]]], places, texts, compared=compared) for row in shown],
        "properties": {
            "run": run.id,
            "as_of": wording.instant(run.as_of),
            "manifest_digest": run.manifest_digest,
            "rules_digest": run.rules_digest,
            "standard": {"name": run.standard.name, "version": run.standard.version, "digest": run.standard.digest},
            "complete": run.complete,
            "gate": {"exit_code": report.gate.exit_code, "threshold": report.gate.threshold},
            "statuses": {str(status): number for status, number in report.statuses.items()},
            "results_left_out": left_out,
        },
    }


def _scope(scope: Mapping[str, Any]) -> str:
    """Name the scope, so that the alerts of one do not replace those of another."""
    named = {name: scope[name] for name in _SCOPE if scope.get(name)}
    if not named:
        return "all"
    return hashlib.sha256(json.dumps(wording.plain(named), sort_keys=True).encode()).hexdigest()[:8]


def _rule(rule: RuleResult, cited: tuple[str, ...]) -> dict[str, Any]:
    fixes = [f"{kind}: {remedy.command(text, {})}" for kind, text in sorted(rule.remediation.items())]
    lines = (*cited, *rule.references)
    controls = [f"{framework}/{control}" for framework, ids in sorted(rule.controls.items()) for control in ids]
    return {
        "id": rule.id,
        "shortDescription": {"text": _message(rule.title)},
        "fullDescription": {"text": _message(rule.rationale or rule.title)},
        **({"helpUri": rule.references[0]} if rule.references else {}),
        "help": {
            "text": _message("\n".join((rule.rationale, *fixes, *lines))),
            "markdown": "\n\n".join(
                (rule.rationale, *(f"```\n{fix}\n```" for fix in fixes), "\n".join(f"- {line}" for line in lines))
            ),
        },
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            # GitHub heeds the score of rules that are tagged `security`.
            "tags": ["security", rule.area, *controls][:MOST_TAGS],
            "severity": str(rule.severity),
            **({"security-severity": _SCORES[rule.severity]} if rule.severity in _SCORES else {}),
        },
    }


def _artifacts(report: Report) -> Iterator[dict[str, Any]]:
    """List the files that results point at: the rules in their order, and the register of waivers behind them."""
    digests = dict(report.inputs)
    for path in (*map(_path, report.rules), _WAIVERS):
        hashes = {"hashes": {"sha-256": digests[path]}} if path in digests else {}
        yield {"location": {"uri": quote(path)}, **hashes}


def _path(rule: RuleResult) -> str:
    """Say where a rule stands, in the bundle as in a repository of rules."""
    return f"rules/{rule.area}/{rule.id}.yaml"


def _result(
    row: Mapping[str, Any], rule: RuleResult, places: Mapping[str, int], texts: Texts, *, compared: bool
) -> dict[str, Any]:
    status = Status(row["status"])
    waived = status is Status.WAIVED
    kind = _KINDS[status]
    said = row["reason"] or texts(f"status.{status}")
    return {
        "ruleId": rule.id,
        "ruleIndex": places[rule.id],
        "kind": kind,
        "level": _LEVELS[Severity(row["severity"])] if kind == "fail" else "none",
        "message": {"text": _message(f"{row['resource_name']}: {said} ({row['resource_id']})")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {
                        "uri": quote(_WAIVERS if waived else _path(rule)),
                        "index": len(places) if waived else places[rule.id],
                    },
                    "region": {"startLine": 1},
                },
                "logicalLocations": [
                    {
                        "name": wording.visible(row["resource_name"]),
                        "fullyQualifiedName": row["resource_id"],
                        "kind": "resource",
                    }
                ],
            }
        ],
        "partialFingerprints": {
            "auditorFingerprint/v1": row["fingerprint"],
            # By this GitHub tells alerts apart, and all of a rule stand on one line.
            "primaryLocationLineHash": f"{row['fingerprint'][:16]}:1",
        },
        "suppressions": [_suppression(row["waiver"])] if waived else [],
        **({"baselineState": _BASELINE[row["baseline"]]} if compared else {}),
        **({"provenance": {"firstDetectionTimeUtc": row["first_seen"]}} if row["first_seen"] else {}),
        "properties": {name: row[name] for name in _PROPERTIES if row[name]},
    }


def _suppression(waiver: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "approver", "expires_on")
    return {
        "kind": "external",
        "status": "accepted",
        "justification": wording.visible(str(waiver.get("reason") or waiver.get("id"))),
        "properties": {name: waiver[name] for name in names if waiver.get(name)},
    }


def _notifications(report: Report, shown: int, left_out: int) -> Iterator[dict[str, Any]]:
    """Tell what was not read, and what was cut."""
    texts, unread = report.texts, report.unread
    for line in unread[:MOST_NOTIFICATIONS]:
        yield {"level": "error", "message": {"text": _message(line)}}
    if len(unread) > MOST_NOTIFICATIONS:
        yield {"level": "error", "message": {"text": texts("words.and_more", n=len(unread) - MOST_NOTIFICATIONS)}}
    if left_out:
        yield {"level": "warning", "message": {"text": texts("sarif.cut", n=shown, of=shown + left_out)}}


def _message(text: str) -> str:
    """Write a text so that it is one: no placeholder, no link, nothing out of sight."""
    return wording.visible(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")
