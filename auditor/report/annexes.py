"""What stands behind the findings: Azure Policy's opinions, restore tests and runbooks, costs, the run register."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from auditor.model import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from auditor.model import (
        ClassReadiness,
        CostLine,
        Finding,
        PastRun,
        PolicyExemption,
        PolicyOpinion,
        RestoreTest,
        Results,
        RunbookRecord,
    )
    from auditor.report.wording import Texts

_DAY = timedelta(days=1)

OUTCOMES = ("unexplained", "unknown", "explained", "agree", "none")
"""How Azure Policy's opinion on a VM stands to ours, worst first."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """Azure Policy's opinion on one VM, with the number that the finding has."""

    of: PolicyOpinion
    outcome: str
    number: str
    """VM-0001."""
    serial: str
    """E-0001; "" where the two agree."""


@dataclass(frozen=True, slots=True)
class Opinions:
    """Azure Policy, VM by VM, held against this audit."""

    asked: bool
    """False where the rule that compares them did not run."""
    counts: tuple[tuple[str, int], ...]
    """Outcome -> VMs, in the order of OUTCOMES, zeros included."""
    apart: tuple[Opinion, ...]
    """Those that differ without a reason, or are not known."""
    explained: tuple[tuple[str, tuple[Opinion, ...]], ...]
    """Reason in words -> VMs."""
    agreed: tuple[tuple[str, int], ...]
    """State as Azure words it -> VMs on which both agree."""
    exemptions: tuple[PolicyExemption, ...]


@dataclass(frozen=True, slots=True)
class Recovery:
    """Whether a recovery was ever proved."""

    classes: tuple[ClassReadiness, ...]
    tests: tuple[RestoreTest, ...]
    recent: int
    """Tests in the period that the standard looks back on."""
    proved: int
    """Tests that passed and that somebody validated."""
    period_days: float
    runbooks: tuple[RunbookRecord, ...]
    serials: Mapping[tuple[str, str], str]
    """(rule, class id) -> number of the finding."""


@dataclass(frozen=True, slots=True)
class Costs:
    """An estimate, by the standard's own prices."""

    lines: tuple[CostLine, ...]
    total: float | None
    """Of what is priced; None where nothing is."""
    currency: str
    unpriced: int
    prices_as_of: date | None


@dataclass(frozen=True, slots=True)
class Register:
    """The runs that this one remembers, and what they say of a period."""

    runs: tuple[PastRun, ...]
    start: datetime
    """As-at of the first run of this scope inside the period that the standard looks back on."""
    end: datetime
    count: int
    """Runs of this scope from start to end."""
    covered_days: int
    period_days: int
    longest_gap_days: int
    """Rounded up: what is bad never looks smaller than it is."""
    changes: tuple[str, ...]
    """What changed since the run before, in sentences; empty for a first run."""

    @property
    def single(self) -> bool:
        """Tell whether nothing can be said of a period."""
        return self.count == 1


def opinions(results: Results, findings: Sequence[Finding], numbers: Mapping[str, str]) -> Opinions:
    """Sort Azure Policy's opinions by how they stand to ours."""
    rule = "azpolicy-disagreement"
    serials = {row.resource_id: row.serial for row in findings if row.rule == rule}
    told = [
        Opinion(it, _outcome(it), numbers.get(it.resource_id, ""), serials.get(it.resource_id, ""))
        for it in results.opinions
    ]
    counted = Counter(it.outcome for it in told)
    explained: dict[str, list[Opinion]] = defaultdict(list)
    for it in told:
        if it.outcome == "explained":
            explained[it.of.reason_code].append(it)
    agreed = Counter(it.of.azure_state or "" for it in told if it.outcome == "agree")
    return Opinions(
        asked=any(it.id == rule for it in results.rules),
        counts=tuple((outcome, counted[outcome]) for outcome in OUTCOMES),
        apart=tuple(sorted((it for it in told if it.outcome in OUTCOMES[:2]), key=_worst_first)),
        explained=tuple((code, tuple(rows)) for code, rows in sorted(explained.items())),
        agreed=tuple(sorted(agreed.items())),
        exemptions=results.exemptions,
    )


def _outcome(it: PolicyOpinion) -> str:
    if it.status is Status.PASS:
        return "agree" if it.reason_code == "agreed" else "explained"
    if it.status in (Status.FAIL, Status.WAIVED):
        return "unexplained"
    return "unknown" if it.status is Status.UNKNOWN else "none"


def _worst_first(it: Opinion) -> tuple[int, int, str]:
    return OUTCOMES.index(it.outcome), len(it.serial), it.serial


def recovery(results: Results, findings: Sequence[Finding]) -> Recovery:
    """Gather restore tests and runbooks, with the findings on the classes."""
    since = results.run.as_of - timedelta(days=results.period_days)
    return Recovery(
        classes=results.readiness,
        tests=results.restore_tests,
        recent=sum(since <= it.started_at <= results.run.as_of for it in results.restore_tests),
        proved=sum(it.validated and it.job_status != "failed" for it in results.restore_tests),
        period_days=results.period_days,
        runbooks=results.runbooks,
        serials={(row.rule, row.resource_id): row.serial for row in findings if row.resource_type == "class"},
    )


def costs(results: Results) -> Costs:
    """Sum what is priced; nothing is made up for the rest."""
    priced = [it.month for it in results.costs if it.month is not None]
    return Costs(
        lines=results.costs,
        total=sum(priced) if priced else None,
        currency=next((it.currency for it in results.costs), ""),
        unpriced=sum(it.unpriced for it in results.costs),
        prices_as_of=results.prices_as_of,
    )


def register(results: Results, texts: Texts) -> Register:
    """Say which period the remembered runs of this scope speak for, and what changed since the one before."""
    here = results.run.as_of
    window = here - timedelta(days=results.period_days)
    scope = results.runs[-1].scope if results.runs else ""
    alike = [run.as_of for run in results.runs[:-1] if run.scope == scope and window <= run.as_of <= here]
    moments = [*alike, here]
    gaps = [math.ceil((after - before) / _DAY) for before, after in pairwise(moments)]
    return Register(
        runs=results.runs,
        start=moments[0],
        end=here,
        count=len(moments),
        covered_days=(here - moments[0]).days,
        period_days=round(results.period_days),
        longest_gap_days=max(gaps, default=0),
        changes=_changes(results.runs, texts),
    )


def _changes(runs: Sequence[PastRun], texts: Texts) -> tuple[str, ...]:
    if len(runs) < 2:  # noqa: PLR2004 - this one and the one before
        return ()
    before, here = runs[-2:]
    compared = (
        ("standard", before.standard_digest, here.standard_digest, before.standard, here.standard),
        ("rules", before.rules_digest, here.rules_digest, "", ""),
        ("scope", before.scope, here.scope, "", ""),
    )
    return tuple(
        texts(f"register.{name}_{_held(old, new)}", run=before.id, before=said, after=now)
        for name, old, new, said, now in compared
    )


def _held(old: str, new: str) -> str:
    return "not_known" if not old or not new else "same" if old == new else "changed"


def vm_number(position: int) -> str:
    """Number a VM of the population, which is sorted by resource id: VM-0001 is the first."""
    return f"VM-{position:04d}"
