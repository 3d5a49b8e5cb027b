"""The parts of a report as tables with named columns, and how a table is written as CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from auditor.report import formulas, verdicts, wording
from auditor.report.charts import WORST_FIRST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from auditor.model import Status
    from auditor.report.view import Report

    Cell: TypeAlias = str | int | float | bool | date | datetime | None


@dataclass(frozen=True, slots=True)
class Table:
    """One part of a report; its rows can be read once."""

    key: str
    """Its name in the catalogue of texts."""
    columns: tuple[str, ...]
    rows: Iterable[Sequence[Cell]]


def parts(report: Report) -> tuple[Table, ...]:
    """Give every part, in the order in which an auditor reads."""
    return (
        findings(report),
        population(report),
        _snapshots(report),
        _rules(report),
        _coverage(report),
        _gaps(report),
        _subscriptions(report),
        _waivers(report),
        _controls(report),
        _questions(report),
        _runs(report),
        Table("files", ("path", "sha256"), report.inputs),
    )


_WAIVER = (
    "id", "reason", "compensating_control", "requester", "approver", "approved_on", "expires_on", "ticket", "expired",
)  # fmt: skip
_RESPONSE = ("action", "owner", "due", "author", "on")
_FINDING = (
    "serial", "status", "severity", "rule", "resource_name", "reason", "resource_type", "resource_group",
    "subscription_name", "class", "tier", "owner", "due", "first_seen", "group",
    *(f"waiver.{name}" for name in _WAIVER), *(f"response.{name}" for name in _RESPONSE),
    "baseline", "reason_code", "resource_id", "subscription_id", "evidence", "fingerprint",
)  # fmt: skip
"""Fields of findings.json; what is read first stands first."""
_DAYS = frozenset({"due", "waiver.approved_on", "waiver.expires_on", "response.due", "response.on"})


def findings(report: Report) -> Table:
    """List the findings, and the passes where all rows are asked for, each with its run: such files are joined.

    Where there is none, one row names the run and says so.
    """
    run = (report.run.id, report.run.manifest_digest)
    rows = verdicts.rows(report)
    none = {**dict.fromkeys(_FINDING), "waiver": None, "response": None}
    first = next(rows, none | {"reason": report.texts.label("There are no findings.")})
    told = ((*_finding(row), *run) for row in chain((first,), rows))
    return Table("findings", (*_FINDING, "run", "manifest_digest"), told)


def _finding(row: dict[str, Any]) -> Iterator[Cell]:
    for part, names in (("waiver", _WAIVER), ("response", _RESPONSE)):
        row.update((f"{part}.{name}", row[part].get(name)) for name in names if row[part])
    row["evidence"] = json.dumps(row["evidence"], ensure_ascii=False, allow_nan=False) if row["evidence"] else None
    row["first_seen"] = datetime.fromisoformat(row["first_seen"]) if row["first_seen"] else None
    for name in _FINDING:
        value = row.get(name)
        yield date.fromisoformat(value) if value and name in _DAYS else value


def population(report: Report) -> Table:
    """List every VM, judged or not, under its number, with the counts of its verdicts."""
    columns = (
        "serial", "resource_id", "name", "resource_group", "subscription_id", "subscription_name", "location", "class",
        "tier", "owner", "excluded", "protection", "vault", "policy", "newest_point_age_hours",
        "oldest_point_age_hours", "point_count", "expected_points", "missing_points", *WORST_FIRST,
    )  # fmt: skip
    rows = (
        (
            report.numbers[it.resource_id], it.resource_id, it.name, it.resource_group, it.subscription_id,
            it.subscription_name, it.location, it.class_, it.tier, it.owner, it.excluded_code, it.protection,
            it.vault_name, it.policy_name, it.newest_point_age_hours, it.oldest_point_age_hours, it.point_count,
            it.expected_points, it.missing_points,
            *_counted(it.statuses),
        )
        for it in report.machines
    )  # fmt: skip
    return Table("population", columns, rows)


def _counted(statuses: Mapping[str, Status]) -> Iterator[int]:
    seen = list(statuses.values())
    return (seen.count(status) for status in WORST_FIRST)


def _snapshots(report: Report) -> Table:
    columns = (
        "resource_id", "name", "resource_group", "subscription_id", "subscription_name", "age_hours", "size_gib", "sku",
        "incremental", "provenance", "source_disk_id", "owner", *WORST_FIRST,
    )  # fmt: skip
    rows = (
        (
            it.resource_id, it.name, it.resource_group, it.subscription_id, it.subscription_name, it.age_hours,
            it.size_gib, it.sku, it.incremental, it.provenance, it.source_disk_id, it.owner, *_counted(it.statuses),
        )
        for it in report.snapshots
    )  # fmt: skip
    return Table("snapshots", columns, rows)


def _rules(report: Report) -> Table:
    columns = ("id", "area", "title", "severity", "resource_type", *WORST_FIRST, "controls", "rationale", "params")
    rows: Iterable[tuple[Cell, ...]] = (
        (
            it.id, it.area, it.title, it.severity, it.resource_type, *(it.statuses.get(s, 0) for s in WORST_FIRST),
            "; ".join(report.cited.get(it.id, ())), it.rationale, json.dumps(wording.plain(it.params)),
        )
        for it in report.rules
    )  # fmt: skip
    return Table("rules", columns, rows)


def _coverage(report: Report) -> Table:
    columns = ("table", "subscription_id", "subscription_name", "state", "expected", "received", "reason")
    named = {it.subscription_id: it.name for it in report.completeness.subscriptions}
    rows = (
        (it.table, it.subscription_id, named.get(it.subscription_id), it.state, it.expected, it.received, it.reason)
        for it in report.coverage
    )
    return Table("coverage", columns, rows)


def _gaps(report: Report) -> Table:
    rows = ((it.table, it.resource_id, it.state, it.reason) for it in report.completeness.gaps)
    return Table("gaps", ("table", "resource_id", "state", "reason"), rows)


def _subscriptions(report: Report) -> Table:
    columns = ("subscription_id", "name", "state", "management_groups", "reading", "vm_count", "tenant_id")
    rows = (
        (
            it.subscription_id, it.name, it.state, " < ".join(it.management_groups), it.reading, it.vm_count,
            it.tenant_id,
        )
        for it in report.completeness.subscriptions
    )  # fmt: skip
    return Table("subscriptions", columns, rows)


def _waivers(report: Report) -> Table:
    columns = (
        "id", "rule", "match", "reason", "compensating_control", "requester", "approver", "approved_on", "expires_on",
        "ticket", "state", "matched", "notes",
    )  # fmt: skip
    rows = (
        (
            it.id, it.rule, it.match, it.reason, it.compensating_control, it.requester, it.approver, it.approved_on,
            it.expires_on, it.ticket, it.state, it.matched, "; ".join(it.notes),
        )
        for it in report.waivers
    )  # fmt: skip
    return Table("waivers", columns, rows)


def _controls(report: Report) -> Table:
    columns = ("framework", "control", "title", "verified", "rules", *WORST_FIRST)
    rows: Iterable[tuple[Cell, ...]] = (
        (
            it.framework_title, it.control, it.title, it.verified, ", ".join(it.rules),
            *(it.statuses.get(status, 0) for status in WORST_FIRST),
        )
        for it in report.controls
    )  # fmt: skip
    return Table("controls", columns, rows)


def _questions(report: Report) -> Table:
    columns = ("table", "method", "text", "api_version", "requests", "rows")
    rows = ((it.table, it.method, it.text, it.api_version, it.requests, it.rows) for it in report.questions)
    return Table("questions", columns, rows)


def _runs(report: Report) -> Table:
    columns = ("id", "as_of", "standard", "complete", "judged", "failing", *WORST_FIRST, "manifest_digest")
    rows: Iterable[tuple[Cell, ...]] = (
        (
            it.id, it.as_of, it.standard, it.complete, it.judged, it.failing,
            *(it.statuses.get(status, 0) for status in WORST_FIRST), it.manifest_digest,
        )
        for it in report.runs
    )  # fmt: skip
    return Table("runs", columns, rows)


def to_csv(table: Table) -> bytes:
    """Write a table: RFC 4180, UTF-8 with the mark by which Excel knows it; nothing in it runs or is out of sight."""
    target = io.BytesIO()
    with io.TextIOWrapper(target, "utf-8-sig", newline="") as text:
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(table.columns)
        writer.writerows(map(_written, row) for row in table.rows)
        text.flush()
        return target.getvalue()


def _written(value: Cell) -> str | int | float | None:
    if value is None:
        return None
    if isinstance(value, str):
        return formulas.disarmed(wording.visible(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    plain: str | int | float | None = wording.plain(value)
    return plain
