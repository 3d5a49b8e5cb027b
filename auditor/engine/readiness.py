"""Restore tests and runbooks as they were declared, and how each class stands with them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from auditor.model import ClassReadiness, RestoreTest, RunbookRecord, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from auditor.engine.results import Judged
    from auditor.inventory.facts import Facts
    from auditor.rulebook import Rule
    from auditor.standard.evidence import RestoreRecord, Runbook, Tested

RULES = ("restore-test-overdue", "restore-test-failed", "recovery-runbook-missing")


def tests(records: Sequence[RestoreRecord], facts: Facts) -> tuple[RestoreTest, ...]:
    """Give the declared tests, newest first, with what the run knows of their VMs and jobs."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in facts.rows(
        "SELECT t.test_id, t.job_status, c.class, c.rto_hours FROM restore_test t "
        "JOIN class c ON c.resource_no = t.class_no ORDER BY t.test_id, c.class"
    ):
        found[row["test_id"]].append(row)
    made = [_test(record, found[record.id]) for record in records]
    return tuple(sorted(made, key=lambda it: (-it.started_at.timestamp(), it.id)))


def _test(record: RestoreRecord, known: Sequence[dict[str, Any]]) -> RestoreTest:
    limits = [row["rto_hours"] for row in known if row["rto_hours"] is not None]
    classes = sorted({row["class"] for row in known})
    return RestoreTest(
        id=record.id,
        class_=record.class_ or ", ".join(classes) or None,
        vms=tuple(_named(vm) for vm in record.tested),
        judged=len(known),
        type=record.type,
        point_at=record.recovery_point.time,
        point_tier=record.recovery_point.tier,
        started_at=record.started_at,
        hours=None if record.minutes is None else record.minutes / 60,
        rto_hours=min(limits, default=None),
        passed=record.passed,
        validated=record.validated,
        isolated=record.target.isolated_network,
        job_status=next((row["job_status"] for row in known if row["job_status"]), None),
        performed_by=record.performed_by,
        reviewed_by=record.reviewed_by,
    )


def _named(vm: Tested) -> str:
    return vm.id.rsplit("/", 1)[-1] if vm.id else str(vm.name)


def runbooks(declared: Sequence[Runbook], as_of: datetime) -> tuple[RunbookRecord, ...]:
    """Give the declared runbooks with their age; a review that is still to come is none."""
    return tuple(
        RunbookRecord(
            title=it.title,
            for_=(*(it.class_ or ()), *(it.tier or ())),
            scenarios=tuple(it.scenarios),
            url=it.url,
            sha256=it.sha256,
            reviewed_on=it.reviewed_on,
            age_days=float((as_of.date() - it.reviewed_on).days)
            if it.reviewed_on is not None and it.reviewed_on <= as_of.date()
            else None,
            owner=it.owner,
        )
        for it in declared
    )


def classes(judged: Judged, facts: Facts) -> tuple[ClassReadiness, ...]:
    """Give the classes that have VMs, with what is demanded of them and their verdicts."""
    scenarios: dict[int, dict[str, str | None]] = defaultdict(dict)
    for row in facts.rows("SELECT class_no, scenario, title FROM class_scenario ORDER BY class_no, scenario"):
        scenarios[row["class_no"]][row["scenario"]] = row["title"]
    verdicts: dict[str, dict[str, tuple[Status, str]]] = defaultdict(dict)
    for rule in (rule for rule in judged.book.rules if rule.id in RULES):
        for resource_id, verdict in _verdicts(judged, facts, rule).items():
            verdicts[resource_id][rule.id] = verdict
    rows = facts.rows(
        "SELECT resource_no, resource_id, resource_name AS name, tier, vm_count, test_vm_demanded AS vms_demanded, "
        "test_cadence_days AS cadence_days, rto_hours, runbook_max_age_days FROM class WHERE vm_count > 0 ORDER BY name"
    )
    return tuple(
        ClassReadiness(scenarios=scenarios[row.pop("resource_no")], verdicts=verdicts[row["resource_id"]], **row)
        for row in rows
    )


def _verdicts(judged: Judged, facts: Facts, rule: Rule) -> dict[str, tuple[Status, str]]:
    return {row["resource_id"]: (row["status"], row["said"]) for row in judged.verdicts(facts, rule)}
