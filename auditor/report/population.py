"""The population appendix: verdicts of a VM by group of rules, the resources that are not VMs, what does not apply."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor.model import Status
from auditor.report import wording
from auditor.report.charts import WORST_FIRST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.model import Machine
    from auditor.report.view import Report


def groups(report: Report) -> list[str]:
    """Name the groups of rules that judge VMs, in the order of the rules."""
    return list(dict.fromkeys(rule.area for rule in report.rules if rule.resource_type == "vm"))


def by_group(report: Report, machine: Machine) -> list[str]:
    """Give a VM's verdicts of each group in words, the worst first; passes are told where there is nothing else."""
    seen: dict[str, Counter[Status]] = {area: Counter() for area in groups(report)}
    for rule in report.rules:
        if (status := machine.statuses.get(rule.id)) is not None and rule.area in seen:
            seen[rule.area][status] += 1
    return [_counted(report.texts, counts) for counts in seen.values()]


def _counted(texts: wording.Texts, counts: Mapping[Status, int]) -> str:
    told = {status: counts[status] for status in WORST_FIRST if counts.get(status)}
    worse: list[Status] = [status for status in told if status not in (Status.PASS, Status.NOT_APPLICABLE)]
    shown = worse or ([Status.PASS] if Status.PASS in told else [])
    return ", ".join(f"{told[status]} {texts(f'status.{status}')}" for status in shown) or wording.DASH


def lists(report: Report) -> dict[str, list[tuple[str, str, str, str]]]:
    """Give the resources that are not VMs: name, where, what is told of it, verdicts."""
    texts, labels = report.texts, report.subscription_labels

    def row(it: Any, place: str | None, what: str) -> tuple[str, str, str, str]:
        where = ", ".join(part for part in (place, labels.get(it.subscription_id, it.subscription_id)) if part)
        return it.name, where, what, _counted(texts, Counter(it.statuses.values()))

    def known(value: str | None) -> str:
        return value or texts("words.not_recorded")

    def kept(days: Mapping[str, float | None]) -> str:
        told = (
            texts("population.kept", kind=texts(f"promises.kind.{kind}"), days=texts.numerals.keep(n))
            for kind, n in days.items()
            if n is not None
        )
        return ", ".join(told) or texts("population.nothing_kept")

    return {
        "vault": [
            row(
                it,
                it.resource_group,
                texts(
                    f"population.{it.kind}",
                    redundancy=known(it.redundancy),
                    soft_delete=known(it.soft_delete_state),
                    immutability=known(it.immutability_state),
                )
                + f"; {texts('population.inside', n=it.vm_count)}",
            )
            for it in report.vaults
        ],
        "backup_policy": [
            row(it, it.vault_name, f"{kept(it.keep_days)}; {texts('population.under', n=it.vm_count)}")
            for it in report.policies
        ],
        "protected_item": [
            row(
                it,
                it.vault_name,
                texts(
                    "population.item",
                    state=known(it.protection_state),
                    vm=report.numbers.get(it.vm_id or "", it.vm_id or wording.DASH),
                    age=texts.numerals.age(it.newest_point_age_hours),
                ),
            )
            for it in report.items
        ],
        "snapshot": [
            row(
                it,
                it.resource_group,
                texts(
                    "population.snapshot",
                    age=texts.numerals.age(it.age_hours),
                    size=wording.DASH if it.size_gib is None else it.size_gib,
                    sku=known(it.sku),
                    provenance=wording.read_value("provenance", it.provenance, texts),
                ),
            )
            for it in report.snapshots
        ],
    }


@dataclass(frozen=True, slots=True)
class Outside:
    """Resources that several rules do not apply to, for one reason."""

    reason: str
    count: int
    which: str
    rules: tuple[str, ...]


def outside(report: Report) -> tuple[Outside, ...]:
    """Put rules together that leave out the same resources for the same reason."""
    found: dict[tuple[str, int, str], list[str]] = {}
    for it in report.exemptions:
        key = it.reason or it.reason_code.replace("_", " "), it.count, it.which
        found.setdefault(key, []).append(it.rule)
    return tuple(Outside(*key, tuple(rules)) for key, rules in found.items())
