"""The only view model: built once from a bundle's results, sorted, frozen; every format is a pure function of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from auditor.model import Status, Subscription
from auditor.report import annexes, controls, redact, remedy, wording
from auditor.report import causes as by_cause
from auditor.report.charts import copies, coverage, outcome, points, trend, verdicts
from auditor.report.completeness import Completeness, completeness
from auditor.report.promises import Promise, promises
from auditor.report.questions import Answer, answers
from auditor.report.templates import SHIPPED, Templates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditor.model import (
        Coverage,
        Finding,
        Gap,
        Gate,
        GateReason,
        IdleResponse,
        ItemRecord,
        LooserDemand,
        Machine,
        PastRun,
        PolicyRecord,
        Population,
        Question,
        Results,
        RuleResult,
        Run,
        Signer,
        SnapshotRecord,
        Source,
        Subject,
        TierDemand,
        Traffic,
        VaultRecord,
        WaiverRecord,
    )
    from auditor.report.annexes import Costs, Opinions, Recovery, Register
    from auditor.report.causes import Action, Cause, Exempt
    from auditor.report.charts import AnyChart
    from auditor.report.controls import ControlRow, FrameworkPart
    from auditor.report.wording import Texts


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the summary with its denominator, and the filter that shows what it counts."""

    key: str
    label: str
    count: int
    of: int
    unit: str
    """What is counted: VMs or verdicts."""
    status: Status | None
    query: str
    share: str
    """In percent, never rounded up to 100 %; no share where nothing could be looked at."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """How results are shown; changes no verdict."""

    all_rows: bool = False
    """Passes too, in the machine-readable formats."""
    pdf_all: bool = False
    """Every finding and every VM in the PDF, however many pages that takes."""
    language: str = wording.ENGLISH
    templates: Templates = SHIPPED
    framework: str | None = None
    """Key of the one framework that the pdf is for; all by default."""
    redact_key: bytes | None = None
    """Persons bear pseudonyms made with this key."""
    signer: Signer | None = None
    """Who will sign the PDF; None where nobody does."""


PLAIN = Presentation()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report says."""

    run: Run
    gate: Gate
    gate_reasons: tuple[str, ...]
    """Why the gate gave its exit code, in words."""
    headline: str
    """The result in one sentence."""
    result: str
    """How many VMs were judged and fail, and what the gate said, in one line."""
    evidence: str
    """`complete` or `incomplete`, with what is missing, in one sentence."""
    figures: tuple[Figure, ...]
    charts: Mapping[str, AnyChart]
    """By key: `outcomes`, `severities`, `freshness`, `areas`, `runs`, `subscriptions`, `classes`, `days`, `retention`,
    `snapshots`."""
    statuses: Mapping[Status, int]
    """All verdicts, by status."""
    promises: tuple[Promise, ...]
    actions: tuple[Action, ...]
    changes: tuple[str, ...]
    """What differs from earlier runs, in sentences."""
    causes: tuple[Cause, ...]
    told: int
    """Findings told one by one in `causes`."""
    exemptions: tuple[Exempt, ...]
    completeness: Completeness
    untested: tuple[str, ...]
    """What the standard demands and no rule of this run judges."""
    scope: tuple[tuple[str, str], ...]
    """What was asked for, in words."""
    subscription_labels: Mapping[str, str]
    """Subscription id -> its name, with the beginning of the id where several have that name."""
    rules: tuple[RuleResult, ...]
    findings: tuple[Finding, ...]
    machines: tuple[Machine, ...]
    snapshots: tuple[SnapshotRecord, ...]
    population: tuple[Population, ...]
    tiers: tuple[TierDemand, ...]
    idle_responses: tuple[IdleResponse, ...]
    loosenings: tuple[tuple[str, str, str], ...]
    """(block of the standard, what it demands less than the shipped standard, why)."""
    waivers: tuple[WaiverRecord, ...]
    controls: tuple[ControlRow, ...]
    cited: Mapping[str, tuple[str, ...]]
    """Rule -> the controls it names, a text for each framework."""
    questions: tuple[Question, ...]
    coverage: tuple[Coverage, ...]
    inputs: tuple[tuple[str, str], ...]
    runs: tuple[PastRun, ...]
    """The run register: the earlier runs that this one remembers, and this one, oldest first."""
    register: Register
    """What the runs say of a period."""
    opinions: Opinions
    recovery: Recovery
    costs: Costs
    vaults: tuple[VaultRecord, ...]
    policies: tuple[PolicyRecord, ...]
    items: tuple[ItemRecord, ...]
    sources: tuple[Source, ...]
    traffic: Traffic
    numbers: Mapping[str, str]
    """Resource id of a VM -> its number in the population: VM-0001."""
    answers: tuple[Answer, ...]
    """What auditors ask, answered."""
    framework: FrameworkPart | None
    """The one framework that the report is made for."""
    texts: Texts
    """The sentences of the report's language."""
    redacted: bool
    """Persons bear pseudonyms."""
    passes: Mapping[str, tuple[Subject, ...]]
    """Rule id -> what passes it; empty where the results were read without."""
    how: Presentation
    """How it is to be shown; without the key of the pseudonyms, which no template may print."""

    def passing(self, rule: RuleResult) -> tuple[Subject, ...]:
        """Give the resources that pass a rule; a report that must name them is built of results that do.

        Raises:
            ValueError: the results were read without them.
        """
        found = self.passes.get(rule.id, ())
        if len(found) != rule.statuses.get(Status.PASS, 0):
            raise ValueError(f"{rule.id}: {len(found)} passes are named of {rule.statuses.get(Status.PASS, 0)}")
        return found

    @property
    def untested_line(self) -> str:
        """Say in one sentence how much of the standard no rule judged; empty where all was."""
        return self.texts("untested.line", n=len(self.untested)) if self.untested else ""

    @property
    def unread(self) -> tuple[str, ...]:
        """Say of each part of the evidence that is not whole what and where it is, how far it was read, and why."""
        said = self.texts
        places: list[tuple[Coverage | Gap, str]] = [
            *(
                (it, self.subscription_labels.get(it.subscription_id, it.subscription_id))
                for it in self.completeness.unread
            ),
            *((it, it.resource_id) for it in self.completeness.gaps),
        ]
        return tuple(
            f"{it.table}, {place or said('words.tenant')}: {said(f'coverage_state.{it.state}')}; {it.reason}"
            for it, place in places
        )

    @property
    def state(self) -> str:
        """Which banner is shown: `complete`, `unknown` (all read, yet not all judged) or `incomplete`."""
        if not self.run.complete:
            return "incomplete"
        return "unknown" if self.completeness.unknown else "complete"

    @property
    def steps(self) -> tuple[tuple[str, str], ...]:
        """Give the commands that verify the report, each with what it does."""
        return tuple((row[0].format(run=self.run.id), row[1]) for row in self.texts.rows("verify.steps"))


