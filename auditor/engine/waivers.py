"""Waivers at work: which fails they cover, which of them are expired, unused or too broad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor.document import did_you_mean
from auditor.model import WaiverRecord
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from auditor.inventory.facts import Facts
    from auditor.standard import Waiver, WaiverEntry

EXPIRING_DAYS = 30
BROAD_PCT = 10.0


def lay(facts: Facts, waivers: Sequence[Waiver], today: date) -> None:
    """Create the table `waiver(waiver_id, rule, resource_no, expired, choice)`: who is covered by what.

    A resource covered twice takes the valid waiver that lasts longest (`choice` 1).
    """
    facts.con.execute(
        "CREATE OR REPLACE TABLE waiver "
        "(waiver_id VARCHAR, rule VARCHAR, resource_no INTEGER, expired BOOLEAN, expires_on DATE)"
    )
    for waiver in waivers:
        if waiver.approved_on > today:
            continue  # nobody has answered for it yet
        facts.con.execute(
            f"INSERT INTO waiver SELECT {quote(waiver.id)}, {quote(waiver.rule)}, r.resource_no, "
            f"{waiver.expires_on <= today}, DATE '{waiver.expires_on}' FROM resource r WHERE {waiver.match.sql('r')}"
        )


def records(
    waivers: Sequence[Waiver], covered: Mapping[str, int], populations: Mapping[str, int], today: date
) -> tuple[WaiverRecord, ...]:
    """Describe each waiver and what it did.

    Args:
        waivers: as read.
        covered: waiver id -> fails that it covers, or covered before it expired.
        populations: rule id -> size of its population.
        today: the day of as_of, UTC.
    """
    made = []
    for waiver in sorted(waivers, key=lambda w: w.id):
        left = (waiver.expires_on - today).days
        matched = covered.get(waiver.id, 0)
        population = populations.get(waiver.rule, 0)
        notes = []
        if waiver.approved_on > today:
            notes.append(f"not in force before it is approved, on {waiver.approved_on}")
        elif matched == 0:
            notes.append("covers no fail of this run")
        elif said := _broad(matched, population):
            notes.append(said)
        if 0 < left <= EXPIRING_DAYS:
            notes.append(f"ends in {left} days")
        made.append(
            WaiverRecord(
                id=waiver.id,
                rule=waiver.rule,
                match=waiver.match.words(),
                reason=waiver.reason,
                compensating_control=waiver.compensating_control,
                requester=waiver.requester,
                approver=waiver.approver,
                approved_on=waiver.approved_on,
                expires_on=waiver.expires_on,
                ticket=waiver.ticket,
                state=state(waiver, today),
                matched=matched,
                notes=tuple(notes),
            )
        )
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a waiver would cover in a run."""

    matched: int
    """Fails that it selects, waived ones included."""
    population: int
    """Resources that its rule judged."""


def reach(facts: Facts, findings: Path, waivers: Sequence[WaiverEntry]) -> list[Reach]:
    """Count what each waiver selects among a run's findings, whether it was in force there or not."""
    made = []
    for waiver in waivers:
        path = findings / f"{waiver.rule}.parquet"
        if not path.exists():
            made.append(Reach(0, 0))
            continue
        row = facts.rows(
            f"""
            WITH f AS (SELECT resource_no, status FROM read_parquet({quote(str(path))}, hive_partitioning = false)),
                 meant AS (SELECT r.resource_no FROM resource r WHERE {waiver.match.sql("r")})
            SELECT count(*) AS population, count(*) FILTER (f.status IN ('fail', 'waived') AND
                   f.resource_no IN (SELECT resource_no FROM meant)) AS matched FROM f
            """
        )[0]
        made.append(Reach(int(row["matched"]), int(row["population"])))
    return made


def exemptions(facts: Facts) -> list[dict[str, Any]]:
    """Give the exemptions from Azure Policy's demand of a backup; they stand beside our waivers, never among them."""
    return facts.rows(
        "SELECT resource_id AS id, resource_name AS name, assignment_name AS assignment, exempted_id, category, "
        "described, round(expires_in_days, 1) AS expires_in_days, vm_count FROM policy_exemption "
        "WHERE kind = 'policy_exemption' AND coalesce(about_backup, true) ORDER BY 1"
    )


def state(waiver: WaiverEntry, today: date) -> str:
    """Tell where a waiver stands: pending (not yet approved), valid, expiring or expired."""
    left = (waiver.expires_on - today).days
    if waiver.approved_on > today:
        return "pending"
    return "expired" if left <= 0 else "expiring" if left <= EXPIRING_DAYS else "valid"


def faults(
    waiver: WaiverEntry, found: Reach | None, *, today: date, most_days: float, known: Collection[str]
) -> list[str]:
    """Say what is wrong with a waiver; nothing where it is in order.

    Args:
        waiver: to be looked at.
        found: what it selects in a run; None without one.
        today: the day that it is looked at.
        most_days: that the standard lets a waiver last.
        known: ids of the rules that there are.
    """
    said = []
    if waiver.rule not in known:
        said.append(f"there is no rule {waiver.rule!r}; {did_you_mean(waiver.rule, known)}")
    if waiver.self_approved:
        said.append("approver and requester are the same person")
    if waiver.expires_on < waiver.approved_on:
        said.append(f"ends on {waiver.expires_on}, before it is approved on {waiver.approved_on}")
    if (waiver.expires_on - waiver.approved_on).days > most_days:
        said.append(f"lasts {(waiver.expires_on - waiver.approved_on).days} days, the standard allows {most_days:.0f}")
    if waiver.expires_on <= today:
        said.append(f"ended on {waiver.expires_on}")
    if waiver.match.takes_all:
        said.append("selects everything")
    if found is not None and waiver.rule in known:
        if found.matched == 0:
            said.append("covers no fail of the run")
        elif broad := _broad(found.matched, found.population):
            said.append(broad)
    return said


def _broad(matched: int, population: int) -> str:
    """Say that a waiver covers too much of what its rule judged; "" where it does not."""
    share = 100 * matched / population if population else 0.0
    return f"covers {matched} of {population} ({share:.0f} %), more than {BROAD_PCT:.0f} %" if share > BROAD_PCT else ""
