"""Everything a bundle knows of one resource, and how each rule judged it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

from auditor.document import did_you_mean
from auditor.errors import UsageError
from auditor.inventory.facts import tables
from auditor.model import Explained, Status
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.inventory.facts import Facts
    from auditor.model import Results
    from auditor.rulebook import Rule

_NAMED = 8
"""So many ids are told where a name means several resources."""


def explain(facts: Facts, results: Results, findings: Path, wanted: str) -> Explained:
    """Gather what is known of a resource.

    Args:
        facts: the bundle's tables, open.
        results: the bundle, read.
        findings: folder of `<rule>.parquet`.
        wanted: an ARM id in any casing, or a name.

    Raises:
        UsageError: nothing is called so, or several things are.
    """
    kinds = {rule.resource_type for rule in results.rules}
    found = _found(facts, wanted, kinds)
    key, kind = found["resource_id"], found["resource_type"]
    table = "policy_exemption" if kind == "waiver" else kind
    (row,) = facts.rows(f"SELECT * FROM {table} WHERE resource_id = $id", {"id": key})
    chain = facts.rows("SELECT * FROM protection WHERE vm_no = $no", {"no": row["resource_no"]}) if kind == "vm" else []
    mine = {finding.rule: finding for finding in results.findings if finding.resource_id == key}
    verdicts = [
        (rule, Status(status))
        for rule in results.rules
        if rule.resource_type == table and (status := _status(facts, findings, rule.id, key)) is not None
    ]
    verdicts.sort(key=lambda it: (_ORDER.index(it[1]), it[0].severity.rank, it[0].id))
    return Explained(
        resource_id=key,
        resource_type=kind,
        name=found["resource_name"],
        subscription=found["subscription_name"] or found["subscription_id"],
        row=row,
        meanings={column.name: column.doc for column in tables()[table]},
        chain=chain[0] if chain else {},
        days=_days(facts, row["resource_no"]) if kind == "vm" else None,
        verdicts=tuple(verdicts),
        findings=mine,
        lacking=tuple(row for row in results.coverage if not row.state.whole) + results.gaps,
    )


_ORDER = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.NOT_YET_DUE, Status.PASS, Status.NOT_APPLICABLE)


def _found(facts: Facts, wanted: str, kinds: set[str]) -> dict[str, Any]:
    judged = " UNION ALL ".join(f"SELECT resource_no FROM {kind}" for kind in sorted(kinds))
    rows = facts.rows(
        f"""
        SELECT resource_id, resource_type, resource_name, subscription_id, subscription_name FROM resource
        WHERE (resource_id = lower($wanted) OR lower(resource_name) = lower($wanted)) AND resource_no IN ({judged})
        ORDER BY resource_id
        """,
        {"wanted": wanted.strip().rstrip("/")},
    )
    # A backup item bears the name of its VM; who says the name means the VM.
    rows = [row for row in rows if row["resource_type"] != "protected_item"] or rows
    if len(rows) == 1:
        return rows[0]
    if rows:
        ids = "; ".join(row["resource_id"] for row in rows[:_NAMED])
        more = f"; and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
        raise UsageError(f"{len(rows)} resources are called {wanted!r}", f"name one by its id: {ids}{more}")
    names = facts.rows(f"SELECT DISTINCT resource_name FROM resource WHERE resource_no IN ({judged})")
    hint = did_you_mean(wanted.rpartition("/")[2], [row["resource_name"] for row in names if row["resource_name"]])
    raise UsageError(f"this bundle judges no resource {wanted!r}", hint)


def _status(facts: Facts, findings: Path, rule: str, key: str) -> str | None:
    path = quote(str(findings / f"{rule}.parquet"))
    rows = facts.rows(
        f"SELECT status FROM read_parquet({path}, hive_partitioning = false) WHERE resource_id = $id", {"id": key}
    )
    return rows[0]["status"] if rows else None


def _days(facts: Facts, vm_no: int) -> tuple[int, int] | None:
    (row,) = facts.rows(
        """
        SELECT count(*) AS expected, count(*) FILTER (p.slot_no IS NULL) AS missing
        FROM expected_day e
        LEFT JOIN (SELECT DISTINCT item_no, slot_no FROM recovery_point) p
            ON p.item_no = e.item_no AND p.slot_no = e.slot_no
        WHERE e.vm_no = $no
          AND EXISTS (SELECT 1 FROM protection c WHERE c.vm_no = e.vm_no AND c.recovery_point_complete)
        """,
        {"no": vm_no},
    )
    return (row["expected"], row["missing"]) if row["expected"] else None


def read_by(rule: Rule, explained: Explained) -> list[tuple[str, Any, str]]:
    """Give what a rule reads of a resource: column, value and meaning, its demands among them."""
    tree = sqlglot.parse_one(rule.file.sql, read="duckdb")
    named = {column.name for column in tree.find_all(exp.Column)}
    told = []
    for table, row in ((rule.file.resource_type, explained.row), ("protection", explained.chain)):
        if table in rule.file.reads and row:
            told += [(c.name, row[c.name], c.doc) for c in tables()[table] if c.name in named and c.name in row]
    return [(name, value, doc) for name, value, doc in told if name not in ("resource_no", "resource_id", "vm_no")]