def build(results: Results, how: Presentation = PLAIN) -> Report:
    """Make the view of `results`; the one place where a report's numbers are counted."""
    texts = how.templates.texts(how.language)
    if how.redact_key is not None:
        results = redact.redacted(results, how.redact_key)
    named = results.frameworks_shown
    if named and how.framework:  # what is asked for by name is shown beside what the standard names
        named = (*named, how.framework)
    worded = (_worded(rule, texts) for rule in controls.named(results.rules, named))
    rules = tuple(sorted(worded, key=lambda rule: (_area_order(rule.area), rule.severity.rank, rule.id)))
    findings = tuple(sorted(results.findings, key=by_cause.serial_key))
    machines = tuple(sorted(results.machines, key=lambda machine: machine.resource_id))
    told = by_cause.causes(findings, {rule.id: rule for rule in rules})
    whole = completeness(results)
    labels = _labels(results)
    promised = promises(results.tiers, machines, texts)
    statuses = _statuses(rules)
    numbers = {it.resource_id: annexes.vm_number(position) for position, it in enumerate(machines, start=1)}
    opinions, recovery = annexes.opinions(results, findings, numbers), annexes.recovery(results, findings)
    register = annexes.register(results, texts)
    return Report(
        run=results.run,
        gate=results.gate,
        gate_reasons=tuple(_gate_reason(it, texts) for it in results.gate.reasons),
        headline=_headline(results, machines, whole, texts),
        result=_result(results, machines, texts),
        evidence=_evidence(whole, texts),
        figures=_figures(machines, statuses, texts),
        charts=_charts(replace(results, rules=rules), promised, texts),
        statuses=statuses,
        promises=promised,
        actions=by_cause.actions(told, whole.unread, labels, texts),
        changes=_changes(results.run, findings, texts),
        causes=told,
        told=sum(1 for row in findings if row.status in by_cause.TOLD),
        exemptions=by_cause.exemptions(findings, numbers, texts),
        completeness=whole,
        untested=tuple(map(texts.said, results.untested)),
        scope=_scope(results.run.scope, texts),
        subscription_labels=labels,
        rules=rules,
        findings=findings,
        machines=machines,
        snapshots=tuple(sorted(results.snapshots, key=lambda it: it.resource_id)),
        population=tuple(sorted(results.population, key=lambda it: it.resource_type)),
        tiers=results.tiers,
        idle_responses=results.idle_responses,
        loosenings=tuple(
            (it.place, "; ".join(_looser(demand, texts) for demand in it.demands), it.justification or wording.DASH)
            for it in results.loosenings
        ),
        waivers=tuple(sorted(results.waivers, key=lambda it: it.id)),
        controls=controls.matrix(rules, results.frameworks, texts),
        cited=controls.cited(rules, results.frameworks, texts),
        questions=tuple(sorted(results.questions, key=lambda it: (it.table, it.method, it.text))),
        coverage=tuple(sorted(results.coverage, key=lambda it: (it.table, it.subscription_id))),
        inputs=tuple(sorted(results.inputs.items())),
        runs=results.runs,
        register=register,
        opinions=opinions,
        recovery=recovery,
        costs=annexes.costs(results),
        vaults=results.vaults,
        policies=results.policies,
        items=results.items,
        sources=results.sources,
        traffic=results.traffic,
        numbers=numbers,
        answers=answers(results, whole, register, recovery, texts),
        framework=controls.part(how.framework, rules, findings, results.frameworks, texts) if how.framework else None,
        texts=texts,
        redacted=results.redacted,
        passes=results.passes,
        how=replace(how, redact_key=None),
    )


