"""Reads a sealed bundle back into `Results`: everything a report or a gate may say about it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditor.engine import annexes, readiness, reconcile, register, requests
from auditor.engine import waivers as waiving
from auditor.errors import BundleError
from auditor.inventory import catalogue
from auditor.model import (
    CALENDAR_DAYS,
    Calendar,
    Finding,
    FrameworkRef,
    Gate,
    IdleResponse,
    Machine,
    Population,
    Results,
    RuleResult,
    Run,
    Severity,
    SnapshotRecord,
    Status,
    Subject,
    TierDemand,
    fingerprint,
)
from auditor.rulebook import MATURES, loosening
from auditor.rulebook.frameworks import Mark
from auditor.standard.durations import days, hours
from auditor.standard.evidence import NO_EVIDENCE
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from auditor.bundle import Bundle
    from auditor.inventory.facts import Facts
    from auditor.rulebook import Rule, Rulebook
    from auditor.standard import Response, Standard, Waiver
    from auditor.standard.evidence import Evidence
    from auditor.standard.schema import Tier

_EPOCH = date(1970, 1, 1)
"""Day 0 of the facts."""

_ORDER = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.NOT_YET_DUE, Status.NOT_APPLICABLE)
"""The order of the report, worst first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A bundle with the inputs its findings were made by."""

    bundle: Bundle
    findings: Path
    """Folder of `<rule>.parquet`."""
    book: Rulebook
    standard: Standard
    waivers: Sequence[Waiver]
    self_test: Mapping[str, int]
    as_of: datetime
    responses: Sequence[Response] = ()
    evidence: Evidence = NO_EVIDENCE
    """Restore tests and runbooks, as they were declared."""

    language: str = "en"
    """Of the sentences."""

    def parquet(self, rule_id: str) -> str:
        """Give the SQL that reads a rule's findings."""
        return f"read_parquet({quote(str(self.findings / f'{rule_id}.parquet'))})"

    @staticmethod
    def by_rule(rules: Sequence[str], verdicts: Sequence[str | None]) -> dict[str, Status]:
        """Give rule -> status out of the columns of `beside`."""
        return {rule: Status(verdict) for rule, verdict in zip(rules, verdicts, strict=True) if verdict}

    def beside(self, kind: str) -> tuple[str, str, list[str]]:
        """Give SQL that puts every rule's status beside a resource `n`: columns, joins, and the rules in order."""
        rules = [rule.id for rule in self.book.rules if rule.file.resource_type == kind]
        columns = ", ".join(f"f{n}.status" for n in range(len(rules)))
        joins = " ".join(
            f"LEFT JOIN {self.parquet(rule)} f{n} ON f{n}.resource_id = n.resource_id" for n, rule in enumerate(rules)
        )
        return columns, joins, rules

    def verdicts(self, facts: Facts, rule: Rule) -> Iterator[dict[str, Any]]:
        """Give a rule's verdicts, passes included, by id: resource_id, name, status, reason, said, evidence."""
        for row in facts.rows(
            f"SELECT f.resource_id, n.resource_name AS name, f.status, f.reason, f.evidence "
            f"FROM {self.parquet(rule.id)} f JOIN {rule.file.resource_type} n ON n.resource_id = f.resource_id "
            "ORDER BY f.resource_id"
        ):
            values = json.loads(row["evidence"]) if row["evidence"] else {}
            said = rule.sentence(row["reason"] or "", values, self.language)
            yield {**row, "status": Status(row["status"]), "said": said, "evidence": values}


