"""Compact point histories -> the recovery points of a protected item, newest first."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from auditor.simulator.clock import seed

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRANSFER = timedelta(hours=2)
"""How long a point stays in the snapshot tier only, until its copy to the vault is done."""
_CLEAN_UP = timedelta(days=1)
"""Azure's garbage collection runs late: an expired point stays listed this long."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """When a backup policy runs and how long its points are kept."""

    frequency: str
    """Hourly, Daily or Weekly."""
    times: tuple[time, ...]
    """Local times of day, ascending."""
    weekdays: frozenset[int]
    """0 = Monday; all seven unless weekly."""
    offset: timedelta
    """East of UTC."""
    instant_days: int
    keep: dict[str, timedelta]
    """daily, weekly, monthly, yearly -> span; absent where the policy keeps none."""
    weekly_day: int = 6

    def rule(self, day: date) -> str | None:
        """Name the longest-keeping retention rule that a local day's point falls under."""
        sunday = day.weekday() == self.weekly_day
        first = sunday and day.day <= 7  # noqa: PLR2004 - a week
        if first and day.month == 1 and "yearly" in self.keep:
            return "yearly"
        if first and "monthly" in self.keep:
            return "monthly"
        if sunday and "weekly" in self.keep:
            return "weekly"
        return "daily" if "daily" in self.keep else None


