"""Azure: who asks, what of the scope is visible, which tables can be read, which rules fall with those that can't."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from auditor.collect.probe import probe
from auditor.doctor import Check
from auditor.inventory.lineage import Lineage
from auditor.model import CLOCK_TOLERANCE_SECONDS, CoverageState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from auditor.azure import AzureReader, Cloud
    from auditor.collect import Scope
    from auditor.collect.places import Place
    from auditor.collect.probe import Probed
    from auditor.inputs import Inputs

_ROLE = "give it a role with {needs}; `auditor doctor --role json` writes one"


async def examine(azure: AzureReader, scope: Scope, given: Inputs | None, tell: Callable[[str], None]) -> list[Check]:
    """Look at everything; `azure` is signed in.

    Raises:
        NoRunError: no subscription is visible.
        UsageError: the scope is ambiguous.
    """
    seen = await probe(azure, scope, tell)
    clock = _clock(azure.clock_offset)
    return [
        clock,
        *_subscriptions(seen.place, scope),
        *(_table(found) for found in seen.tables),
        *_rules(seen.tables, seen.place, given, clock_wrong=clock.state == "fail"),
    ]


def signed_in(identity: Mapping[str, Any], cloud: Cloud, tenant: str | None) -> Iterable[Check]:
    """Say who asks, and where."""
    where = f"{cloud.name}: {cloud.arm_endpoint}"
    yield Check("cloud", "ok", f"{where}, signed in at {cloud.authority}" if cloud.authority else where)
    if cloud.loopback:
        yield Check("identity", "ok", str(identity.get("type", "")))
        return
    own = str(identity.get("tenant_id") or "")
    named = [identity.get(key) for key in ("name", "user")]
    parts = [
        " ".join(str(name) for name in named if name) or "no name in the token",
        *(f"{word} {identity[key]}" for word, key in _CLAIMS.items() if identity.get(key)),
    ]
    if not identity:
        yield Check("identity", "warn", "the token does not say whose it is")
    elif tenant and re.fullmatch(r"[0-9a-f-]{36}", tenant) and own.lower() != tenant:
        remedy = f"az login --tenant {tenant}"
        yield Check("identity", "fail", f"{', '.join(parts)}; --tenant asks for {tenant}", remedy)
    else:
        yield Check("identity", "ok", ", ".join(parts))


_CLAIMS = {"type": "type", "app": "app_id", "object": "object_id", "tenant": "tenant_id"}


def _clock(offset: float | None) -> Check:
    if offset is None:
        return Check("clock", "warn", "no answer told Azure's time")
    side = "behind" if offset > 0 else "ahead of"
    said = f"{abs(offset):.0f} s {side} Azure's"
    if abs(offset) > CLOCK_TOLERANCE_SECONDS:
        return Check(
            "clock", "fail", f"{said}; every verdict would be unknown", "let NTP set it: timedatectl set-ntp true"
        )
    return Check("clock", "ok", said)


def _subscriptions(place: Place, scope: Scope) -> Iterable[Check]:
    visible = sum(s.reading != "unreadable" for s in place.subscriptions)
    expected = scope.expect_subscriptions
    told = "not declared" if expected is None else expected if isinstance(expected, int) else len(expected)
    said = f"{visible} visible, {len(place.audited)} in scope, expected: {told}"
    yield Check("subscriptions", "ok" if place.audited else "fail", said, "" if place.audited else "widen the scope")
    for row in place.coverage:
        if not row.state.whole:
            remedy = "give the identity Reader there, or correct the scope"
            if row.state is CoverageState.PARTIAL:
                remedy = "give it Reader on the management group above them all"
            yield Check(f"subscription {row.subscription_id}".strip(), "fail", row.reason, remedy)


def _table(found: Probed) -> Check:
    said = f"{found.state}: {found.said}" + (f"; {found.doubt}" if found.doubt else "")
    needs = ", ".join(found.needs)
    name = f"table {found.table}"
    if found.state == "denied":
        return Check(name, "fail", said, _ROLE.format(needs=needs))
    if found.state == "failed":
        return Check(name, "fail", f"{said} (needs {needs})", "see the state of Azure and the network, then try again")
    if found.state == "not probed":
        return Check(name, "skip", f"{said} (needs {needs})")
    if found.doubt:
        return Check(name, "warn", said, _ROLE.format(needs=needs))
    return Check(name, "ok", f"{said} (needs {needs})")


def _rules(tables: list[Probed], place: Place, given: Inputs | None, *, clock_wrong: bool) -> Iterable[Check]:
    """Say which rules could not judge, from the tables that their SQL is answered from."""
    if given is None:
        return
    bad = {found.table: found.state for found in tables if found.state in ("denied", "failed")}
    hidden = any(not row.state.whole for row in place.coverage)
    lineage = Lineage(given.standard)
    well = 0
    for rule in given.book.rules:
        behind = lineage.behind(rule.file.sql)
        why = [f"{table} is {bad[table]}" for table in sorted(behind.tables & bad.keys())]
        if hidden and "subscription" in behind.whole:
            why.append("not every subscription is visible")
        if clock_wrong:
            why.append("the clock is wrong")
        if why:
            yield Check(f"rule {rule.id}", "fail", f"would be unknown: {', '.join(why)}", "mend what is named above")
        well += not why
    yield Check(
        "rules that can judge", "ok" if well == len(given.book.rules) else "warn", f"{well} of {len(given.book.rules)}"
    )