def read(judged: Judged, facts: Facts, *, passes: bool = False) -> Results:
    """Build `Results`; its gate is still open (see `gate.judge`).

    Args:
        judged: where the findings are and what made them.
        facts: the bundle's tables, open.
        passes: name the resources behind the passes too, not only their number.
    """
    covered = judged.bundle.covered()
    asked = requests.read(judged.bundle)
    # Once for all rules: the names hang on tags and groups in a view that is made anew whenever it is read.
    facts.con.execute(
        "CREATE OR REPLACE TEMP TABLE named AS SELECT resource_no, resource_type, resource_name, resource_group, "
        "subscription_id, subscription_name FROM resource"
    )
    meant = _meant(judged.responses, facts)
    findings = _findings(judged, facts, _answers(meant))
    covering = Counter(str(f.waiver["id"]) for f in findings if f.waiver is not None)
    statuses = {rule.id: _statuses(judged, facts, rule) for rule in judged.book.rules}
    populations = {rule_id: sum(counts.values()) for rule_id, counts in statuses.items()}
    for rule in judged.book.rules:
        kind, path = rule.file.resource_type, judged.findings / f"{rule.id}.parquet"
        if populations[rule.id] != facts.population(kind):
            said = f"{path}: holds {populations[rule.id]} verdicts on {facts.population(kind)} resources"
            raise BundleError(said, "restore it from a copy")
    vms = dict(facts.con.execute("SELECT subscription_id, count(*) FROM vm GROUP BY 1").fetchall())
    return Results(
        run=_run(judged, facts, complete=covered.complete),
        coverage=covered.coverage,
        gaps=covered.gaps,
        subscriptions=tuple(replace(s, vm_count=vms.get(s.subscription_id, 0)) for s in covered.subscriptions),
        population=_population(judged.book, facts),
        rules=tuple(_rule(judged.book, rule, statuses[rule.id]) for rule in judged.book.rules),
        findings=findings,
        machines=_machines(judged, facts),
        snapshots=_snapshots(judged, facts),
        tiers=_tiers(judged.standard, facts),
        waivers=waiving.records(judged.waivers, covering, populations, judged.as_of.astimezone(UTC).date()),
        questions=asked.questions,
        sources=asked.sources,
        traffic=asked.traffic,
        gate=Gate(0, "none", ()),
        inputs={entry["path"]: entry["sha256"] for entry in judged.bundle.manifest["files"]},
        untested=_untested(judged, facts),
        asked_tables=frozenset(table.name for table in catalogue.tables() if table.asked),
        uniform_scale_sets=reconcile.uniform_scale_sets(facts),
        reconciliations=reconcile.sources(covered, facts),
        clock_offset_seconds=covered.clock_offset_seconds,
        frameworks=_frameworks(judged.book),
        opinions=annexes.opinions(judged, facts),
        exemptions=annexes.exemptions(facts),
        costs=annexes.costs(judged, facts),
        prices_as_of=judged.standard.file.cost.prices_as_of,
        restore_tests=readiness.tests(judged.evidence.tests, facts),
        runbooks=readiness.runbooks(judged.evidence.runbooks, judged.as_of),
        readiness=readiness.classes(judged, facts),
        period_days=days(judged.standard.file.timing.period),
        vaults=annexes.vaults(judged, facts),
        policies=annexes.policies(judged, facts),
        items=annexes.items(judged, facts),
        idle_responses=_idle(meant, findings),
        frameworks_shown=tuple(judged.standard.file.frameworks),
        runs=register.read(facts, judged.bundle, judged.findings, judged.as_of),
        loosenings=loosening.loosenings(judged.standard, judged.book),
        currency=judged.standard.file.cost.currency,
        passes=_passes(judged, facts) if passes else {},
    )


def _frameworks(book: Rulebook) -> dict[str, FrameworkRef]:
    named = sorted({key for rule in book.rules for key in rule.file.controls if key in book.frameworks})
    return {
        key: FrameworkRef(
            name=f"{file.name} {file.version}",
            say=file.say,
            titles={control.id: control.title for control in file.controls},
            verified=frozenset(control.id for control in file.controls if control.mark is Mark.READ),
            proves={control.id: control.proves.strip() for control in file.controls},
            lacks={control.id: control.does_not_prove.strip() for control in file.controls},
        )
        for key, file in ((key, book.frameworks[key].file) for key in named)
    }


DEMANDS: tuple[tuple[str, str, str], ...] = (
    ("backup.every", "how often backups run by schedule", "retention-frequency-below-standard"),
    ("backup.yearly.keep", "yearly retention", "retention-yearly-below-standard"),
    ("backup.weekly.keep", "that each week and month has its retained point", "recovery-points-gfs-gap"),
    ("backup.require_all_disks", "that all disks are in the backup", "vm-disk-excluded"),
    ("backup.app_consistent", "application-consistent points", "backup-consistency-low"),
    ("backup.archive_after", "moving points to the archive tier", "backup-archive-missing"),
    ("snapshot.daily_keep", "daily operational snapshots", "snapshot-daily-missing"),
    ("success_pct", "the success rate of backups", "backup-success-rate-low"),
    ("rto", "the time a recovery takes", "restore-test-failed"),
    ("restore_test.cadence", "restore tests", "restore-test-overdue"),
    ("runbooks.max_age", "recovery runbooks", "recovery-runbook-missing"),
    ("vault.redundancy", "storage redundancy of the vault", "vault-redundancy-below-standard"),
    ("vault.cross_region_restore", "cross-region restore", "vault-crr-disabled"),
    ("vault.soft_delete", "soft delete of the vault", "vault-soft-delete-weak"),
    ("vault.immutability", "immutability of the vault", "vault-immutability-weak"),
    ("vault.mua.required", "multi-user authorization", "vault-mua-missing"),
    ("vault.private_endpoint", "private endpoints of the vault", "vault-network-exposed"),
    ("vault.cmk.required", "customer-managed keys", "vault-cmk-missing"),
    ("vault.alerts.job_failures", "alerts on failed backups", "vault-monitoring-missing"),
)
"""Demands of a tier, where they stand in the standard, in words, and the rule that judges them."""


