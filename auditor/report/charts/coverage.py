"""Charts of protection: how many VMs of each subscription and of each class Azure Backup protects."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from auditor.report.charts import Bar, Chart, Part, judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from auditor.model import Machine
    from auditor.report.wording import Texts

MOST_GROUPS = 12
"""Bars; what is left is told together in one more."""

_KEYS = {"unprotected": "fail", "unknown": "unknown", "protected": "pass"}
"""What is said of a VM -> the status whose shape and colour it is drawn in; worst first."""


def by_subscription(machines: Sequence[Machine], labels: Mapping[str, str], texts: Texts) -> Chart:
    """Chart the judged VMs of each subscription by whether an active backup item protects them."""
    return _chart("subscriptions", ((it, labels[it.subscription_id]) for it in judged(machines)), texts)


def by_class(machines: Sequence[Machine], texts: Texts) -> Chart:
    """Chart the judged VMs of each class by whether an active backup item protects them."""
    without = texts("charts.classes.without")
    return _chart("classes", ((it, it.class_ or without) for it in judged(machines)), texts)


def _chart(key: str, placed: Iterable[tuple[Machine, str]], texts: Texts) -> Chart:
    groups: dict[str, list[str]] = defaultdict(list)
    for machine, place in placed:
        known = machine.protection in {"protected", "unknown"}
        groups[place].append(machine.protection if known else "unprotected")
    worst = sorted(groups, key=lambda name: (_share(groups[name]), -len(groups[name]), name.casefold(), name))
    shown, rest = (worst, []) if len(worst) <= MOST_GROUPS + 1 else (worst[:MOST_GROUPS], worst[MOST_GROUPS:])
    bars = [_bar(name, groups[name], texts) for name in shown]
    if rest:
        together = [state for name in rest for state in groups[name]]
        bars.append(_bar(texts(f"charts.{key}.others", n=len(rest)), together, texts))
    return Chart(
        key=key,
        takeaway=_takeaway(key, groups, worst, texts),
        description=texts("charts.coverage.description"),
        head=texts(f"charts.{key}.head"),
        bars=tuple(bars),
        numerals=texts.numerals,
        each_whole=True,
    )


def _share(states: Sequence[str]) -> float:
    return states.count("protected") / len(states)


def _bar(label: str, states: Sequence[str], texts: Texts) -> Bar:
    parts = (Part(key, texts(f"charts.coverage.{state}"), states.count(state)) for state, key in _KEYS.items())
    return Bar(label, tuple(parts))


def _takeaway(key: str, groups: Mapping[str, Sequence[str]], worst: Sequence[str], texts: Texts) -> str:
    if not groups:
        return texts("charts.coverage.none")
    states = [state for held in groups.values() for state in held]
    blind = states.count("unknown")
    if blind == len(states):
        return texts("charts.coverage.all_unknown", n=blind)
    whole = sum(1 for held in groups.values() if _share(held) == 1)
    if whole == len(groups):
        return texts(f"charts.{key}.all", n=whole)
    least = groups[worst[0]]
    said = texts(
        f"charts.{key}.least",
        n=whole,
        of=len(groups),
        name=worst[0],
        there=texts.numerals.number(least.count("protected")),
        vms=texts.numerals.number(len(least)),
    )
    return said + (texts("charts.coverage.blind", n=blind) if blind else "")
