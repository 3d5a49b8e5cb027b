"""The values read for a finding, in words: what was demanded beside what was observed, and the rest by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor.report import wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from auditor.model import Finding
    from auditor.report.wording import Texts

_PAIRS = (
    ("rpo_hours", "newest_point_age_hours"),
    ("vault_rpo_hours", "newest_vaulted_point_age_hours"),
    ("max_missing_pct", "missing_pct"),
    ("max_gap_days", "longest_gap_days"),
    ("stale_after_hours", "age_hours"),
    ("demanded_days", "policy_daily_days"),
    ("demanded_days", "policy_weekly_days"),
    ("demanded_days", "policy_monthly_days"),
    ("demanded_days", "policy_yearly_days"),
)
"""Columns that hold a demand, and those that hold what was observed."""

_KEPT = re.compile(r"policy_(\w+)_days")
_UNITS = re.compile(r"_(hours|days|gib|pct)$")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_CODE = re.compile(r"[a-z]+(_[a-z]+)+")
"""A code that reads as words."""
_SILENT = frozenset({"resource_name", "age_days", "matures_at"})
"""Columns that repeat what stands beside them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One demand and what was observed, for a block of findings."""

    label: str
    demanded: str
    observed: str


def pairs_of(rule: str, evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give the columns of the pairs that a rule's evidence has; of the retentions, the one that the rule judges."""
    return [
        (demanded, observed)
        for demanded, observed in _PAIRS
        if demanded in evidence
        and observed in evidence
        and (not (kept := _KEPT.fullmatch(observed)) or f"-{kept[1]}-" in rule)
    ]


def label(name: str, texts: Texts) -> str:
    """Name a column in words, without the unit, which stands behind the value."""
    return texts.get(f"values.{name}", _UNITS.sub("", name).replace("_", " "))


def parameter(name: str, value: Any, texts: Texts) -> str:
    """Tell a parameter of a rule in words."""
    return texts(
        "words.named",
        name=texts.get(f"params.{name}", _UNITS.sub("", name).replace("_", " ")),
        value=wording.read_value(name, value, texts),
    )


def pairs(rows: Sequence[Finding], texts: Texts) -> tuple[Pair, ...]:
    """Set what was demanded beside what was observed, over all rows of a block."""
    made = []
    for demanded, observed in pairs_of(rows[0].rule, rows[0].evidence):
        asked = _range([row.evidence.get(demanded) for row in rows], demanded, "by_tier", texts)
        if asked:
            limit = texts("values_limit.least" if demanded == "demanded_days" else "values_limit.most", value=asked)
            slack = _range([row.evidence.get("rpo_tolerance_hours") for row in rows], "_hours", "by_tier", texts)
            if slack and demanded in {"rpo_hours", "vault_rpo_hours"}:
                limit += texts("values_limit.tolerance", value=slack)
            found = _range([row.evidence.get(observed) for row in rows], observed, "range", texts)
            # A policy that keeps nothing was read; an age or a share that is not there was not.
            absent = texts("words.none" if _KEPT.fullmatch(observed) else "words.not_recorded")
            made.append(Pair(label(observed, texts), limit, found or absent))
    return tuple(made)


def _range(values: Iterable[Any], name: str, several: str, texts: Texts) -> str:
    numbers = [float(value) for value in map(wording.plain, values) if isinstance(value, (int, float))]
    if not numbers:
        return ""
    lowest, highest = (_written(name, value, texts) for value in (min(numbers), max(numbers)))
    return lowest if lowest == highest else texts(f"values_limit.{several}", lowest=lowest, highest=highest)


def _written(name: str, value: float, texts: Texts) -> str:
    if name.endswith("_hours"):
        return texts.numerals.age(value)
    return texts.numerals.keep(value) if name.endswith("_days") else wording.read_value(name, value, texts)


def _said(name: str, value: Any, texts: Texts) -> str:
    text = wording.read_value(name, value, texts)
    return text.replace("_", " ") if name == "parts" or (_CODE.fullmatch(text) and not name.endswith("_name")) else text


def common(rows: Sequence[Finding], texts: Texts) -> tuple[tuple[str, str], ...]:
    """Give the values that all rows of a block share, by name in words; the pairs stand in their own table."""
    paired = {name for pair in pairs_of(rows[0].rule, rows[0].evidence) for name in pair} | {"rpo_tolerance_hours"}
    shared = {
        name: value
        for name, value in _told(rows[0].evidence)
        if name not in paired and all(row.evidence.get(name) == value for row in rows[1:])
    }
    return tuple(_named(name, value, texts) for name, value in shared.items())


_ENDS = {"expires_in_hours": 1, "expires_in_days": 24}
"""Columns that tell when something ends -> hours of their unit."""


def _named(name: str, value: Any, texts: Texts) -> tuple[str, str]:
    """Give a value's name and text; an end that lies behind is told as one."""
    hours = _ENDS.get(name)
    if hours and isinstance(value, (int, float)) and value < 0:
        return texts("words.ended"), texts("words.ago", age=texts.numerals.age(-value * hours))
    return label(name, texts), _said(name, value, texts)


def differing(rows: Sequence[Finding]) -> tuple[str, ...]:
    """Name the columns in which the rows of a block differ, in their order."""
    names = dict.fromkeys(name for row in rows for name, _ in _told(row.evidence))
    first = rows[0].evidence
    return tuple(name for name in names if any(row.evidence.get(name) != first.get(name) for row in rows[1:]))


def own(row: Finding, names: Sequence[str], texts: Texts) -> str:
    """Tell a row's own values of the columns `names`, but for those that its sentence tells already."""
    said = {*_NUMBER.findall(row.reason)}
    told = []
    for name in names:
        value = row.evidence.get(name)
        if value is None:
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            write = texts.numerals
            number = _said(name, value, texts).partition(" ")[0]
            if said & {f"{value:.0f}", write.written(f"{value:.1f}"), number}:
                continue
        elif isinstance(value, str) and (value in row.reason or _said(name, value, texts) in row.reason):
            continue
        named, said_value = _named(name, value, texts)
        told.append(texts("words.named", name=named, value=said_value))
    return ", ".join(told)


def _told(evidence: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in evidence.items():
        if wording.plain(value) is None or name.endswith("_id") or name in _SILENT:
            continue
        if name != "parts" or len(value) > 1:  # a single part says what the reason says
            yield name, value
