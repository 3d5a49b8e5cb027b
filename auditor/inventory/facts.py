"""The facts of one run as rules see them: opens the inventory's tables and lays the views over them."""

from __future__ import annotations

import functools
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.inventory import catalogue, store
from auditor.inventory.catalogue import described, statements
from auditor.inventory.database import connect
from auditor.model import NOT_ASKED
from auditor.standard.durations import days, hours
from auditor.standard.evidence import NO_EVIDENCE, UNCLASSIFIED
from auditor.standard.schema import (
    Alerts,
    Backup,
    Cmk,
    MultiUser,
    RestoreTest,
    Runbooks,
    SnapshotTier,
    SoftDelete,
    VaultTier,
)
from auditor.standard.selector import Match, carried, quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    import duckdb

    from auditor.inventory.catalogue import Column, Description
    from auditor.model import Coverage, Gap
    from auditor.standard import Standard, Waiver
    from auditor.standard.evidence import Evidence
    from auditor.standard.schema import Tier

_HERE = Path(__file__).parent
_VIEWS = ("machines", "snapshots", "protection", "operational", "vaults", "governance", "readiness", "cost")
"""Files of `views/`, in the order they build on each other."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the tables themselves do not say: when, judged by what, read how far, known since when."""

    as_of: datetime
    standard: Standard
    coverage: Sequence[Coverage] = ()
    gaps: Sequence[Gap] = ()
    second: Sequence[Coverage] = ()
    """How far the second sources were read."""
    sampled: Sequence[str] | None = None
    """Lower-cased ids of the items whose points were read, where only a sample was."""
    history: Path | None = None
    """history.parquet of the bundle; None on a first run."""
    waivers: Sequence[Waiver] = ()
    """They are judged too: a waiver without an end is a finding."""
    evidence: Evidence = NO_EVIDENCE
    """Restore tests and runbooks, as they were declared."""


