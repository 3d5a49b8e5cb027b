"""Findings told by cause: one block for one reason, its consequences listed under it, what to do first."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.model import Severity, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from auditor.model import Coverage, Finding, RuleResult
    from auditor.report.wording import Texts

TOLD = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.NOT_YET_DUE)
"""The statuses that are told one by one, in this order; passes and not-applicables are counted."""

ACTIONS = 5


@dataclass(frozen=True, slots=True)
class Affected:
    """One resource of a cause, with the findings that the cause explains on it."""

    finding: Finding
    also: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Cause:
    """One rule failing for one reason, on one or many resources."""

    rule: RuleResult
    status: Status
    severity: Severity
    reason_code: str
    reason: str | None
    """The sentence, where it is the same for all; None where each resource has its own figures."""
    rows: tuple[Affected, ...]
    also: tuple[tuple[str, int], ...]
    """Rule id -> how many findings of it are explained here."""
    owners: tuple[tuple[str | None, int], ...]
    """Most resources first; None is "no owner recorded"."""
    tiers: tuple[str, ...]
    due: date | None
    """The earliest date."""

    @property
    def serial(self) -> str:
        """The evidence number that the block is cited by: its first row's."""
        return self.rows[0].finding.serial

    @property
    def size(self) -> int:
        """How many findings the block tells, consequences included."""
        return sum(1 + len(row.also) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Action:
    """One of the things to do first."""

    title: str
    detail: str
    who: str
    due: date | None
    severity: Severity | None
    serial: str | None
    query: str
    """Filter that shows its rows in the HTML report."""


@dataclass(frozen=True, slots=True)
class Exempt:
    """How many resources a rule does not apply to, for one reason."""

    rule: str
    reason_code: str
    reason: str
    count: int
    which: str
    """Numbers of the VMs, names of other resources; the first ones where they are many."""


def serial_key(finding: Finding) -> tuple[int, str]:
    """Order E-9999 before E-10000."""
    return len(finding.serial), finding.serial


def causes(findings: Iterable[Finding], rules: Mapping[str, RuleResult]) -> tuple[Cause, ...]:
    """Group the told findings by cause, worst first."""
    told = sorted((row for row in findings if row.status in TOLD), key=serial_key)
    here = {(row.rule, row.resource_id): row for row in told}
    below: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    blocks: dict[tuple[int, int, str, str], list[Finding]] = defaultdict(list)
    for row in told:
        if row.group and _explained_by_another(row, here):
            below[row.group, row.resource_id].append(row)
        else:
            blocks[TOLD.index(row.status), row.severity.rank, row.rule, row.reason_code].append(row)
    made = [_cause(rows, rules, below) for rows in blocks.values()]
    return tuple(sorted(made, key=lambda it: (TOLD.index(it.status), it.severity.rank, serial_key(it.rows[0].finding))))


def _explained_by_another(row: Finding, here: Mapping[tuple[str, str], Finding]) -> bool:
    """Say whether the chain of groups leads up to a finding of its own; in a circle, each stands for itself."""
    seen = {row.rule}
    above = here.get((row.group or "", row.resource_id))
    found = above is not None
    while above is not None:
        if above.rule in seen:
            return False
        seen.add(above.rule)
        above = here.get((above.group or "", above.resource_id))
    return found


def _cause(
    rows: Sequence[Finding], rules: Mapping[str, RuleResult], below: Mapping[tuple[str, str], Sequence[Finding]]
) -> Cause:
    affected = tuple(Affected(row, tuple(_explained(row, below))) for row in rows)
    also = Counter(child.rule for row in affected for child in row.also)
    owners = Counter(row.owner for row in rows)
    first = rows[0]
    return Cause(
        rule=rules[first.rule],
        status=first.status,
        severity=first.severity,
        reason_code=first.reason_code,
        reason=first.reason if len({row.reason for row in rows}) == 1 else None,
        rows=affected,
        also=tuple(sorted(also.items())),
        owners=tuple(sorted(owners.items(), key=lambda it: (-it[1], it[0] is None, it[0] or ""))),
        tiers=tuple(sorted({row.tier for row in rows if row.tier})),
        due=min((row.due for row in rows if row.due), default=None),
    )


def _explained(row: Finding, below: Mapping[tuple[str, str], Sequence[Finding]]) -> Iterable[Finding]:
    # A chain (c under b under a) leaves b without a block of its own, so c is told under a.
    for child in below.get((row.rule, row.resource_id), ()):
        yield child
        yield from _explained(child, below)


def kind(resource_type: str, count: int, texts: Texts) -> str:
    """Name a kind of resource in words; a kind that the catalogue lacks keeps its own name."""
    known = resource_type in texts.keys("kinds")
    return texts(f"kinds.{resource_type}", n=count) if known else resource_type


def exemptions(findings: Iterable[Finding], numbers: Mapping[str, str], texts: Texts) -> tuple[Exempt, ...]:
    """Count the not-applicables by rule and reason, and say which they are.

    Args:
        findings: of all statuses.
        numbers: resource id -> number, for those that have one.
        texts: of the language.
    """
    counts: Counter[tuple[str, str]] = Counter()
    sentence: dict[tuple[str, str], set[str]] = defaultdict(set)
    which: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for row in findings:
        if row.status is Status.NOT_APPLICABLE:
            counts[row.rule, row.reason_code] += 1
            sentence[row.rule, row.reason_code].add(row.reason)
            which[row.rule, row.reason_code].append((numbers.get(row.resource_id, ""), row.resource_name))
    return tuple(
        Exempt(
            rule,
            code,
            # Where each resource has its own figures, what they share is said.
            next(iter(sentence[rule, code])) if len(sentence[rule, code]) == 1 else texts.get(f"codes.{code}", ""),
            count,
            _which(which[rule, code], texts),
        )
        for (rule, code), count in sorted(counts.items())
    )


def _which(resources: Sequence[tuple[str, str]], texts: Texts) -> str:
    numbered = [number for number, _ in resources if number]
    named = Counter(name for number, name in resources if not number)
    names = [name if count == 1 else f"{name} ({count})" for name, count in sorted(named.items())]
    return ", ".join(
        part for part in (spans(numbered, texts), _shortened(names, texts, _NAMED) if names else "") if part
    )


_NAMED = 12
_SPANS = 40
"""How many are named in a row, before the rest is counted."""


def spans(serials: Iterable[str], texts: Texts) -> str:
    """Write E-0001, E-0002, E-0003, E-0007 as `E-0001 to E-0003, E-0007`."""
    runs: list[list[str]] = []
    for serial in sorted(serials, key=lambda it: (len(it), it)):
        if runs and _number(serial) == _number(runs[-1][-1]) + 1:
            runs[-1].append(serial)
        else:
            runs.append([serial])
    told = ", ".join(run[0] if len(run) == 1 else f"{run[0]} \N{EN DASH} {run[-1]}" for run in runs[:_SPANS])
    more = sum(map(len, runs[_SPANS:]))
    return told + (" " + texts("words.and_more", n=more) if more else "")


def _number(serial: str) -> int:
    return int(serial.rpartition("-")[2])


def actions(
    told: Sequence[Cause], gaps: Sequence[Coverage], names: Mapping[str, str], texts: Texts
) -> tuple[Action, ...]:
    """Choose what to do first: read what was unread, then the worst causes with the most resources."""
    chosen: list[Action] = []
    if gaps:
        places = sorted(
            {names.get(gap.subscription_id) or gap.subscription_id or texts("words.tenant") for gap in gaps}
        )
        chosen.append(
            Action(
                title=texts("actions.read", n=len(gaps)),
                detail=texts("actions.read_detail", places=_shortened(places, texts)),
                who=texts("actions.read_owner"),
                due=None,
                severity=None,
                serial=None,
                query="status=unknown",
            )
        )
    failing = [cause for cause in told if cause.status is Status.FAIL]
    failing.sort(key=lambda it: (it.severity.rank, -it.size, serial_key(it.rows[0].finding)))
    for cause in failing[: ACTIONS - len(chosen)]:
        resources = [row.finding.resource_name for row in cause.rows]
        chosen.append(
            Action(
                title=cause.rule.title,
                detail=texts(
                    "actions.cause",
                    n=len(resources),
                    kind=kind(cause.rule.resource_type, len(resources), texts),
                    names=_shortened(resources, texts),
                ),
                who=_owners(cause.owners, texts),
                due=cause.due,
                severity=cause.severity,
                serial=cause.serial,
                query=f"rule={cause.rule.id}&status=fail",
            )
        )
    return tuple(chosen)


def _shortened(names: Sequence[str], texts: Texts, most: int = 3, length: int = 48) -> str:
    cut = [name if len(name) <= length else name[: length - 1] + "…" for name in names[:most]]
    more = len(names) - most
    return ", ".join(cut) + (" " + texts("words.and_more", n=more) if more > 0 else "")


def _owners(owners: Sequence[tuple[str | None, int]], texts: Texts) -> str:
    named = [(owner, count) for owner, count in owners if owner]
    nobody = sum(count for owner, count in owners if not owner)
    told = [_shortened([owner], texts) + (f" ({count})" if len(owners) > 1 else "") for owner, count in named[:2]]
    if len(named) > len(told):
        told.append(texts("words.and_more", n=len(named) - len(told)))
    if nobody:
        told.append(texts("words.no_owner") + (f" ({nobody})" if named else ""))
    return ", ".join(told)
