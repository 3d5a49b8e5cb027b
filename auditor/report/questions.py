"""What external auditors ask of system-generated evidence, answered from the results, with where to read more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.model import Status
from auditor.report import wording

if TYPE_CHECKING:
    from auditor.model import Results, RuleResult
    from auditor.report.annexes import Recovery, Register
    from auditor.report.completeness import Completeness
    from auditor.report.wording import Texts


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, its answer, and the chapters that prove it."""

    question: str
    answer: str
    chapters: tuple[str, ...]
    """Keys of the PDF's chapters."""


_CHAPTERS = {
    "all": ("completeness", "population"),
    "exclusions": ("basis", "population"),
    "pass": ("rules", "method"),
    "stopped": ("findings",),
    "when": ("method",),
    "changed": ("verify",),
    "waived": ("waivers",),
    "period": ("register", "promises"),
    "restored": ("recovery",),
    "logic": ("completeness", "method"),
}


def answers(
    results: Results, whole: Completeness, register: Register, recovery: Recovery, texts: Texts
) -> tuple[Answer, ...]:
    """Answer the questions in their order."""
    said = {
        "all": _all_vms(results, whole, texts),
        "exclusions": _exclusions(results, texts),
        "pass": texts("answers.pass.a", n=len(results.rules)),
        "stopped": _stopped(results, texts),
        "when": _when(results, texts),
        "changed": texts("answers.changed.a", digest=results.run.manifest_digest[:12]),
        "waived": texts("answers.waived.a", n=_count(results, Status.WAIVED), waivers=_covering(results)),
        "period": _period(register, texts),
        "restored": texts("answers.restored.a", n=len(recovery.tests), proved=recovery.proved, recent=recovery.recent),
        "logic": texts("answers.logic.a", n=whole.self_test_passed, failed=whole.self_test_failed),
    }
    return tuple(Answer(texts(f"answers.{key}.q"), text, _CHAPTERS[key]) for key, text in said.items())


def _covering(results: Results) -> int:
    """Count the waivers under which something is waived; others have ended, or match nothing."""
    return len({row.waiver["id"] for row in results.findings if row.status is Status.WAIVED and row.waiver})


def _all_vms(results: Results, whole: Completeness, texts: Texts) -> str:
    said = texts("answers.all.a", n=len(results.machines), read=whole.read, wanted=whole.readable_wanted)
    second = next((it for it in whole.reconciliations if it.table == "vm" and it.second == "list"), None)
    if second is None:
        return said + " " + texts("answers.all.no_second")
    apart = second.only_first + second.only_second
    return (
        said
        + " "
        + texts(
            "answers.all.second", first=second.first_count, second=second.second_count, n=apart, unread=second.unread
        )
    )


def _exclusions(results: Results, texts: Texts) -> str:
    population = next((it for it in results.population if it.resource_type == "vm"), None)
    codes = population.not_applicable if population else {}
    listed = ", ".join(f"{texts.get(f'codes.{code}', code)} {texts.numerals.number(n)}" for code, n in codes.items())
    standard = results.run.standard
    left_out = [it.name or it.subscription_id for it in results.subscriptions if it.reading == "excluded"]
    return texts(
        "answers.exclusions.a",
        n=sum(codes.values()),
        codes=listed or texts("words.none"),
        owner=standard.owner or texts("words.not_recorded"),
        approver=standard.approved_by or texts("words.not_recorded"),
        subscriptions=", ".join(left_out) or texts("words.none"),
    )


def _rule(results: Results, rule_id: str) -> RuleResult | None:
    return next((rule for rule in results.rules if rule.id == rule_id), None)


def _stopped(results: Results, texts: Texts) -> str:
    rule = _rule(results, "vm-protection-stopped")
    if rule is None:
        return texts("answers.stopped.no_rule")
    applies = sum(count for status, count in rule.statuses.items() if status is not Status.NOT_APPLICABLE)
    return texts("answers.stopped.a", n=rule.statuses[Status.FAIL] + rule.statuses[Status.WAIVED], of=applies)


def _when(results: Results, texts: Texts) -> str:
    times = [at for it in results.sources for at in (it.first_at, it.last_at) if at is not None]
    if not times:
        return texts("answers.when.no_times")
    return texts("answers.when.a", first=wording.moment(min(times)), last=wording.moment(max(times)))


def _period(register: Register, texts: Texts) -> str:
    if register.single:
        return texts("answers.period.single", as_of=wording.moment(register.end))
    return texts(
        "answers.period.a",
        n=register.count,
        start=wording.moment(register.start),
        end=wording.moment(register.end),
        days=register.covered_days,
        of=register.period_days,
        gap=register.longest_gap_days,
    )


def _count(results: Results, status: Status) -> int:
    return sum(rule.statuses.get(status, 0) for rule in results.rules)
