"""The chart of snapshots: how old they are, how much they hold, what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.report.charts import Bar, Chart, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.model import SnapshotRecord, TierDemand
    from auditor.report.wording import Texts

_BANDS = (7, 30, 90, 365)
"""Days; the last band is open."""


def ages(snapshots: Sequence[SnapshotRecord], tiers: Sequence[TierDemand], currency: str, texts: Texts) -> Chart:
    """Chart the snapshots by age, with the size of their disks and, where the standard has prices, what they cost."""
    groups: dict[str, list[SnapshotRecord]] = {name: [] for name in (*(f"d{n}" for n in _BANDS), "older", "unknown")}
    for snapshot in snapshots:
        groups[_band(snapshot)].append(snapshot)
    priced = any(snapshot.month_cost is not None for snapshot in snapshots)
    noted = (texts("charts.snapshots.size"), texts("charts.snapshots.cost", currency=currency))
    return Chart(
        key="snapshots",
        takeaway=_takeaway(snapshots, tiers, currency, texts),
        description=texts("charts.snapshots.description") + ("" if priced else texts("charts.snapshots.unpriced")),
        head=texts("charts.snapshots.head"),
        bars=tuple(
            Bar(
                texts(f"charts.snapshots.bands.{name}"),
                (Part("unknown" if name == "unknown" else "plain", texts("charts.snapshots.unit"), len(held)),),
                (_size(held, texts), *([_cost(held, currency, texts)] if priced else [])),
            )
            for name, held in groups.items()
            if snapshots and (held or name != "unknown")
        ),
        numerals=texts.numerals,
        noted=noted if priced else noted[:1],
    )


def _band(snapshot: SnapshotRecord) -> str:
    if snapshot.age_hours is None:
        return "unknown"
    return next((f"d{days}" for days in _BANDS if snapshot.age_hours <= days * 24), "older")


def _size(snapshots: Sequence[SnapshotRecord], texts: Texts) -> str:
    return f"{texts.numerals.number(sum(it.size_gib or 0 for it in snapshots))} GiB"


def _cost(snapshots: Sequence[SnapshotRecord], currency: str, texts: Texts) -> str:
    """Say what is paid a month at most, and for how many the standard has no price."""
    known = [it.month_cost for it in snapshots if it.month_cost is not None]
    said = texts.numerals.money(sum(known), currency)
    lacking = len(snapshots) - len(known)
    return said + (texts("charts.snapshots.lacking", n=lacking) if lacking else "")


def _takeaway(snapshots: Sequence[SnapshotRecord], tiers: Sequence[TierDemand], currency: str, texts: Texts) -> str:
    if not snapshots:
        return texts("charts.snapshots.none")
    longest = max((it.snapshot_daily_keep_days or 0 for it in tiers if it.vm_count), default=0) or _BANDS[0]
    old = [it for it in snapshots if it.age_hours is not None and it.age_hours > longest * 24]
    said = texts(
        "charts.snapshots.old", n=len(old), of=len(snapshots), days=texts.numerals.keep(longest), size=_size(old, texts)
    )
    costs = [it.month_cost for it in old if it.month_cost is not None]
    return said + (texts("charts.snapshots.paid", cost=texts.numerals.money(sum(costs), currency)) if costs else "")
