"""Waivers at work: which fails they cover, which of them are expired, unused or too broad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.model import WaiverRecord
from auditor.standard.selector import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from auditor.inventory.facts import Facts
    from auditor.standard import Waiver

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
        elif population and 100 * matched / population > BROAD_PCT:
            notes.append(
                f"covers {matched} of {population} ({100 * matched / population:.0f} %), more than {BROAD_PCT:.0f} %"
            )
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
                state="expired" if left <= 0 else "expiring" if left <= EXPIRING_DAYS else "valid",
                matched=matched,
                notes=tuple(notes),
            )
        )
    return tuple(made)