def of_framework(report: Report) -> Report:
    """Narrow a report to the rules that test a control of the framework that it is made for, where it is for one.

    What was read, and what the chapters on retention, Azure Policy, restore tests, costs and runs tell, stays whole.
    """
    if report.framework is None:
        return report
    only, texts = report.framework.rules, report.texts
    rules = tuple(rule for rule in report.rules if rule.id in only)
    findings = tuple(row for row in report.findings if row.rule in only)
    machines = tuple(_under(only, it) for it in report.machines)
    told = tuple(cause for cause in report.causes if cause.rule.id in only)
    statuses = _statuses(rules)
    judged = [machine for machine in machines if machine.excluded_code is None]
    outcomes = [outcome(machine) for machine in judged]
    clean = sum(it in {Status.PASS, Status.NOT_APPLICABLE} for it in outcomes)
    waiting = outcomes.count(Status.NOT_YET_DUE)
    failing = sum(Status.FAIL in machine.statuses.values() for machine in judged)
    charts = (verdicts.outcomes(machines, texts), verdicts.severities(findings, texts), verdicts.areas(rules, texts))
    return replace(
        report,
        headline=texts(
            "framework.headline",
            n=clean,
            of=len(judged),
            share=texts.numerals.share(clean, len(judged), "down"),
            rules=len(rules),
            whole=len(report.rules),
            title=report.framework.title,
            as_of=wording.moment(report.run.as_of),
        )
        + (texts("headline.not_due", n=waiting) if waiting else ""),
        result=texts("framework.result", n=len(judged), fail=failing, title=report.framework.title),
        figures=_figures(machines, statuses, texts),
        charts={**report.charts, **{chart.key: chart for chart in charts}},
        statuses=statuses,
        actions=by_cause.actions(told, report.completeness.unread, report.subscription_labels, texts),
        changes=_changes(report.run, findings, texts),
        causes=told,
        told=sum(cause.size for cause in told),
        exemptions=tuple(it for it in report.exemptions if it.rule in only),
        rules=rules,
        findings=findings,
        machines=machines,
        snapshots=tuple(_under(only, it) for it in report.snapshots),
        vaults=tuple(_under(only, it) for it in report.vaults),
        policies=tuple(_under(only, it) for it in report.policies),
        items=tuple(_under(only, it) for it in report.items),
    )


