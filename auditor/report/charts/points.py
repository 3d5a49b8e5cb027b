"""Charts of recovery points: how old the newest is, which days lack one, what of the demanded retention is there."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from auditor.model import CALENDAR_DAYS, Status
from auditor.report.charts import WORST_FIRST, Bar, Chart, HeatMap, Part, Strip, judged, points_unread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from auditor.model import Calendar, Machine, TierDemand
    from auditor.report.promises import Promise, Verdicts
    from auditor.report.wording import Texts

_BANDS = (24, 48, 168)

MOST_MACHINES = 12
"""VMs of the heat map that are told one by one, worst first."""


def freshness(machines: Sequence[Machine], tiers: Sequence[TierDemand], texts: Texts) -> Chart:
    """Chart the judged VMs by the age of their newest recovery point."""
    held = judged(machines)
    counts = Counter(_band(machine) for machine in held)
    young = counts["h24"]
    demands = sorted({tier.rpo_hours for tier in tiers if tier.vm_count and tier.rpo_hours is not None})
    takeaway = (
        texts("charts.freshness.young", n=young, of=len(held), share=texts.numerals.share(young, len(held), "down"))
        if held
        else texts("charts.freshness.none")
    )
    if counts["unknown"]:
        takeaway += texts("charts.freshness.blind", n=counts["unknown"])
    described = texts("charts.freshness.description")
    if demands:
        described += " " + texts(
            "charts.freshness.demand", ages=", ".join(texts.numerals.age(hours) for hours in demands)
        )
    names = [f"h{hours}" for hours in _BANDS] + ["older", "none", "unknown"]
    return Chart(
        key="freshness",
        takeaway=takeaway,
        description=described,
        head=texts("charts.freshness.head"),
        bars=tuple(
            Bar(
                texts(f"charts.freshness.bands.{name}"),
                (Part("unknown" if name == "unknown" else "plain", texts("charts.freshness.unit"), counts[name]),),
            )
            for name in names
        ),
        numerals=texts.numerals,
    )


def _band(machine: Machine) -> str:
    hours = machine.newest_point_age_hours
    if hours is None:
        return "unknown" if points_unread(machine) else "none"
    return next((f"h{limit}" for limit in _BANDS if hours <= limit), "older")


def retention(promises: Sequence[Promise], texts: Texts) -> Chart:
    """Chart what each tier demands: for how many of its VMs the policy promises it, and for how many it is there."""
    bars: list[Bar] = []
    kept = {"promised": Counter[Status](), "delivered": Counter[Status]()}
    for row in (row for row in promises if row.demanded is not None):
        demand = texts(
            "charts.retention.demand",
            tier=row.tier,
            kind=texts(f"promises.kind.{row.kind}"),
            keep=texts.numerals.keep(row.demanded),
        )
        for word, verdicts in (("promised", row.promised), ("delivered", row.delivered)):
            counts = _applying(verdicts)
            kept[word] += counts
            if counts:
                parts = tuple(Part(it, texts(f"status.{it}"), counts[it]) for it in WORST_FIRST[:-1])
                bars.append(Bar(texts(f"charts.retention.{word}"), parts, group=demand))
    return Chart(
        key="retention",
        takeaway=_borne_out(kept["promised"], kept["delivered"], texts) if bars else texts("charts.retention.none"),
        description=texts("charts.retention.description"),
        head=texts("charts.retention.head"),
        bars=tuple(bars),
        numerals=texts.numerals,
        each_whole=True,
    )


def _borne_out(promised: Counter[Status], delivered: Counter[Status], texts: Texts) -> str:
    said = texts(
        "charts.retention.kept",
        n=promised[Status.PASS],
        of=promised.total(),
        delivered=delivered[Status.PASS],
        judged=delivered.total(),
    )
    blind = promised[Status.UNKNOWN] + delivered[Status.UNKNOWN]
    return said + (texts("charts.retention.blind", n=blind) if blind else "")


def _applying(verdicts: Verdicts | None) -> Counter[Status]:
    counts = Counter(dict(verdicts.counts) if verdicts else {})
    del counts[Status.NOT_APPLICABLE]
    return counts


def days(machines: Sequence[Machine], texts: Texts) -> HeatMap:
    """Chart the days without a promised point: all VMs together, and below them those that lack most."""
    held = [
        (machine, machine.calendar) for machine in judged(machines) if machine.calendar and machine.calendar.promised
    ]
    lacking = [(machine, calendar) for machine, calendar in held if calendar.missing]
    lacking.sort(key=lambda it: (-it[1].missing.bit_count(), it[0].name, it[0].resource_id))
    last = max((calendar.last for _, calendar in held), default=None)
    promised = sum(calendar.promised.bit_count() for _, calendar in held)
    missing = sum(calendar.missing.bit_count() for _, calendar in lacking)
    count = _window(held, last) if last else 0
    strips = [_everyone([calendar for _, calendar in held], last, count, texts)] if last else []
    strips += [_own(machine, calendar, last, count, texts) for machine, calendar in lacking[:MOST_MACHINES] if last]
    share = texts.numerals.share(promised - missing, promised, "down")
    return HeatMap(
        key="days",
        takeaway=texts("charts.days.there", n=promised - missing, of=promised, share=share)
        if held
        else texts("charts.days.none"),
        description=texts("charts.days.description", days=CALENDAR_DAYS)
        + (texts("charts.days.worst", n=MOST_MACHINES, of=len(lacking)) if len(lacking) > MOST_MACHINES else ""),
        head=texts("charts.days.head"),
        columns=(texts("charts.days.promised"), texts("charts.days.missing"), texts("charts.days.longest")),
        first=last - timedelta(days=count - 1) if last else None,
        strips=tuple(strips),
        numerals=texts.numerals,
    )


def _window(held: Sequence[tuple[Machine, Calendar]], last: date) -> int:
    """Count the days back to the oldest that a policy promised a point for."""
    return max(calendar.promised.bit_length() + (last - calendar.last).days for _, calendar in held)


def _everyone(calendars: Sequence[Calendar], last: date, count: int, texts: Texts) -> Strip:
    promised, missing = [0] * count, [0] * count
    # Most VMs of an estate have the same days.
    for calendar, vms in Counter(calendars).items():
        later = (last - calendar.last).days
        for bit in range(calendar.promised.bit_length()):
            promised[count - 1 - bit - later] += vms * (calendar.promised >> bit & 1)
            missing[count - 1 - bit - later] += vms * (calendar.missing >> bit & 1)
    cells = tuple(gone / due if due else None for gone, due in zip(missing, promised, strict=True))
    return _strip(texts("charts.days.all", n=len(calendars)), cells, sum(promised), sum(missing), texts)


def _own(machine: Machine, calendar: Calendar, last: date, count: int, texts: Texts) -> Strip:
    later = (last - calendar.last).days
    cells = tuple(
        float(calendar.missing >> bit & 1) if bit >= 0 and calendar.promised >> bit & 1 else None
        for bit in range(count - 1 - later, -1 - later, -1)
    )
    return _strip(machine.name, cells, calendar.promised.bit_count(), calendar.missing.bit_count(), texts)


def _strip(label: str, cells: tuple[float | None, ...], promised: int, missing: int, texts: Texts) -> Strip:
    longest = run = 0
    for cell in cells:
        run = run + 1 if cell else 0
        longest = max(longest, run)
    return Strip(label, cells, promised, missing, longest, texts("charts.days.said", n=missing, of=promised))
