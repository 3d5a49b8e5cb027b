"""Controls of frameworks in reports: which rules support evidence for them, and which ids nobody has verified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from auditor.model import Status
from auditor.report import causes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from auditor.model import Finding, FrameworkRef, RuleResult
    from auditor.report.wording import Texts

MARK = "\N{DAGGER}"
"""Stands behind an id that was not verified against the standard itself."""


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One control of a framework, with the rules whose verdicts support evidence for it."""

    framework: str
    framework_title: str
    say: str
    """What must be said beside the framework; may be empty."""
    control: str
    title: str
    """Its subject in own words; may be empty."""
    verified: bool
    """False where its id was not read in the standard itself."""
    rules: tuple[str, ...]
    statuses: Mapping[Status, int]
    evaluated: bool

    @property
    def shown(self) -> str:
        """Give the id with its mark."""
        return self.control + ("" if self.verified else MARK)


@dataclass(frozen=True, slots=True)
class Tested:
    """A rule as a test of a control, with what it was run on and its exceptions."""

    rule: RuleResult
    population: int
    """Resources that the rule applies to."""
    exceptions: tuple[tuple[Status, int, str], ...]
    """(status, how many, their numbers) for what failed, is unknown or is waived."""


@dataclass(frozen=True, slots=True)
class ControlPart:
    """One control with the tests made for it."""

    row: ControlRow
    tests: tuple[Tested, ...]
    proves: str
    """What the evidence proves for it; may be empty."""
    lacks: str
    """What it does not prove; may be empty."""


@dataclass(frozen=True, slots=True)
class FrameworkPart:
    """Everything a report for one framework says of it."""

    key: str
    title: str
    say: str
    controls: tuple[ControlPart, ...]
    rules: frozenset[str]
    """Rules that name a control of it."""


EXCEPTIONS = (Status.FAIL, Status.UNKNOWN, Status.WAIVED)


def part(
    key: str,
    rules: Sequence[RuleResult],
    findings: Sequence[Finding],
    frameworks: Mapping[str, FrameworkRef],
    texts: Texts,
) -> FrameworkPart:
    """Give one framework, control by control."""
    found: dict[tuple[str, Status], list[str]] = {}
    for finding in findings:
        found.setdefault((finding.rule, finding.status), []).append(finding.serial)
    known = {rule.id: _tested(rule, found, texts) for rule in rules if key in rule.controls}
    return FrameworkPart(
        key=key,
        title=_title(key, frameworks, texts),
        say=_say(key, frameworks, texts),
        controls=tuple(
            ControlPart(
                row=row,
                tests=tuple(known[rule] for rule in row.rules),
                proves=texts.said(frameworks[key].proves.get(row.control, "")),
                lacks=texts.said(frameworks[key].lacks.get(row.control, "")),
            )
            for row in matrix(rules, frameworks, texts)
            if row.framework == key
        ),
        rules=frozenset(known),
    )


def _tested(rule: RuleResult, found: Mapping[tuple[str, Status], Sequence[str]], texts: Texts) -> Tested:
    return Tested(
        rule=rule,
        population=sum(count for status, count in rule.statuses.items() if status is not Status.NOT_APPLICABLE),
        exceptions=tuple(
            (status, len(serials), causes.spans(serials, texts))
            for status in EXCEPTIONS
            if (serials := found.get((rule.id, status)))
        ),
    )


def named(rules: Sequence[RuleResult], wanted: Collection[str]) -> tuple[RuleResult, ...]:
    """Give the rules with their controls of the wanted frameworks only; all of them where none is wanted by name."""
    if not wanted:
        return tuple(rules)
    kept = [{key: ids for key, ids in rule.controls.items() if key in wanted} for rule in rules]
    return tuple(replace(rule, controls=controls) for rule, controls in zip(rules, kept, strict=True))


def matrix(rules: Sequence[RuleResult], frameworks: Mapping[str, FrameworkRef], texts: Texts) -> tuple[ControlRow, ...]:
    """Give a row for each control that a rule names, in the order of its framework's numbers."""
    held: dict[tuple[str, str], list[RuleResult]] = {}
    for rule in rules:
        for framework, controls in rule.controls.items():
            for control in controls:
                held.setdefault((framework, control), []).append(rule)
    return tuple(
        ControlRow(
            framework=framework,
            framework_title=_title(framework, frameworks, texts),
            say=_say(framework, frameworks, texts),
            control=control,
            title=_subject(framework, control, frameworks, texts),
            verified=_verified(framework, control, frameworks),
            rules=tuple(rule.id for rule in supporting),
            statuses={status: sum(rule.statuses.get(status, 0) for rule in supporting) for status in Status},
            evaluated=any(rule.evaluated for rule in supporting),
        )
        for (framework, control), supporting in sorted(held.items(), key=lambda it: (it[0][0], _natural(it[0][1])))
    )


def cited(
    rules: Sequence[RuleResult], frameworks: Mapping[str, FrameworkRef], texts: Texts
) -> dict[str, tuple[str, ...]]:
    """Give rule -> the controls it names, a text for each framework."""
    return {
        rule.id: tuple(
            f"{_title(framework, frameworks, texts)} "
            + ", ".join(name + ("" if _verified(framework, name, frameworks) else MARK) for name in ids)
            for framework, ids in sorted(rule.controls.items())
        )
        for rule in rules
    }


def _title(framework: str, frameworks: Mapping[str, FrameworkRef], texts: Texts) -> str:
    own = frameworks[framework].name if framework in frameworks else framework
    return texts.get(f"frameworks.{framework}", own)


def _say(framework: str, frameworks: Mapping[str, FrameworkRef], texts: Texts) -> str:
    own = frameworks[framework].say if framework in frameworks else ""
    return texts.get(f"controls.{framework}.say", own) if own else ""


def _subject(framework: str, control: str, frameworks: Mapping[str, FrameworkRef], texts: Texts) -> str:
    own = frameworks[framework].titles.get(control, "") if framework in frameworks else ""
    return texts.subject(framework, control, own) if own else ""


def _verified(framework: str, control: str, frameworks: Mapping[str, FrameworkRef]) -> bool:
    return framework in frameworks and control in frameworks[framework].verified


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    # CP-9 before CP-10, A.8.9 before A.8.13.
    parts: list[tuple[int, int, str]] = []
    run = ""
    for char in text:
        if run and run[-1].isdigit() != char.isdigit():
            parts.append((0, int(run), "") if run.isascii() and run.isdigit() else (1, 0, run))
            run = ""
        run += char
    parts.append((0, int(run), "") if run.isascii() and run.isdigit() else (1, 0, run))
    return tuple(parts)