_Judged = TypeVar("_Judged", "Machine", "SnapshotRecord", "VaultRecord", "PolicyRecord", "ItemRecord")


def _under(rules: frozenset[str], it: _Judged) -> _Judged:
    """Give a resource with the verdicts of these rules alone."""
    return replace(it, statuses={rule: status for rule, status in it.statuses.items() if rule in rules})


def _statuses(rules: Sequence[RuleResult]) -> Mapping[Status, int]:
    return {status: sum(rule.statuses.get(status, 0) for rule in rules) for status in Status}


def _worded(rule: RuleResult, texts: Texts) -> RuleResult:
    """Give a rule in the report's language, as far as the texts have it."""
    return replace(
        rule,
        title=texts.get(f"rules.{rule.id}.title", rule.title),
        rationale=texts.get(f"rules.{rule.id}.rationale", rule.rationale),
        # Of commands only the remarks between them are words.
        remediation={
            kind: "; ".join(map(texts.said, remedy.parts(kind, fix))) for kind, fix in rule.remediation.items()
        },
    )


def _charts(results: Results, promised: Sequence[Promise], texts: Texts) -> Mapping[str, AnyChart]:
    machines = results.machines
    made: tuple[AnyChart, ...] = (
        verdicts.outcomes(machines, texts),
        verdicts.severities(results.findings, texts),
        points.freshness(machines, results.tiers, texts),
        verdicts.areas(results.rules, texts),
        trend.runs(results.runs, texts),
        coverage.by_subscription(machines, _labels(results), texts),
        coverage.by_class(machines, texts),
        points.days(machines, texts),
        points.retention(promised, texts),
        copies.ages(results.snapshots, results.tiers, results.currency, texts),
    )
    return {chart.key: chart for chart in made}


def _labels(results: Results) -> Mapping[str, str]:
    names: dict[str, str] = {}
    for group in (results.subscriptions, results.machines, results.snapshots, results.findings):
        for it in group:
            names.setdefault(it.subscription_id, it.name if isinstance(it, Subscription) else it.subscription_name)
    named = Counter(name.casefold() for name in names.values())
    short = Counter((name.casefold(), key[:_SHORT]) for key, name in names.items())
    made = {}
    for key, name in sorted(names.items()):
        if not name or named[name.casefold()] == 1:
            made[key] = name or key
        else:
            made[key] = f"{name} ({key[:_SHORT] if short[name.casefold(), key[:_SHORT]] == 1 else key})"
    return made


_SHORT = 8
"""Characters of a subscription's id that tell it from another of its name: its first group of digits."""


def _scope(scope: Mapping[str, Any], texts: Texts) -> tuple[tuple[str, str], ...]:
    named = scope.get("subscriptions") or scope.get("management_groups")
    said = []
    for key, value in scope.items():
        if value or value == 0:
            shown = wording.read_value(key, value, texts)
        elif key in {"subscriptions", "management_groups"}:
            shown = texts("words.none_named" if named else "words.all_visible")
        else:
            shown = texts("words.none" if isinstance(value, (list, tuple)) else "words.not_declared")
        said.append((texts.get(f"scope.{key}", key.replace("_", " ")), shown))
    return tuple(said)


def _looser(demand: LooserDemand, texts: Texts) -> str:
    if demand.shipped is None:
        return texts("loosening.block", name=demand.name)
    if demand.asked is None:
        return texts("loosening.nothing", name=demand.name, shipped=demand.shipped)
    return texts("loosening.less", name=demand.name, asked=demand.asked, shipped=demand.shipped)


_AREAS = ("protection", "health", "retention", "snapshots", "vaults", "governance", "readiness", "cost")


def _area_order(area: str) -> tuple[int, str]:
    return (_AREAS.index(area) if area in _AREAS else len(_AREAS)), area