@dataclass(frozen=True, slots=True)
class History:
    """What is particular about one item's points; the default is a flawless history."""

    since: datetime
    """Nothing is older than this."""
    newest: datetime | None = None
    """Where given: the newest point is exactly then, later ones never happened."""
    limits: dict[str, int] = field(default_factory=dict)
    """daily, weekly, monthly -> at most so many points, whatever the policy keeps."""
    missing_days: frozenset[int] = frozenset()
    """Local days before as_of without a point."""
    soft_deleted_days: frozenset[int] = frozenset()
    unvaulted: timedelta | None = None
    """Points younger than this are in the snapshot tier only."""
    instant: bool = True
    """False: no point has a valid snapshot tier."""
    archive_after: timedelta | None = None
    rehydrated: bool = False
    """Archived points are rehydrated at the moment."""
    on_demand: tuple[datetime, ...] = ()
    on_demand_keep: timedelta = timedelta(days=30)
    """What Azure sets where nobody says until when."""
    all_soft_deleted: bool = False
    frozen: bool = False
    """Protection was stopped after the newest point: what was kept then is kept for ever."""
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One recovery point."""

    taken: datetime
    tiers: tuple[tuple[str, str], ...]
    """(InstantRP, HardenedRP or ArchivedRP; Valid, Deleted or Rehydrated)."""
    rule: str | None
    """Retention rule; None for an on-demand point."""
    expires: datetime | None
    soft_deleted: bool


def _days(timetable: Timetable, history: History, today: date) -> tuple[date, ...]:
    """List the local days that may still have a point, newest first."""
    return _calendar(
        timetable.frequency,
        timetable.weekdays,
        timetable.weekly_day,
        today,
        keep_days=tuple((rule, span.days) for rule, span in timetable.keep.items()),
        limit_counts=tuple(history.limits.items()),
    )


@lru_cache(maxsize=4096)
def _calendar(
    frequency: str,
    weekdays: frozenset[int],
    weekly_day: int,
    today: date,
    *,
    keep_days: tuple[tuple[str, int], ...],
    limit_counts: tuple[tuple[str, int], ...],
) -> tuple[date, ...]:
    # Cached, and without walking through seven years day by day: thousands of items share a policy.
    keep, limits = dict(keep_days), dict(limit_counts)
    found: set[date] = set()
    daily = limits.get("daily", keep["daily"] + 3 if "daily" in keep else 1)
    found.update(today - timedelta(days=n) for n in range(daily))
    sunday = today - timedelta(days=(today.weekday() - weekly_day) % 7)
    weekly = limits.get("weekly", keep["weekly"] // 7 + 1 if "weekly" in keep else 0)
    if frequency == "Weekly":
        weekly = limits.get("weekly", max(keep.get("daily", 0), keep.get("weekly", 0)) // 7 + 1)
        found.update(today - timedelta(days=n) for n in range(weekly * 7))
    found.update(sunday - timedelta(weeks=n) for n in range(weekly))
    months = limits.get("monthly", int(keep["monthly"] / 30.4) + 1 if "monthly" in keep else 0)
    years = keep["yearly"] // 365 + 1 if "yearly" in keep else 0
    for back in range(max(months, years * 12)):
        count = today.year * 12 + today.month - 1 - back
        first = date(count // 12, count % 12 + 1, 1)
        if back < months or first.month == 1:
            found.add(first + timedelta(days=(weekly_day - first.weekday()) % 7))
    return tuple(sorted((day for day in found if day <= today and day.weekday() in weekdays), reverse=True))


def _tiers(age: timedelta, timetable: Timetable, history: History, rule: str | None, *, vaulted: bool) -> list[str]:
    snapshot = history.instant and age <= timedelta(days=timetable.instant_days)
    unvaulted = not vaulted or age < max(_TRANSFER, history.unvaulted or _TRANSFER)
    archived = history.archive_after is not None and age > history.archive_after and rule in ("monthly", "yearly")
    tiers = ["InstantRP", "Valid" if snapshot or (unvaulted and history.instant) else "Deleted"]
    if unvaulted:
        return tiers
    tiers += ["HardenedRP", "Deleted" if archived else "Valid"]
    if archived:
        tiers += ["ArchivedRP", "Rehydrated" if history.rehydrated else "Valid"]
    return tiers


def _scheduled(timetable: Timetable, history: History, as_of: datetime, key: str) -> Iterator[Point]:
    today = (as_of + timetable.offset).date()
    horizon = history.newest if history.frozen and history.newest is not None else as_of
    if history.newest is not None:
        taken = history.newest
        day = (taken + timetable.offset).date()
        yield _point(taken, as_of, timetable, history, timetable.rule(day) or "daily", back=(today - day).days)
    bound = as_of if history.newest is None else history.newest - timedelta(seconds=1)
    for day in _days(timetable, history, (horizon + timetable.offset).date()):
        back = (today - day).days
        if back in history.missing_days:
            continue
        rule = timetable.rule(day)
        last = timetable.times[-1]
        for clock in reversed(timetable.times):
            jitter = timedelta(microseconds=seed(f"{key}{day}{clock}") % 1_200_000_000)
            taken = datetime.combine(day, clock, UTC) - timetable.offset + jitter
            # An hourly policy sends the last backup of a day to the vault; the others live as long as snapshots do.
            vaulted = clock == last
            if taken > bound or taken < history.since:
                continue
            point_rule = (rule or "") if vaulted else "instant"
            point = _point(taken, as_of, timetable, history, point_rule or None, back=back)
            if taken + (timetable.keep.get(point_rule) or timedelta(days=timetable.instant_days)) > horizon - _CLEAN_UP:
                yield point


def _point(
    taken: datetime, as_of: datetime, timetable: Timetable, history: History, rule: str | None, *, back: int
) -> Point:
    tiers = _tiers(as_of - taken, timetable, history, rule, vaulted=rule != "instant")
    keep = timetable.keep.get(rule or "", timedelta(days=timetable.instant_days))
    gone = history.all_soft_deleted or back in history.soft_deleted_days
    pairs = tuple(zip(tiers[::2], tiers[1::2], strict=True))
    expires = None if history.frozen else taken + keep
    return Point(taken, pairs, None if rule is None else rule.capitalize(), expires, gone)


def expand(timetable: Timetable, history: History, as_of: datetime, key: str) -> Iterator[Point]:
    """Give an item's recovery points at `as_of`, newest first; `key` makes its jitter its own."""
    if history.empty:
        return
    if not history.on_demand:
        yield from _scheduled(timetable, history, as_of, key)
        return
    points = list(_scheduled(timetable, history, as_of, key))
    for taken in history.on_demand:
        tiers = _tiers(as_of - taken, timetable, history, None, vaulted=True)
        pairs = tuple(zip(tiers[::2], tiers[1::2], strict=True))
        points.append(Point(taken, pairs, None, taken + history.on_demand_keep, history.all_soft_deleted))
    yield from sorted(points, key=lambda point: point.taken, reverse=True)