def _untested(judged: Judged, facts: Facts) -> tuple[str, ...]:
    """Name what tiers with VMs demand and no rule of this run judges: passing every rule is less than the standard."""
    ran = {rule.id for rule in judged.book.rules}
    used = [row["tier"] for row in facts.rows("SELECT DISTINCT tier FROM vm WHERE excluded_code IS NULL ORDER BY 1")]
    tiers = [judged.standard.tiers[name].model_dump() for name in used]
    return tuple(words for path, words, rule in DEMANDS if rule not in ran and any(_asked(t, path) for t in tiers))


def _asked(tier: Mapping[str, Any], path: str) -> bool:
    value: Any = tier
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value not in (None, False)


def _run(judged: Judged, facts: Facts, *, complete: bool) -> Run:
    run = judged.bundle.run
    return Run(
        id=run["id"],
        as_of=judged.as_of,
        started_at=_moment(run["started_at"]),
        finished_at=_moment(run["finished_at"]),
        tool_version=run["tool_version"],
        rules_digest=judged.book.digest,
        standard=judged.standard.ref,
        scope=run["scope"],
        identity=run["identity"] | reconcile.roles(run["identity"], facts),
        cloud=run["cloud"],
        arm_endpoint=run["arm_endpoint"],
        complete=complete,
        manifest_digest=judged.bundle.manifest_digest,
        self_test=judged.self_test,
        organisation=run.get("organisation") or "",
        classification=run.get("classification") or "",
        allowed_gaps=tuple(run.get("allow_incomplete") or ()),
        versions=run.get("versions") or {},
        command=run.get("command") or {},
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _statuses(judged: Judged, facts: Facts, rule: Rule) -> dict[Status, int]:
    found = dict(facts.con.execute(f"SELECT status, count(*) FROM {judged.parquet(rule.id)} GROUP BY 1").fetchall())
    return {status: int(found.get(status.value, 0)) for status in Status}


def _rule(book: Rulebook, rule: Rule, statuses: Mapping[Status, int]) -> RuleResult:
    file = rule.file
    return RuleResult(
        id=file.id,
        area=rule.area,
        title=file.title,
        severity=book.severities[file.id],
        resource_type=file.resource_type,
        rationale=file.rationale.strip(),
        remediation={kind: text.strip() for kind, text in file.remediation.items()},
        references=tuple(file.references),
        controls={framework: tuple(ids) for framework, ids in file.controls.items()},
        params=dict(book.params[file.id]),
        sql=file.sql,
        statuses=statuses,
    )


def _findings(judged: Judged, facts: Facts, answers: Mapping[str, dict[str, str]]) -> tuple[Finding, ...]:
    made: list[Finding] = []
    failing: dict[str, set[str]] = {}
    explained = {rule.id: rule.file.explained_by for rule in judged.book.rules}
    for rule in judged.book.rules:
        fresh = _findings_of(judged, facts, rule)
        failing[rule.id] = {f.resource_id for f in fresh if f.status in (Status.FAIL, Status.WAIVED)}
        made += fresh
    made.sort(key=lambda f: (_ORDER.index(f.status), f.severity.rank, f.rule, f.resource_id))
    return tuple(
        replace(
            finding,
            serial=f"E-{number:04d}",
            group=next((p for p in explained[finding.rule] if finding.resource_id in failing.get(p, ())), None)
            if finding.status in (Status.FAIL, Status.WAIVED)
            else None,
            response=None if finding.status is Status.NOT_APPLICABLE else answers.get(finding.fingerprint),
        )
        for number, finding in enumerate(made, start=1)
    )


def _findings_of(judged: Judged, facts: Facts, rule: Rule) -> list[Finding]:
    kind = rule.file.resource_type
    waivers = {waiver.id: waiver for waiver in judged.waivers}
    sla = judged.standard.file.sla_days
    today = judged.as_of.astimezone(UTC).date()
    rows = facts.con.execute(
        f"""
        SELECT f.resource_id, f.status, f.severity, f.reason, f.evidence, f.waiver_id, n.class, n.tier, n.owner,
               r.resource_name, r.resource_group, r.subscription_id, r.subscription_name,
               epoch(k.first_seen) AS first_seen, coalesce(t.severity_shift, 0) AS severity_shift, r.resource_type
        FROM {judged.parquet(rule.id)} f
        JOIN {kind} n ON n.resource_id = f.resource_id
        JOIN named r ON r.resource_no = n.resource_no
        LEFT JOIN tier t ON t.tier = n.tier
        LEFT JOIN known k ON k.kind = 'finding' AND k.key = {quote(rule.id)} || '/' || f.resource_id
        WHERE f.status <> 'pass'
        """
    ).fetchall()
    made = []
    for row in rows:
        status, severity = Status(row[1]), Severity(row[2])
        evidence = _evidence(json.loads(row[4]) if row[4] else {}, status, judged.as_of, row[14])
        first = datetime.fromtimestamp(row[13], UTC) if row[13] is not None else judged.as_of
        waiver = waivers.get(row[5]) if row[5] else None
        allowed = sla.get(severity.value) if status is Status.FAIL else None
        made.append(
            Finding(
                rule=rule.id,
                resource_id=row[0],
                resource_type=row[15],
                resource_name=_name(row[9], row[0]),
                resource_group=row[10] or "",
                subscription_id=row[11] or "",
                subscription_name=row[12] or "",
                status=status,
                severity=severity,
                reason_code=row[3] or "",
                reason=rule.sentence(row[3] or "", evidence, judged.language),
                evidence=evidence,
                tier=row[7],
                class_=row[6],
                owner=row[8],
                due=(first + timedelta(days=allowed)).date() if allowed is not None else None,
                group=None,
                serial="",
                waiver=_waiver(waiver, today) if waiver else None,
                response=None,
                baseline=None,
                fingerprint=fingerprint(rule.id, row[0]),
                first_seen=first,
            )
        )
    return made


def _passes(judged: Judged, facts: Facts) -> dict[str, tuple[Subject, ...]]:
    made: dict[str, tuple[Subject, ...]] = {}
    for kind in {rule.file.resource_type: None for rule in judged.book.rules}:
        subjects = _subjects(facts, kind)
        for rule in judged.book.rules:
            if rule.file.resource_type == kind:
                passing = f"SELECT resource_id FROM {judged.parquet(rule.id)} WHERE status = 'pass' ORDER BY 1"
                made[rule.id] = tuple(subjects[row[0]] for row in facts.con.execute(passing).fetchall())
    return made


def _subjects(facts: Facts, kind: str) -> dict[str, Subject]:
    rows = facts.con.execute(
        f"""
        SELECT n.resource_id, r.resource_type, r.resource_name, r.resource_group, r.subscription_id,
               r.subscription_name, n.tier, n.class, n.owner
        FROM {kind} n JOIN named r ON r.resource_no = n.resource_no
        """
    ).fetchall()
    return {
        row[0]: Subject(row[0], row[1], _name(row[2], row[0]), row[3] or "", row[4] or "", row[5] or "", *row[6:])
        for row in rows
    }


def _name(known: str | None, resource_id: str) -> str:
    return known or resource_id.rsplit("/", 1)[-1]


def _meant(responses: Sequence[Response], facts: Facts) -> list[tuple[Response, set[str]]]:
    """Give each response with the fingerprints that it speaks of, found or not."""
    meant = []
    for response in responses:
        marks = {response.fingerprint} if response.fingerprint else set()
        if response.match is not None and response.rule is not None:
            of_rule = f"SELECT resource_id FROM resource r WHERE {response.match.sql('r')}"
            marks = {fingerprint(response.rule, row["resource_id"]) for row in facts.rows(of_rule)}
        meant.append((response, marks))
    return meant


def _answers(meant: Sequence[tuple[Response, set[str]]]) -> dict[str, dict[str, str]]:
    """Give fingerprint -> management's answer; one to a finding beats one to many, the newer the older."""
    found: dict[str, dict[str, str]] = {}
    for response, marks in sorted(meant, key=lambda it: (it[0].fingerprint is not None, it[0].on)):
        said = {
            "action": response.action,
            "owner": response.owner,
            "due": response.due.isoformat(),
            "author": response.author,
            "on": response.on.isoformat(),
        }
        found |= dict.fromkeys(marks, said)
    return found


def _idle(meant: Sequence[tuple[Response, set[str]]], findings: Sequence[Finding]) -> tuple[IdleResponse, ...]:
    """Give the responses that speak of no finding: what they answered is gone, or was never there."""
    told = {finding.fingerprint for finding in findings if finding.status is not Status.NOT_APPLICABLE}
    return tuple(
        IdleResponse(
            about=f"{it.rule}, {it.match.words()}" if it.match else str(it.fingerprint),
            action=it.action,
            owner=it.owner,
            due=it.due,
            author=it.author,
        )
        for it, marks in meant
        if not marks & told
    )


def _evidence(values: dict[str, Any], status: Status, as_of: datetime, shift: int) -> dict[str, Any]:
    """Make the SQL's columns readable: parts as a list, shifted like the row; hours to maturity as a moment."""
    ripens = values.pop(MATURES, None)
    if status is Status.NOT_YET_DUE and ripens is not None:
        moment = (as_of + timedelta(hours=float(ripens))).astimezone(UTC).replace(microsecond=0)
        values["matures_at"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    parts = values.get("parts")
    if isinstance(parts, str):
        pairs = (part.partition(":") for part in parts.split(", ") if part)
        values["parts"] = [{"code": code, "severity": Severity(word).shifted(shift).value} for code, _, word in pairs]
    return values


def _waiver(waiver: Waiver, today: Any) -> dict[str, Any]:
    return {
        "id": waiver.id,
        "reason": waiver.reason,
        "compensating_control": waiver.compensating_control,
        "requester": waiver.requester,
        "approver": waiver.approver,
        "approved_on": waiver.approved_on.isoformat(),
        "expires_on": waiver.expires_on.isoformat(),
        "ticket": waiver.ticket,
        "expired": waiver.expires_on <= today,
    }


def _population(book: Rulebook, facts: Facts) -> tuple[Population, ...]:
    left_out = dict(
        facts.con.execute(
            "SELECT excluded_code, count(*) FROM vm WHERE excluded_code IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
    )
    total = facts.population("vm")
    made = [Population("vm", total, total - sum(left_out.values()), left_out)]
    products = dict(
        facts.con.execute(
            "SELECT 'made_by_product', count(*) FROM snapshot "
            "WHERE provenance NOT IN ('user', 'unknown') HAVING count(*) > 0"
        ).fetchall()
    )
    snapshots = facts.population("snapshot")
    made.append(Population("snapshot", snapshots, snapshots - sum(products.values()), products))
    others = sorted({rule.file.resource_type for rule in book.rules} - {"vm", "snapshot"})
    made += [Population(kind, total, total, {}) for kind in others for total in [facts.population(kind)]]
    return tuple(made)


def _machines(judged: Judged, facts: Facts) -> tuple[Machine, ...]:
    columns, joins, rules = judged.beside("vm")
    rows = facts.rows(
        f"""
        WITH found AS (SELECT DISTINCT item_no, slot_no FROM recovery_point),
             total AS (
                 SELECT e.vm_no, count(*) AS expected, count(*) FILTER (f.slot_no IS NULL) AS missing
                 FROM expected_day e LEFT JOIN found f ON f.item_no = e.item_no AND f.slot_no = e.slot_no GROUP BY 1
             ),
             -- Without a policy, days are UTC's; in a zone that is not known there are none.
             dated AS (
                 SELECT vm_no, item_no, coalesce(today_no, CASE WHEN policy_id IS NULL THEN utc_no END) - 1 AS last_no
                 FROM protection CROSS JOIN (SELECT floor(epoch(as_of) / 86400)::INTEGER AS utc_no FROM setting)
                 WHERE recovery_point_complete AND item_no IS NOT NULL
             ),
             found_bits AS (
                 SELECT vm_no, bit_or(1::HUGEINT << last_no - slot_no) AS bits
                 FROM dated JOIN found USING (item_no)
                 WHERE slot_no BETWEEN last_no - {CALENDAR_DAYS - 1} AND last_no GROUP BY 1
             ),
             promised_bits AS (
                 SELECT vm_no, bit_or(1::HUGEINT << last_no - slot_no) AS bits
                 FROM dated JOIN expected_day USING (vm_no)
                 WHERE slot_no BETWEEN last_no - {CALENDAR_DAYS - 1} AND last_no GROUP BY 1
             )
        SELECT n.resource_id, n.resource_name AS name, n.resource_group, n.subscription_id, r.subscription_name,
               n.location, n.class AS class_, n.tier, n.owner, n.excluded_code,
               coalesce(p.fallback, p.state) AS protection, p.item_id,
               p.vault_name, p.policy_name, p.newest_point_age_hours, p.newest_vaulted_point_age_hours,
               p.oldest_point_age_hours, p.point_count,
               [n.daily_keep_days, n.weekly_keep_days, n.monthly_keep_days, n.yearly_keep_days] AS demanded,
               [p.policy_daily_days, p.policy_weekly_days, p.policy_monthly_days, p.policy_yearly_days] AS promised,
               t.expected AS expected_points, t.missing AS missing_points,
               d.last_no, coalesce(b.bits, 0) AS promised_bits, coalesce(f.bits, 0) AS found_bits,
               [{columns}]::VARCHAR[] AS verdicts
        FROM vm n
        JOIN named r ON r.resource_no = n.resource_no
        LEFT JOIN protection p ON p.vm_no = n.resource_no
        LEFT JOIN total t ON t.vm_no = n.resource_no AND p.recovery_point_complete
        LEFT JOIN dated d ON d.vm_no = n.resource_no
        LEFT JOIN promised_bits b ON b.vm_no = n.resource_no
        LEFT JOIN found_bits f ON f.vm_no = n.resource_no
        {joins}
        ORDER BY n.resource_id
        """
    )
    names = ("daily", "weekly", "monthly", "yearly")
    return tuple(
        Machine(
            demanded_days=dict(zip(names, row.pop("demanded"), strict=True)),
            promised_days=dict(zip(names, row.pop("promised"), strict=True)),
            statuses=judged.by_rule(rules, row.pop("verdicts")),
            calendar=_calendar(row.pop("last_no"), row.pop("promised_bits"), row.pop("found_bits")),
            **row,
        )
        for row in rows
    )


def _calendar(last_no: int | None, promised: int, found: int) -> Calendar | None:
    return None if last_no is None else Calendar(_EPOCH + timedelta(days=last_no), promised, found)


def _snapshots(judged: Judged, facts: Facts) -> tuple[SnapshotRecord, ...]:
    columns, joins, rules = judged.beside("snapshot")
    rows = facts.rows(
        f"""
        SELECT n.resource_id, n.resource_name AS name, n.resource_group, n.subscription_id, r.subscription_name,
               n.age_hours, n.size_gib, n.sku, n.incremental, n.provenance, n.source_id AS source_disk_id, n.owner,
               n.size_gib * n.price_gib_month AS month_cost, [{columns}]::VARCHAR[] AS verdicts
        FROM snapshot n JOIN named r ON r.resource_no = n.resource_no {joins}
        ORDER BY n.resource_id
        """
    )
    return tuple(SnapshotRecord(statuses=judged.by_rule(rules, row.pop("verdicts")), **row) for row in rows)


def _tiers(standard: Standard, facts: Facts) -> tuple[TierDemand, ...]:
    counts = dict(facts.con.execute("SELECT tier, count(*) FROM vm WHERE excluded_code IS NULL GROUP BY 1").fetchall())

    def demand(name: str, tier: Tier) -> TierDemand:
        kept = tier.backup
        return TierDemand(
            name=name,
            rpo_hours=hours(tier.rpo) if tier.rpo else None,
            vault_rpo_hours=hours(tier.vault_rpo) if tier.vault_rpo else None,
            daily_keep_days=days(kept.daily.keep) if kept and kept.daily.keep else None,
            weekly_keep_days=days(kept.weekly.keep) if kept and kept.weekly.keep else None,
            monthly_keep_days=days(kept.monthly.keep) if kept and kept.monthly.keep else None,
            yearly_keep_days=days(kept.yearly.keep) if kept and kept.yearly.keep else None,
            snapshot_daily_keep_days=days(tier.snapshot.daily_keep)
            if tier.snapshot and tier.snapshot.daily_keep
            else None,
            justification=tier.justification,
            vm_count=int(counts.get(name, 0)),
        )

    return tuple(demand(name, tier) for name, tier in standard.tiers.items())