def _headline(results: Results, machines: Sequence[Machine], whole: Completeness, texts: Texts) -> str:
    judged = [machine for machine in machines if machine.excluded_code is None]
    if whole.all_unknown:
        return texts("headline.all_unknown", n=whole.unknown)
    if not judged:
        return texts("headline.no_machines", n=whole.read)
    outcomes = [outcome(machine) for machine in judged]
    clean = sum(it in {Status.PASS, Status.NOT_APPLICABLE} for it in outcomes)
    # A first run knows no history, so that every VM waits for some verdict.
    waiting = outcomes.count(Status.NOT_YET_DUE)
    standard = results.run.standard
    said = texts(
        "headline.passed" if results.untested else "headline.conformity",
        n=clean,
        of=len(judged),
        share=texts.numerals.share(clean, len(judged), "down"),
        rules=texts("headline.rules", n=len(results.rules)),
        standard=f"{standard.name} {standard.version}",
        as_of=wording.moment(results.run.as_of),
    )
    return said + (texts("headline.not_due", n=waiting) if waiting else "")


def _result(results: Results, machines: Sequence[Machine], texts: Texts) -> str:
    judged = [machine for machine in machines if machine.excluded_code is None]
    failing = sum(Status.FAIL in machine.statuses.values() for machine in judged)
    said = texts(f"result.gate_{results.gate.exit_code}", threshold=_severity(results.gate.threshold, texts))
    if not judged:
        return texts("result.none", gate=said)
    return texts("result.line", n=len(judged), fail=failing, gate=said)


def _severity(name: str, texts: Texts) -> str:
    """Give a severity, or a threshold that may be `none`, in words."""
    return texts.get(f"severity.{name}", name)


def _gate_reason(reason: GateReason, texts: Texts) -> str:
    if reason.code not in texts.keys("gate"):
        return reason.detail
    return texts(f"gate.{reason.code}", n=reason.count, names=", ".join(_severity(it, texts) for it in reason.names))


def _evidence(whole: Completeness, texts: Texts) -> str:
    missing = len(whole.unread) + len(whole.gaps)
    if not whole.complete:
        return texts("evidence.incomplete", n=missing, unknown=whole.unknown, of=whole.verdicts)
    if whole.unknown:
        return texts("evidence.unknown", n=whole.unknown, of=whole.verdicts)
    return texts("evidence.complete")


def _figures(machines: Sequence[Machine], statuses: Mapping[Status, int], texts: Texts) -> tuple[Figure, ...]:
    judged = [machine for machine in machines if machine.excluded_code is None]
    protected = sum(1 for machine in judged if machine.protection == "protected")
    blind = sum(1 for machine in judged if machine.protection == "unknown")
    verdicts = sum(statuses.values())
    label = texts("figures.protected") + (texts("figures.blind", n=blind) if blind else "")
    vms, all_verdicts = texts("words.vms_judged"), texts("words.verdicts")
    share = texts.numerals.share
    return (
        Figure(
            "protected",
            label,
            protected,
            len(judged),
            vms,
            None,
            "rule=vm-unprotected",
            "?" if judged and blind == len(judged) else share(protected, len(judged), "down"),
        ),
        *(
            Figure(
                status,
                texts(f"figures.{status}"),
                statuses[status],
                verdicts,
                all_verdicts,
                status,
                f"status={status}",
                share(statuses[status], verdicts, "up"),
            )
            for status in by_cause.TOLD
        ),
    )


def _changes(run: Run, findings: Sequence[Finding], texts: Texts) -> tuple[str, ...]:
    failing = [row for row in findings if row.status is Status.FAIL]
    new = sum(1 for row in failing if row.first_seen >= run.as_of)
    said = [texts("changes.first_seen", n=new, of=len(failing))] if failing else []
    marked = [row for row in failing if row.baseline is not None]
    if marked:
        said.append(texts("changes.baseline", n=sum(1 for row in marked if row.baseline == "new"), of=len(marked)))
    overdue = [row for row in failing if row.due is not None and row.due < run.as_of.date()]
    if overdue:
        said.append(texts("changes.overdue", n=len(overdue), of=len(failing)))
    return tuple(said)
