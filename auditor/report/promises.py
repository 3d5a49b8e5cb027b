"""Demanded by the standard, promised by the policies, delivered as recovery points: a row for each tier and kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.model import Status
from auditor.report.charts import WORST_FIRST, points_unread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.model import Machine, TierDemand
    from auditor.report.wording import Texts

KINDS = ("daily", "weekly", "monthly", "yearly")

_PROMISED_BY = {kind: f"retention-{kind}-below-standard" for kind in KINDS}
_DELIVERED_BY = {
    "daily": "recovery-points-missing",
    "weekly": "recovery-points-gfs-gap",
    "monthly": "recovery-points-gfs-gap",
    "yearly": "oldest-point-younger-than-retention",
}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How the VMs of a tier stand under one rule."""

    rule: str
    worst: Status
    counts: tuple[tuple[Status, int], ...]
    """Worst first, zeros left out."""
    met: int
    of: int


@dataclass(frozen=True, slots=True)
class Promise:
    """One kind of recovery point in one tier."""

    tier: str
    kind: str
    machines: int
    demanded: float | None
    policy: str
    """What the backup policies keep, in words."""
    promised: Verdicts | None
    delivered: Verdicts | None
    found: str
    """What there is, in words."""


def promises(tiers: Sequence[TierDemand], machines: Sequence[Machine], texts: Texts) -> tuple[Promise, ...]:
    """Build the table for the tiers that judge a VM, in the standard's order."""
    rows = []
    for tier in tiers:
        held = [machine for machine in machines if machine.tier == tier.name and machine.excluded_code is None]
        if not held:
            continue
        demands = {kind: getattr(tier, f"{kind}_keep_days") for kind in KINDS}
        for kind, demanded in demands.items():
            kept = [days for machine in held if (days := machine.promised_days.get(kind)) is not None]
            if demanded is None and not kept:
                continue
            rows.append(
                Promise(
                    tier=tier.name,
                    kind=kind,
                    machines=len(held),
                    demanded=demanded,
                    policy=_policy(held, kept, texts),
                    promised=_verdicts(held, _PROMISED_BY[kind]) if demanded is not None else None,
                    delivered=_verdicts(held, _DELIVERED_BY[kind]) if demanded is not None else None,
                    found=_found(held, kind, demanded, texts),
                )
            )
    return tuple(rows)


def _verdicts(machines: Sequence[Machine], rule: str) -> Verdicts | None:
    counts = Counter(status for machine in machines if (status := machine.statuses.get(rule)) is not None)
    told = tuple((status, counts[status]) for status in WORST_FIRST if counts[status])
    if not told:
        return None
    applies = sum(count for status, count in told if status is not Status.NOT_APPLICABLE)
    return Verdicts(rule, told[0][0], told, counts[Status.PASS], applies)


def _policy(machines: Sequence[Machine], kept: Sequence[float], texts: Texts) -> str:
    # A VM without a policy proves something only where its protection could be looked at.
    blind = sum(1 for machine in machines if machine.protection == "unknown")
    if blind == len(machines):
        return texts("promises.unread")
    said = (
        texts("promises.lowest", lowest=texts.numerals.keep(min(kept)), n=len(kept), of=len(machines))
        if kept
        else texts("promises.kept_by_none", of=len(machines))
    )
    return said + (texts("promises.blind", n=blind) if blind else "")


def _found(machines: Sequence[Machine], kind: str, demanded: float | None, texts: Texts) -> str:
    if all(machine.point_count is None for machine in machines):
        return texts("promises.unread")
    if kind == "daily":
        expected = sum(machine.expected_points or 0 for machine in machines)
        missing = sum(machine.missing_points or 0 for machine in machines)
        if expected == 0:
            return texts("promises.no_days")
        return texts(
            "promises.days",
            n=expected - missing,
            of=expected,
            share=texts.numerals.share(expected - missing, expected, "down"),
        )
    if demanded is None:
        return texts("promises.not_demanded")
    return _reach(machines, demanded, texts)


def _reach(machines: Sequence[Machine], demanded: float, texts: Texts) -> str:
    """Say how many VMs have a point as old as is demanded; a younger one proves no gap: it may not be due yet."""
    ages = [hours for machine in machines if (hours := machine.oldest_point_age_hours) is not None]
    there = sum(1 for hours in ages if hours >= demanded * 24)
    blind = sum(1 for machine in machines if machine.oldest_point_age_hours is None and points_unread(machine))
    younger, none = len(ages) - there, len(machines) - len(ages) - blind
    said = [texts("promises.reach", n=there, of=len(machines), days=texts.numerals.keep(demanded))]
    if younger:
        said.append(texts("promises.younger", n=younger))
    if none:
        said.append(texts("promises.pointless", n=none))
    if blind:
        said.append(texts("promises.points_unread", n=blind))
    return "; ".join(said)
