"""One rule after the other over the facts: each verdict with its reason and evidence, written as Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from auditor.engine import waivers as waiving
from auditor.errors import DocumentError
from auditor.model import Severity, Status
from auditor.rulebook.gate import evidence_columns
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from pathlib import Path

    from auditor.inventory.facts import Facts
    from auditor.rulebook import Rule, Rulebook
    from auditor.standard import Waiver

GAP_REASON = "resource_table_incomplete"
CLOCK_REASON = "clock_wrong"
SAMPLE_REASON = "not_sampled"

_SHIFTED = "['critical', 'high', 'medium', 'low']"
"""What a class may shift a severity within; info stays info."""

_BEHIND = {
    "vm": ("vm", "resource_group"),
    "snapshot": ("snapshot",),
    "disk": ("disk",),
    "vault": ("vault",),
    "backup_policy": ("backup_policy",),
    "protected_item": ("protected_item",),
    "subscription": ("subscription", "vm"),
    "policy_exemption": ("policy_exemption",),
    "class": (),
}
"""Tables that decide who is judged at all: a gap in one makes every verdict on that kind unknown there."""


def evaluate(
    book: Rulebook,
    facts: Facts,
    waivers: Sequence[Waiver],
    *,
    today: date,
    folder: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Judge everything; write `<rule>.parquet` per rule into `folder`.

    Columns: resource_no, resource_id, status, severity, reason, evidence (JSON, null for a pass), waiver_id.

    Raises:
        DocumentError: a rule's SQL fails, or does not give exactly one row per resource.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waiving.lay(facts, waivers, today)
    for rule in book.rules:
        tell(rule.id)
        try:
            _judge(rule, book, facts, folder / f"{rule.id}.parquet")
        except (duckdb.IOException, duckdb.TransactionException):
            raise  # the disk's fault, not the rule's
        except duckdb.Error as error:
            said = str(error).splitlines()[0]
            raise DocumentError([rule.document.fault(("sql",), f"rule {rule.id}: {said}")]) from error


def _judge(rule: Rule, book: Rulebook, facts: Facts, path: Path) -> None:
    con = facts.con
    params = dict(book.params[rule.id]) or None
    columns = evidence_columns(rule)
    con.execute(f"CREATE OR REPLACE TEMP TABLE verdict AS {rule.file.sql.strip().rstrip(';')}", params)
    _check_population(rule, facts)
    kinds = {row[0]: row[1] for row in con.execute("DESCRIBE verdict").fetchall()}
    severity = quote(book.severities[rule.id].value)
    # A severity that the organisation has set holds against the rule's own grading.
    if "severity" in kinds and rule.id not in book.overridden:
        severity = f"coalesce(v.severity, {severity})"
    packed = ", ".join(f"{name} := {_rounded(name, kinds[name])}" for name in columns)
    evidence = f"to_json(struct_pack({packed}))" if columns else "'{}'::JSON"
    behind = ", ".join(quote(table) for table in _BEHIND.get(rule.file.resource_type, ()))
    con.execute(
        f"""
        COPY (
            WITH gone AS (
                     SELECT DISTINCT subscription_id FROM covered
                     WHERE table_name IN ({behind or "''"}) AND NOT whole
                 ),
                 -- What is true of every rule: nothing is said of a list that is not whole, nor by a clock that is
                 -- wrong, and points that were not drawn for a sample are no failure to read them.
                 put AS (
                     SELECT n.resource_no, n.tier, v.resource_id, {severity} AS severity, {evidence} AS evidence,
                            CASE WHEN s.clock_wrong THEN {quote(CLOCK_REASON)}
                                 WHEN g.subscription_id IS NOT NULL THEN {quote(GAP_REASON)}
                                 WHEN v.reason = 'recovery_points_unread' AND l.vm_no IS NOT NULL
                                 THEN {quote(SAMPLE_REASON)} END AS blind,
                            CASE WHEN blind = {quote(SAMPLE_REASON)} AND s.accept_sampling THEN 'not_applicable'
                                 WHEN blind IS NOT NULL THEN 'unknown' ELSE v.status END AS status,
                            coalesce(blind, v.reason) AS reason
                     FROM verdict v
                     JOIN {rule.file.resource_type} n ON n.resource_id = v.resource_id
                     CROSS JOIN setting s
                     LEFT JOIN gone g ON g.subscription_id = n.subscription_id
                     LEFT JOIN protection l ON l.vm_no = n.resource_no AND l.left_out_of_sample
                 ),
                 covering AS (
                     SELECT resource_no, waiver_id, expired FROM waiver WHERE rule = {quote(rule.id)}
                     QUALIFY row_number() OVER (
                         PARTITION BY resource_no ORDER BY expired, expires_on DESC, waiver_id) = 1
                 )
            SELECT p.resource_no, p.resource_id,
                   CASE WHEN p.status = 'fail' AND w.expired = false THEN 'waived' ELSE p.status END AS status,
                   CASE WHEN p.severity = 'info' THEN 'info'
                        ELSE {_SHIFTED}[least(greatest(
                             list_position({_SHIFTED}, p.severity) - coalesce(k.severity_shift, 0), 1), 4)]
                        END AS severity,
                   p.reason,
                   CASE WHEN p.status <> 'pass' THEN p.evidence END AS evidence,
                   CASE WHEN p.status = 'fail' THEN w.waiver_id END AS waiver_id
            FROM put p
            LEFT JOIN tier k ON k.tier = p.tier
            LEFT JOIN covering w ON w.resource_no = p.resource_no
            ORDER BY p.resource_no
        ) TO {quote(str(path))} (FORMAT parquet, COMPRESSION zstd)
        """
    )


def _rounded(name: str, kind: str) -> str:
    # Engines differ in the last digits of a division: evidence is rounded so that a re-run compares equal.
    if kind.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return f"round(v.{name}::DOUBLE, 4)"
    if kind == "HUGEINT":  # what sum() of integers gives
        return f"v.{name}::BIGINT"
    return f"v.{name}"


def _check_population(rule: Rule, facts: Facts) -> None:
    """Demand exactly one row per resource, and only statuses that a rule may give."""
    kind = rule.file.resource_type
    allowed = ", ".join(quote(status.value) for status in Status if status is not Status.WAIVED)
    wrong = facts.rows(f"SELECT DISTINCT status FROM verdict WHERE status IS NULL OR status NOT IN ({allowed})")
    if wrong:
        said = f"rule {rule.id} gave the status {wrong[0]['status']!r}"
        raise DocumentError([rule.document.fault(("sql",), said, f"statuses are {allowed}")])
    if any(row[0] == "severity" for row in facts.con.execute("DESCRIBE verdict").fetchall()):
        known = ", ".join(quote(severity.value) for severity in Severity)
        odd = facts.rows(f"SELECT DISTINCT severity FROM verdict WHERE severity NOT IN ({known})")
        if odd:
            said = f"rule {rule.id} gave the severity {odd[0]['severity']!r}"
            raise DocumentError([rule.document.fault(("sql",), said, f"severities are {known}")])
    counts = facts.rows(
        f"SELECT (SELECT count(*) FROM verdict) AS given, (SELECT count(*) FROM {kind}) AS wanted, "
        f"(SELECT coalesce(sum(hash(resource_id)::HUGEINT), 0) FROM verdict) = "
        f"(SELECT coalesce(sum(hash(resource_id)::HUGEINT), 0) FROM {kind}) AS same"
    )[0]
    if counts["given"] == counts["wanted"] and counts["same"]:
        return
    culprit = facts.rows(
        f"SELECT n.resource_id, count(v.resource_id) AS rows FROM {kind} n LEFT JOIN verdict v USING (resource_id) "
        "GROUP BY 1 HAVING count(v.resource_id) <> 1 ORDER BY 1 LIMIT 1"
    )
    shown = f"; {culprit[0]['resource_id']} has {culprit[0]['rows']} rows" if culprit else ""
    said = f"rule {rule.id} gave {counts['given']} rows for {counts['wanted']} resources of kind {kind}{shown}"
    raise DocumentError([rule.document.fault(("sql",), said, "give exactly one row per resource")])
