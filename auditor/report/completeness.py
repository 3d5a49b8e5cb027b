"""What was read and what was not: control totals, gaps, and the scope, as an external auditor asks for them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.model import CoverageState, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditor.model import Coverage, Gap, Reconciliation, Results, Subscription


@dataclass(frozen=True, slots=True)
class TableTotal:
    """One table over all subscriptions."""

    table: str
    places: int
    """Coverage rows: subscriptions, or the tenant."""
    whole: int
    """Of these, read completely (or reused)."""
    expected: int | None
    """None where Azure gives no count for one of them."""
    received: int
    asked: bool = False
    """True: what is counted are the resources asked about, not the rows that came."""

    @property
    def difference(self) -> int | None:
        """Rows that should be there and are not."""
        return None if self.expected is None else self.expected - self.received


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """How many resources of a kind are listed, with a digest of their sorted ids."""

    resource_type: str
    count: int
    digest: str
    """SHA-256 over the lower-cased ids, sorted, one a line."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """Everything section "completeness and accuracy" says."""

    complete: bool
    """No coverage gap; unknown verdicts are counted beside."""
    unknown: int
    verdicts: int
    tables: tuple[TableTotal, ...]
    unread: tuple[Coverage, ...]
    """Coverage rows that are not whole."""
    reused: tuple[Coverage, ...]
    gaps: tuple[Gap, ...]
    subscriptions: tuple[Subscription, ...]
    tenants: tuple[tuple[str, int], ...]
    """Tenants with the number of their visible subscriptions, where there are several; else empty."""
    read: int
    """Subscriptions audited."""
    readable_wanted: int
    """Subscriptions that should have been: audited and unreadable."""
    controls: tuple[ControlTotal, ...]
    reconciliations: tuple[Reconciliation, ...]
    """Sources held against each other, where there are two."""
    clock_offset_seconds: float | None
    uniform_scale_sets: tuple[int, int]
    """Sets, and the machines they are to have."""
    evidence: tuple[tuple[str, int], ...]
    """Kinds that no rule judges, read as evidence for those it judges, with the rows received."""
    points: int | None
    """Recovery points received; coverage counts the items that they belong to. None where they were not asked for."""
    unplaced: tuple[tuple[str, int], ...]
    """Tables whose rows belong to no subscription, which coverage therefore does not count, with their rows."""
    self_test_passed: int
    self_test_failed: int

    @property
    def all_unknown(self) -> bool:
        """True where nothing at all could be judged."""
        return self.verdicts > 0 and self.unknown == self.verdicts


def completeness(results: Results) -> Completeness:
    """Count what was received, against what there should be."""
    coverage = sorted(results.coverage, key=lambda row: (row.table, row.subscription_id))
    by_table: dict[str, list[Coverage]] = {}
    for row in coverage:
        by_table.setdefault(row.table, []).append(row)
    counted = [rule.statuses for rule in results.rules]
    subscriptions = tuple(sorted(results.subscriptions, key=lambda it: (it.name.casefold(), it.subscription_id)))
    audited = [it for it in subscriptions if it.reading == "audited"]
    tenants = Counter(it.tenant_id for it in subscriptions if it.tenant_id)
    tables = tuple(_total(table, rows, results.asked_tables) for table, rows in by_table.items())
    points = _rows(results, "recovery_point", "GET")
    return Completeness(
        complete=results.run.complete,
        unknown=sum(statuses.get(Status.UNKNOWN, 0) for statuses in counted),
        verdicts=sum(
            count for statuses in counted for status, count in statuses.items() if status is not Status.NOT_APPLICABLE
        ),
        tables=tables,
        unread=tuple(row for row in coverage if not row.state.whole),
        reused=tuple(row for row in coverage if row.state is CoverageState.REUSED),
        gaps=tuple(sorted(results.gaps, key=lambda gap: (gap.table, gap.resource_id))),
        subscriptions=subscriptions,
        tenants=tuple(sorted(tenants.items())) if len(tenants) > 1 else (),
        read=len(audited),
        readable_wanted=len(audited) + sum(1 for it in subscriptions if it.reading == "unreadable"),
        controls=(
            _control("vm", (machine.resource_id for machine in results.machines)),
            _control("snapshot", (snapshot.resource_id for snapshot in results.snapshots)),
            _control("vault", (vault.resource_id for vault in results.vaults)),
            _control("backup_policy", (policy.resource_id for policy in results.policies)),
            _control("protected_item", (item.resource_id for item in results.items)),
        ),
        reconciliations=tuple(it for it in results.reconciliations if it.first_count or it.second_count or it.unread),
        clock_offset_seconds=results.clock_offset_seconds,
        uniform_scale_sets=results.uniform_scale_sets,
        evidence=_evidence(results, tables, points),
        points=points,
        unplaced=tuple(
            (it.table, rows) for it in tables if it.received == 0 and (rows := _rows(results, it.table, "POST"))
        ),
        self_test_passed=results.run.self_test.get("passed", 0),
        self_test_failed=results.run.self_test.get("failed", 0),
    )


def _total(table: str, rows: Sequence[Coverage], asked: frozenset[str]) -> TableTotal:
    counts = [row.expected for row in rows]
    known = [count for count in counts if count is not None]
    return TableTotal(
        table=table,
        places=len(rows),
        whole=sum(1 for row in rows if row.state.whole),
        expected=sum(known) if len(known) == len(counts) else None,
        received=sum(row.received for row in rows),
        asked=table in asked,
    )


def _rows(results: Results, table: str, method: str) -> int | None:
    """Count the rows of the answers to one kind of request; None where it was not made."""
    asked = [it.rows for it in results.questions if it.table == table and it.method == method]
    return sum(asked) if asked else None


_PLACES = frozenset({"management_group", "subscription"})
"""Tables that say where to look, not what was found there."""


def _evidence(results: Results, tables: Sequence[TableTotal], points: int | None) -> tuple[tuple[str, int], ...]:
    left_out = _PLACES | {row.resource_type for row in results.population} | {"recovery_point"}
    read = [(it.table, it.received) for it in tables if it.table not in left_out]
    return (*read, *([] if points is None else [("recovery_point", points)]))


def _control(resource_type: str, ids: Iterable[str]) -> ControlTotal:
    listed = sorted(identifier.lower() for identifier in ids)
    digest = hashlib.sha256("".join(f"{identifier}\n" for identifier in listed).encode()).hexdigest()
    return ControlTotal(resource_type, len(listed), digest)