class Facts:
    """An open inventory. Use as a context manager.

    `Facts.open` serves a bundle; `Facts.empty` has the same tables without rows, for the tests of rules.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, scratch: tempfile.TemporaryDirectory[str] | None) -> None:
        """Take over a connection on which the views stand, and the folder it may spill into, if any."""
        self.con = con
        self._scratch = scratch

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection and remove what it spilled."""
        self.con.close()
        if self._scratch:
            self._scratch.cleanup()

    @classmethod
    def open(cls, folder: Path, given: Circumstances, *, only: Collection[str] | None = None) -> Facts:
        """Open the tables in `folder` (`<table>.parquet`) and build the views.

        Args:
            folder: of the typed tables.
            given: what the tables do not say.
            only: views to build, with what they rest on; then nothing is spilled. All by default.
        """
        scratch = tempfile.TemporaryDirectory(prefix="auditor-") if only is None else None
        con = connect(spill=Path(scratch.name) if scratch else None)
        con.execute("CREATE SCHEMA raw")
        for table in catalogue.tables():
            path = folder / f"{table.name}.parquet"
            rows = f"SELECT * FROM read_parquet({quote(str(path))}, hive_partitioning = false)"
            con.execute(f"CREATE VIEW raw.{table.name} AS {rows}")
        _lay(con, given, only)
        return cls(con, scratch)

    @classmethod
    def empty(cls, standard: Standard) -> Facts:
        """Build all tables without rows."""
        con = connect()
        con.execute("CREATE SCHEMA raw")
        con.execute("SET schema = 'raw'")
        store.lay_empty(con)
        con.execute("SET schema = 'main'")
        _lay(con, Circumstances(datetime(2026, 1, 1, tzinfo=UTC), standard))
        # What is a view in a bundle must here take rows; and some tables have rows already, such as the classes.
        views = {name for (name,) in con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
        for name in tables():
            if name in views:
                con.execute(f"CREATE TABLE filled_{name} AS SELECT * FROM {name} LIMIT 0")
            else:
                con.execute(f"DELETE FROM {name}")
        for name in views & tables().keys():
            con.execute(f"DROP VIEW {name}")
            con.execute(f"ALTER TABLE filled_{name} RENAME TO {name}")
        return cls(con, None)

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a query; give its rows as dicts. Moments must be cast to text by the query."""
        done = self.con.execute(sql, params) if params else self.con.execute(sql)
        names = [column[0] for column in done.description or ()]
        return [dict(zip(names, row, strict=True)) for row in done.fetchall()]

    def population(self, resource_type: str) -> int:
        """Count the resources of a kind."""
        found = self.con.execute(f"SELECT count(*) FROM {resource_type}").fetchone()
        return int(found[0]) if found else 0


def lay_keys(con: duckdb.DuckDBPyConnection) -> None:
    """Create the macros that make the keys of history.parquet."""
    con.execute(_sql("keys"))


def views(standard: Standard) -> tuple[str, ...]:
    """Give the SQL that makes what rules read out of `raw`, in order."""
    return _sql("resources"), _sql("tags"), _classified(standard), _views()


@functools.cache
def described_tables() -> Mapping[str, Description]:
    """Give the tables that rules may read, documented, by name."""
    return described(_views())


def tables() -> dict[str, tuple[Column, ...]]:
    """Give the tables that rules may read, with their documented columns."""
    return {name: table.columns for name, table in described_tables().items()}


def still_read(names: Iterable[str]) -> set[str]:
    """Give the tables of the inventory that are read anew whenever these are read, since they are or rest on views."""
    made = {}
    for step in statements(_sql("resources") + "\n" + _views()):
        found = _MADE.search(step)
        if found:
            made[found["name"]] = step if found["kind"] == "VIEW" else ""
    wanted, behind = list(names), ""
    for name in wanted:
        step = made.pop(name, "")
        behind += step
        wanted += _READ.findall(step)
    return set(re.findall(r"\braw\.(\w+)", behind))


def _sql(name: str) -> str:
    return (_HERE / f"{name}.sql").read_text(encoding="utf-8")


def _views() -> str:
    return "\n".join(_sql(f"views/{name}") for name in _VIEWS)


_MADE = re.compile(r"^\s*CREATE (?P<kind>TABLE|VIEW) (?P<name>\w+)", re.MULTILINE)
_READ = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)\b(?!\.)")


def _steps(standard: Standard, only: Collection[str] | None) -> Iterator[str]:
    """Give the statements that build the views, in order; with `only` those that these tables rest on."""
    steps = [_sql("tags"), _classified(standard), *statements(_views())]
    wanted = None if only is None else set(only)
    chosen = []
    for step in reversed(steps):
        made = _MADE.search(step)
        if wanted is None or (made and made["name"] in wanted):
            chosen.append(step)
            if wanted is not None:
                wanted.update(_READ.findall(step))
    return reversed(chosen)


def _lay(con: duckdb.DuckDBPyConnection, given: Circumstances, only: Collection[str] | None = None) -> None:
    """Build the views over `raw`: all of them, or these with what they rest on."""
    _inputs(con, given)
    lay_keys(con)
    con.execute(_sql("resources"))
    for step in _steps(given.standard, only):
        con.execute(step)


def _inputs(con: duckdb.DuckDBPyConnection, given: Circumstances) -> None:
    file = given.standard.file
    settings: dict[str, tuple[str, Any]] = {
        "as_of": ("TIMESTAMPTZ", given.as_of.isoformat()),
        "points_read": ("BOOLEAN", not any(row.reason == NOT_ASKED for row in given.coverage)),
        "points_sampled": ("BOOLEAN", given.sampled is not None),
        "accept_sampling": ("BOOLEAN", file.population.accept_sampling),
        "change_tag": ("VARCHAR", file.population.accept_change_tag and file.population.accept_change_tag.casefold()),
        "clock_wrong": ("BOOLEAN", any(row.table == "clock" for row in given.coverage)),
        "deallocated_exclude_hours": ("DOUBLE", _lasting(file.population.deallocated_exclude_after)),
        "accept_disk_backup": ("BOOLEAN", file.population.accept_disk_backup),
        "exclude_disk_tag": ("VARCHAR", file.population.exclude_disk_tag.casefold()),
        "class_keys": ("VARCHAR[]", sorted({key.casefold() for rule in file.classes for key in rule.match.tag_keys()})),
        "class_pairs": (
            "VARCHAR[]",
            sorted({pair for rule in file.classes for pair in rule.match.tag_pairs()}),
        ),
        "inherit_resource_group_tags": ("BOOLEAN", file.population.inherit_resource_group_tags),
        "exclude_managed": ("BOOLEAN", file.population.managed_resource_groups == "exclude"),
        "exclude_publishers": ("VARCHAR[]", [name.casefold() for name in file.population.exclude_publishers]),
        "exclude_spot": ("BOOLEAN", file.population.exclude_spot),
        "scale_set_flexible": ("BOOLEAN", file.population.scale_set_flexible),
        "owner_tags": ("VARCHAR[]", [tag.casefold() for tag in file.owner_tags]),
        "rpo_tolerance_hours": ("DOUBLE", hours(file.timing.rpo_tolerance)),
        "retention_tolerance_pct": ("DOUBLE", file.timing.retention_tolerance_pct),
        "new_vm_grace_hours": ("DOUBLE", hours(file.timing.new_vm_grace)),
        "initial_backup_grace_hours": ("DOUBLE", hours(file.timing.initial_backup_grace)),
        "expiry_tags": ("VARCHAR[]", [tag.casefold() for tag in file.snapshots.expiry_tags]),
        "hold_tag": ("VARCHAR", file.snapshots.hold_tag),
        "stale_after_hours": ("DOUBLE", hours(file.snapshots.stale_after)),
        "snapshot_grace_hours": ("DOUBLE", hours(file.snapshots.grace)),
        "band_medium_hours": ("DOUBLE", hours(file.snapshots.bands[1])),
        "band_high_hours": ("DOUBLE", hours(file.snapshots.bands[2])),
        "max_expiry_hours": ("DOUBLE", hours(file.snapshots.max_expiry)),
        "required_tags": ("VARCHAR[]", [tag.casefold() for tag in file.snapshots.required_tags]),
        "per_disk_warn": ("INTEGER", file.snapshots.per_disk.warn),
        "per_disk_bad": ("INTEGER", file.snapshots.per_disk.bad),
        "per_disk_guard": ("INTEGER", file.snapshots.per_disk.limit_guard),
        "require_incremental": ("BOOLEAN", file.snapshots.require_incremental),
        "allow_premium_hours": ("DOUBLE", _lasting(file.snapshots.allow_premium)),
        "snapshot_network_policy": ("VARCHAR", file.snapshots.network.policy),
        "snapshot_public_access": ("VARCHAR", file.snapshots.network.public_access),
        "sas_max_hours": ("DOUBLE", hours(file.snapshots.network.sas_max)),
        "period_days": ("DOUBLE", days(file.timing.period)),
        "min_history_coverage_pct": ("DOUBLE", file.timing.min_history_coverage_pct),
        "required_definitions": ("VARCHAR[]", [name.casefold() for name in file.azure_policy.require_definitions]),
        "accepted_definitions": ("VARCHAR[]", [name.casefold() for name in file.azure_policy.accept_any_of]),
        "max_policy_state_hours": ("DOUBLE", hours(file.azure_policy.max_state_age)),
        "waiver_max_days": ("DOUBLE", days(file.waivers.max)),
        "min_month": ("DOUBLE", file.cost.min_month),
        "currency": ("VARCHAR", file.cost.currency),
        "limits_as_of": ("VARCHAR", file.limits_as_of and file.limits_as_of.isoformat()),
        "third_party": (
            "STRUCT(product VARCHAR, name_prefix VARCHAR, tag_prefix VARCHAR, mark VARCHAR)[]",
            [
                {
                    "product": name,
                    "name_prefix": marks.name_prefix and marks.name_prefix.casefold(),
                    "tag_prefix": marks.tag_prefix and marks.tag_prefix.casefold(),
                    "mark": marks.name_prefix or marks.tag_prefix,
                }
                for name, marks in sorted(file.snapshots.third_party.items())
            ],
        ),
    }
    wanted = ", ".join(f"${name}::{kind} AS {name}" for name, (kind, _) in settings.items())
    con.execute(f"CREATE TABLE setting AS SELECT {wanted}", {name: value for name, (_, value) in settings.items()})
    tiers = [_tier(name, tier) for name, tier in given.standard.tiers.items()]
    form = ", ".join(f"{name} {kind}" for name, (kind, _) in tiers[0].items())
    _fill(con, "tier", form, [[value for _, value in tier.values()] for tier in tiers])
    covered = [(row.table, row.subscription_id, row.state.whole) for row in given.coverage]
    _fill(con, "covered", "table_name VARCHAR, subscription_id VARCHAR, whole BOOLEAN", covered)
    # Evidence of an older version may lack whole tables: what was never asked for proves nothing by being absent.
    asked = {row.table for row in given.coverage}
    never = [table.name for table in catalogue.tables() if asked and table.name not in asked]
    _fill(con, "never_asked", "table_name VARCHAR", [(name,) for name in never])
    gaps = [(gap.table, gap.resource_id) for gap in given.gaps]
    _fill(con, "gap", "table_name VARCHAR, resource_id VARCHAR", gaps)
    confirmed = [(row.table, row.subscription_id) for row in given.second if row.state.whole]
    _fill(con, "confirmed", "table_name VARCHAR, subscription_id VARCHAR", confirmed)
    prices = [(sku.casefold(), price) for sku, price in file.cost.snapshot_gib_month.items()]
    _fill(con, "price", "sku VARCHAR, gib_month DOUBLE", prices)
    classes = [(rule.name, rule.tier, rule.owner) for rule in file.classes] + [(UNCLASSIFIED, file.default_tier, None)]
    numbers = iter(numbered(given.standard, given.waivers))
    _fill(con, "declared_class", _CLASS_COLUMNS, [(next(numbers)[0], *row) for row in classes])
    _fill(con, "declared_waiver", _WAIVER_COLUMNS, [(next(numbers)[0], *_waiver(waiver)) for waiver in given.waivers])
    _declare(con, given.evidence)
    _fill(con, "sampled", "resource_id VARCHAR", [(item_id,) for item_id in given.sampled or ()])
    columns_ = "kind VARCHAR, key VARCHAR, first_seen TIMESTAMPTZ, last_seen TIMESTAMPTZ, value VARCHAR"
    _fill(con, "known", columns_, [])
    if given.history is not None and given.history.exists():
        # Bundles of older versions know less.
        con.execute(
            f"INSERT INTO known BY NAME "
            f"SELECT kind, key, first_seen, * EXCLUDE (kind, key, first_seen) "
            f"FROM read_parquet({quote(str(given.history))}, hive_partitioning = false)"
        )


def _declare(con: duckdb.DuckDBPyConnection, evidence: Evidence) -> None:
    """Lay out the restore tests with their VMs, and the runbooks with what each is for."""
    tests = [
        (
            n, it.id, it.class_, it.type, it.started_at.isoformat(), it.minutes, it.passed, it.validated,
            it.target.isolated_network, it.job_id and it.job_id.casefold(), it.performed_by, it.reviewed_by,
            it.started_at.astimezone(UTC).date().isoformat(),
        )
        for n, it in enumerate(evidence.tests)
    ]  # fmt: skip
    _fill(con, "declared_test", _TEST_COLUMNS, tests)
    vms = [(n, vm.id, *map(_folded, (vm.name, vm.resource_group, vm.subscription)))
           for n, it in enumerate(evidence.tests) for vm in it.tested]  # fmt: skip
    _fill(con, "tested_vm", "test_no INTEGER, id VARCHAR, name VARCHAR, resource_group VARCHAR, place VARCHAR", vms)
    runbooks = [
        (it.title, class_, tier, scenario, it.url, it.sha256, it.reviewed_on, it.owner)
        for it in evidence.runbooks
        for class_, tier in [*((name, None) for name in it.class_ or ()), *((None, name) for name in it.tier or ())]
        for scenario in it.scenarios
    ]
    _fill(con, "declared_runbook", _RUNBOOK_COLUMNS, runbooks)


def _folded(text: str | None) -> str | None:
    return text and text.casefold()


def _fill(con: duckdb.DuckDBPyConnection, table: str, form: str, rows: Iterable[Sequence[Any]]) -> None:
    con.execute(f"CREATE TABLE {table} ({form})")
    for row in rows:
        con.execute(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in row)})", list(row))


def numbered(standard: Standard, waivers: Sequence[Waiver]) -> list[tuple[int, str]]:
    """Give the subjects that Azure knows nothing of, classes and then waivers, with a number below zero and a name."""
    names = [*(rule.name for rule in standard.file.classes), UNCLASSIFIED, *(waiver.id for waiver in waivers)]
    return [(-1 - number, name) for number, name in enumerate(names)]


_CLASS_COLUMNS = "resource_no INTEGER, name VARCHAR, tier VARCHAR, owner VARCHAR"
_WAIVER_COLUMNS = (
    "resource_no INTEGER, waiver_id VARCHAR, rule VARCHAR, reason VARCHAR, compensating_control VARCHAR, "
    "requester VARCHAR, approver VARCHAR, ticket VARCHAR, approved_on DATE, expires_on DATE"
)
_TEST_COLUMNS = (
    "test_no INTEGER, test_id VARCHAR, class VARCHAR, type VARCHAR, started_at TIMESTAMPTZ, minutes DOUBLE, "
    "passed BOOLEAN, validated BOOLEAN, isolated BOOLEAN, job_id VARCHAR, performed_by VARCHAR, reviewed_by VARCHAR, "
    "tested_on VARCHAR"
)
_RUNBOOK_COLUMNS = (
    "title VARCHAR, class VARCHAR, tier VARCHAR, scenario VARCHAR, url VARCHAR, sha256 VARCHAR, reviewed_on DATE, "
    "owner VARCHAR"
)


def _kept(text: str | None) -> float | None:
    return None if text is None else days(text)


def _lasting(text: str | None) -> float | None:
    return None if text is None else hours(text)


def _waiver(waiver: Waiver) -> tuple[Any, ...]:
    return (
        waiver.id, waiver.rule, waiver.reason, waiver.compensating_control, waiver.requester, waiver.approver,
        waiver.ticket, waiver.approved_on, waiver.expires_on,
    )  # fmt: skip


def _tier(name: str, tier: Tier) -> dict[str, tuple[str, Any]]:
    """Give the demands of a tier, as numbers, by column with its type; null = not demanded."""
    backup = tier.backup or Backup(max_missing_pct=0, require_all_disks=False)
    snapshot = tier.snapshot or SnapshotTier()
    vault = tier.vault or VaultTier()
    redundancy = vault.redundancy.accept if vault.redundancy else None
    soft_delete, immutability = vault.soft_delete or SoftDelete(), vault.immutability
    guard, key, alerts = vault.mua or MultiUser(), vault.cmk or Cmk(), vault.alerts or Alerts()
    proof, runbooks = tier.restore_test or RestoreTest(), tier.runbooks or Runbooks()
    return {
        "tier": ("VARCHAR", name),
        "severity_shift": ("INTEGER", tier.severity_shift),
        "backup_required": ("BOOLEAN", tier.backup is not None),
        "rpo_hours": ("DOUBLE", _lasting(tier.rpo)),
        "vault_rpo_hours": ("DOUBLE", _lasting(tier.vault_rpo)),
        "rto_hours": ("DOUBLE", _lasting(tier.rto)),
        "success_pct": ("DOUBLE", tier.success_pct),
        "every_hours": ("DOUBLE", _lasting(backup.every)),
        "daily_keep_days": ("DOUBLE", _kept(backup.daily.keep)),
        "weekly_keep_days": ("DOUBLE", _kept(backup.weekly.keep)),
        "monthly_keep_days": ("DOUBLE", _kept(backup.monthly.keep)),
        "yearly_keep_days": ("DOUBLE", _kept(backup.yearly.keep)),
        "daily_max_days": ("DOUBLE", _kept(backup.daily.max)),
        "weekly_max_days": ("DOUBLE", _kept(backup.weekly.max)),
        "monthly_max_days": ("DOUBLE", _kept(backup.monthly.max)),
        "yearly_max_days": ("DOUBLE", _kept(backup.yearly.max)),
        "weekly_compliance": ("BOOLEAN", backup.weekly.compliance),
        "archive_after_days": ("DOUBLE", _kept(backup.archive_after)),
        "max_missing_pct": ("DOUBLE", backup.max_missing_pct),
        "max_gap_days": ("DOUBLE", days(backup.max_gap)),
        "require_all_disks": ("BOOLEAN", backup.require_all_disks),
        "app_consistent": ("BOOLEAN", backup.app_consistent),
        "snapshot_daily_keep_days": ("DOUBLE", _kept(snapshot.daily_keep)),
        "snapshot_accept": ("VARCHAR[]", snapshot.accept),
        "snapshot_max_missing": ("INTEGER", snapshot.max_missing),
        "redundancy_accept": ("VARCHAR[]", redundancy),
        "cross_region_restore": ("BOOLEAN", vault.cross_region_restore),
        "soft_delete_keep_days": ("DOUBLE", _kept(soft_delete.keep)),
        "soft_delete_always_on": ("BOOLEAN", soft_delete.always_on),
        "immutability": ("VARCHAR", immutability and immutability.state),
        "immutability_keep_days": ("DOUBLE", _kept(immutability.time_based_keep) if immutability else None),
        "mua_required": ("BOOLEAN", guard.required),
        "mua_guard_elsewhere": ("BOOLEAN", guard.guard_other_subscription),
        "private_endpoint": ("BOOLEAN", vault.private_endpoint),
        "cmk_required": ("BOOLEAN", key.required),
        "cmk_double": ("BOOLEAN", key.double),
        "alert_job_failures": ("BOOLEAN", alerts.job_failures),
        "alert_routed": ("BOOLEAN", alerts.routed),
        "alert_diagnostics": ("BOOLEAN", alerts.diagnostics),
        "log_keep_days": ("DOUBLE", _kept(alerts.log_keep)),
        "test_cadence_days": ("DOUBLE", _kept(proof.cadence)),
        "test_sample_pct": ("DOUBLE", proof.sample_pct),
        "test_sample_min": ("INTEGER", proof.sample_min),
        "test_types": ("VARCHAR[]", proof.types),
        "test_isolated": ("BOOLEAN", proof.isolated_target),
        "test_cross_region_days": ("DOUBLE", _kept(proof.cross_region_cadence)),
        "runbook_max_age_days": ("DOUBLE", _kept(runbooks.max_age)),
        "runbook_scenarios": ("VARCHAR[]", runbooks.scenarios),
    }


def _classified(standard: Standard) -> str:
    """Give the SQL that puts each resource into its class: highest precedence wins, a tie is a conflict."""
    levels: dict[int, list[str]] = {}
    for rule in standard.classes:
        levels.setdefault(rule.precedence, []).append(rule.name)
    by_name = {rule.name: rule for rule in standard.classes}
    asked: dict[str, str] = {}  # of a set of tags, by the column that answers

    def carries(pairs: list[str]) -> str:
        return f"r.{asked.setdefault(carried('p.tag_pairs', pairs), f't{len(asked)}')}"

    flags = [f"{rule.match.sql('r', carries)} AS c{number}" for number, rule in enumerate(standard.classes)]
    position = {rule.name: number for number, rule in enumerate(standard.classes)}
    class_, conflict = [], []
    for names in levels.values():
        hits = " + ".join(f"m.c{position[name]}::INTEGER" for name in names)
        if len(names) > 1:
            class_.append(f"WHEN {hits} > 1 THEN NULL")
            conflict.append(f"WHEN {hits} > 1 THEN true")
        class_ += [f"WHEN m.c{position[name]} THEN {quote(name)}" for name in names]
        conflict.append(f"WHEN {hits} > 0 THEN false")
    chosen = f"CASE {' '.join(class_)} END" if class_ else "NULL::VARCHAR"
    tied = f"CASE {' '.join(conflict)} ELSE false END" if conflict else "false"
    rows = ", ".join(
        f"({quote(rule.name)}, {quote(rule.tier)}, {quote(rule.owner) if rule.owner else 'NULL'})"
        for rule in by_name.values()
    )
    classes = f"(VALUES {rows})" if rows else "(SELECT NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR)"
    products = " ".join(
        f"WHEN {Match(tag=it.tags).sql('r', carries)} THEN {quote(f'{it.product}: {it.evidence}')}"
        for it in standard.file.population.accept_third_party
    )
    product = f"CASE {products} END" if products else "NULL::VARCHAR"
    answers = "".join(f", {condition} AS {column}" for condition, column in asked.items())
    return f"""
        CREATE TABLE classified AS
        WITH p AS (SELECT x.*, pairs(x.tag_entries) AS tag_pairs FROM tag_set x),
             x AS (SELECT p.set_no, p.tag_text, p.owner, p.strange_tag{answers} FROM p),
             r AS (
                 SELECT r.resource_no, r.resource_id, r.resource_group, r.subscription_id, r.subscription_name,
                        r.management_groups, x.*
                 FROM resource r JOIN x ON x.tag_text = tag_text(r.tags, r.inherited_tags)
                 WHERE r.resource_type IN ('vm', 'disk', 'snapshot', 'vault')
             ),
             m AS (SELECT r.resource_no, r.set_no, r.owner, r.strange_tag{"".join(f", {flag}" for flag in flags)},
                          {product} AS product FROM r),
             put AS (SELECT m.resource_no, m.set_no, {chosen} AS class, {tied} AS conflict, m.owner, m.product,
                            m.strange_tag FROM m)
        SELECT p.resource_no, p.class, coalesce(k.tier, {quote(standard.file.default_tier)}) AS tier, p.conflict,
               coalesce(p.owner, k.owner) AS owner, p.product, p.strange_tag, p.set_no
        FROM put p LEFT JOIN {classes} AS k(name, tier, owner) ON k.name = p.class
    """
