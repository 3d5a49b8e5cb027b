"""The charts as numbers: bars of labelled parts, each with the sentence that it shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.model import Severity, Status
from auditor.report import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.model import Finding, Machine, RuleResult, TierDemand
    from auditor.report.wording import Texts

WORST_FIRST = (
    Status.FAIL,
    Status.UNKNOWN,
    Status.WAIVED,
    Status.NOT_YET_DUE,
    Status.PASS,
    Status.NOT_APPLICABLE,
)
"""The order in which a resource's verdicts decide what is said of it."""

_BANDS = (24, 48, 168)


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of a bar."""

    key: str
    """A status, which decides shape and colour, or `plain`."""
    label: str
    value: int
    shade: int | None = None
    """0 is the darkest; None is the status's own colour."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a chart."""

    label: str
    parts: tuple[Part, ...]

    @property
    def total(self) -> int:
        """The length of the whole bar."""
        return sum(part.value for part in self.parts)


@dataclass(frozen=True, slots=True)
class Chart:
    """Horizontal bars with a takeaway; the same numbers as a table stand beside it."""

    key: str
    takeaway: str
    description: str
    head: str
    """Heading of the label column in the data table."""
    bars: tuple[Bar, ...]
    each_whole: bool = False
    """True where every bar is drawn at full length, as shares of its own total."""

    @property
    def longest(self) -> int:
        """The total that the full width stands for."""
        return max((bar.total for bar in self.bars), default=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """The parts' labels, in the order of the bars."""
        return tuple(dict.fromkeys(part.label for bar in self.bars for part in bar.parts))


def outcome(machine: Machine) -> Status:
    """Say the worst of a VM's verdicts; not applicable where it is outside the judged population."""
    if machine.excluded_code is not None:
        return Status.NOT_APPLICABLE
    seen = set(machine.statuses.values())
    return next((status for status in WORST_FIRST if status in seen), Status.NOT_APPLICABLE)


def outcomes(machines: Sequence[Machine], texts: Texts) -> Chart:
    """Chart the VMs by their worst verdict."""
    counts = Counter(outcome(machine) for machine in machines)
    judged = sum(1 for machine in machines if machine.excluded_code is None)
    failing, unknown = counts[Status.FAIL], counts[Status.UNKNOWN]
    if judged == 0:
        takeaway = texts("charts.outcomes.none")
    elif failing:
        takeaway = texts("charts.outcomes.failing", n=failing, of=judged, share=wording.share(failing, judged, "up"))
    elif unknown:
        takeaway = texts("charts.outcomes.unknown", n=unknown, of=judged, share=wording.share(unknown, judged, "up"))
    else:
        takeaway = texts("charts.outcomes.clean", n=judged)
    parts = tuple(Part(status, texts(f"status.{status}"), counts[status]) for status in WORST_FIRST)
    return Chart(
        key="outcomes",
        takeaway=takeaway,
        description=texts("charts.outcomes.description"),
        head=texts("charts.outcomes.head"),
        bars=(Bar(texts("charts.outcomes.bar"), parts),),
    )


def severities(findings: Sequence[Finding], texts: Texts) -> Chart:
    """Chart what failed, is unknown or is waived, by severity."""
    shown = (Status.FAIL, Status.UNKNOWN, Status.WAIVED)
    counts = Counter((row.severity, row.status) for row in findings)
    fails = {severity: counts[severity, Status.FAIL] for severity in Severity}
    total = sum(fails.values())
    urgent = fails[Severity.CRITICAL] + fails[Severity.HIGH]
    unknown = sum(counts[severity, Status.UNKNOWN] for severity in Severity)
    if total:
        takeaway = texts("charts.severities.failing", n=urgent, of=total)
    elif unknown:
        takeaway = texts("charts.severities.unknown", n=unknown)
    else:
        takeaway = texts("charts.severities.clean")
    return Chart(
        key="severities",
        takeaway=takeaway,
        description=texts("charts.severities.description"),
        head=texts("charts.severities.head"),
        bars=tuple(
            Bar(
                texts(f"severity.{severity}"),
                tuple(
                    Part(
                        status,
                        texts(f"status.{status}"),
                        counts[severity, status],
                        severity.rank if status is Status.FAIL else None,
                    )
                    for status in shown
                ),
            )
            for severity in Severity
            if severity is not Severity.INFO or any(counts[severity, status] for status in shown)
        ),
    )


def freshness(machines: Sequence[Machine], tiers: Sequence[TierDemand], texts: Texts) -> Chart:
    """Chart the judged VMs by the age of their newest recovery point."""
    judged = [machine for machine in machines if machine.excluded_code is None]
    counts = Counter(_band(machine) for machine in judged)
    young = counts["h24"]
    demands = sorted({tier.rpo_hours for tier in tiers if tier.vm_count and tier.rpo_hours is not None})
    takeaway = (
        texts("charts.freshness.young", n=young, of=len(judged), share=wording.share(young, len(judged), "down"))
        if judged
        else texts("charts.freshness.none")
    )
    if counts["unknown"]:
        takeaway += texts("charts.freshness.blind", n=counts["unknown"])
    described = texts("charts.freshness.description")
    if demands:
        described += " " + texts("charts.freshness.demand", ages=", ".join(wording.age(hours) for hours in demands))
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
    )


WITHOUT_ITEM = frozenset({"unprotected", "disk_backup_only", "replicated_only", "snapshot_only", "unsupported", "none"})
"""States of a VM that no protected item names: it has no points that could be read."""


def points_unread(machine: Machine) -> bool:
    """Say whether finding no point of a VM proves nothing, because reading failed."""
    blind = machine.point_count is None or machine.protection == "unknown"
    return blind and machine.protection not in WITHOUT_ITEM


def _band(machine: Machine) -> str:
    hours = machine.newest_point_age_hours
    if hours is None:
        return "unknown" if points_unread(machine) else "none"
    return next((f"h{limit}" for limit in _BANDS if hours <= limit), "older")


def areas(rules: Sequence[RuleResult], texts: Texts) -> Chart:
    """Chart the verdicts of each group of rules, as shares of those that apply."""
    shown = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.NOT_YET_DUE, Status.PASS)
    bars = []
    for area in dict.fromkeys(rule.area for rule in rules):
        counts = {s: sum(rule.statuses.get(s, 0) for rule in rules if rule.area == area) for s in shown}
        if sum(counts.values()):
            parts = tuple(Part(status, texts(f"status.{status}"), counts[status]) for status in shown)
            bars.append(Bar(texts.get(f"areas.{area}", area), parts))
    applied = sum(bar.total for bar in bars)
    passed = sum(part.value for bar in bars for part in bar.parts if part.key == Status.PASS)
    return Chart(
        key="areas",
        takeaway=texts("charts.areas.passed", n=passed, of=applied, share=wording.share(passed, applied, "down"))
        if applied
        else texts("charts.areas.none"),
        description=texts("charts.areas.description"),
        head=texts("charts.areas.head"),
        bars=tuple(bars),
        each_whole=True,
    )
