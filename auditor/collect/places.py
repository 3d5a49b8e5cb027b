"""The scope as the user said it, held against the subscriptions that are visible."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.collect.rows import below
from auditor.document import did_you_mean
from auditor.errors import UsageError
from auditor.model import Coverage, CoverageState, Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.collect.port import Row

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Scope:
    """What to audit, as the user said it."""

    subscriptions: tuple[str, ...] = ()
    """Ids or names."""
    management_groups: tuple[str, ...] = ()
    tenant: str | None = None
    """Lower-cased id."""
    exclude_subscriptions: tuple[str, ...] = ()
    expect_subscriptions: tuple[str, ...] | int | None = None
    """Ids or names, or how many; None: nothing is declared."""
    recovery_points: str = "all"
    """`all`, `changed`, `none` or `sample:N`."""

    @property
    def sample_size(self) -> int | None:
        """Protected items whose points are read; None where it is not a sample."""
        kind, _, size = self.recovery_points.partition(":")
        return int(size) if kind == "sample" else None


def in_tenant(row: Row, tenant: str | None) -> bool:
    """Tell whether a subscription is of the tenant asked for; a tenant named by its domain is not compared."""
    own = str(row.get("tenantId") or "").lower()
    return not own or tenant is None or not _GUID.fullmatch(tenant) or own == tenant


@dataclass(frozen=True, slots=True)
class Place:
    """The scope, held against what is visible."""

    audited: set[str]
    subscriptions: list[Subscription]
    coverage: list[Coverage]


def place(seen: Mapping[str, Row], scope: Scope, hidden: Mapping[str, str]) -> Place:
    """Decide which subscriptions are audited; enter what should be visible and is not.

    Args:
        seen: visible subscriptions, lower-cased id -> row.
        scope: what the user asked for.
        hidden: subscriptions known to exist and not visible, lower-cased id -> how they are known.
    """
    unread = dict(hidden)
    audited: set[str] = set()
    for wanted in scope.subscriptions:
        key = _named(seen, wanted, "--subscription")
        if key is None:
            reason = "named by --subscription, but not visible to this identity"
            unread[wanted.lower()] = f"{reason}; a comma is part of a name" if "," in wanted else reason
        else:
            audited.add(key)
    for wanted in scope.management_groups:
        below = {key for key, row in seen.items() if wanted.casefold() in _group_names(row)}
        if not below:
            unread[wanted.lower()] = "management group without a visible subscription"
        audited |= below
    if not scope.subscriptions and not scope.management_groups:
        audited = set(seen)
    excluded = _excluded(seen, scope, audited)
    audited -= excluded
    coverage = []
    if isinstance(scope.expect_subscriptions, tuple):
        for wanted in scope.expect_subscriptions:
            if _named(seen, wanted, "--expect-subscriptions") is None:
                unread.setdefault(
                    wanted.lower(), "expected by --expect-subscriptions, but not visible to this identity"
                )
    elif scope.expect_subscriptions is not None and len(seen) < scope.expect_subscriptions:
        reason = f"{scope.expect_subscriptions} subscriptions expected, {len(seen)} visible"
        coverage.append(
            Coverage("subscription", "", CoverageState.PARTIAL, scope.expect_subscriptions, len(seen), reason)
        )
    coverage += [Coverage("subscription", key, CoverageState.COMPLETE, 1, 1) for key in sorted(seen)]
    coverage += [
        Coverage("subscription", name, CoverageState.DENIED, 1, 0, reason) for name, reason in sorted(unread.items())
    ]
    listed = [_subscription(key, row, audited, excluded) for key, row in sorted(seen.items())]
    listed += [Subscription(name, name, "", (), "unreadable", 0) for name in sorted(unread)]
    return Place(audited, listed, coverage)


def _excluded(seen: Mapping[str, Row], scope: Scope, audited: set[str]) -> set[str]:
    found = {name: _named(seen, name, "--exclude-subscription") for name in scope.exclude_subscriptions}
    for name, key in found.items():
        if key is None:
            names = [str(row.get("name", "")) for row in seen.values()]
            raise UsageError(
                f"--exclude-subscription {name}: no such subscription is visible", did_you_mean(name, names)
            )
    excluded = {key for key in found.values() if key}
    if audited and not audited - excluded:
        raise UsageError("--exclude-subscription leaves nothing to audit", "leave out fewer, or widen the scope")
    return excluded


def _named(seen: Mapping[str, Row], wanted: str, option: str) -> str | None:
    """Find a subscription by id or name; None where it is not visible."""
    if wanted.lower() in seen:
        return wanted.lower()
    found = sorted(key for key, row in seen.items() if str(row.get("name", "")).casefold() == wanted.casefold())
    if len(found) > 1:
        raise UsageError(
            f"{option} {wanted}: {len(found)} subscriptions have this name", f"use an id: {', '.join(found)}"
        )
    return found[0] if found else None


def _ancestors(row: Row) -> list[Row]:
    chain = below(row, "properties").get("managementGroupAncestorsChain")
    return [group for group in chain if isinstance(group, dict)] if isinstance(chain, list) else []


def _group_names(row: Row) -> set[str]:
    return {str(group.get(key, "")).casefold() for group in _ancestors(row) for key in ("name", "displayName")} - {""}


def _subscription(key: str, row: Row, audited: set[str], excluded: set[str]) -> Subscription:
    return Subscription(
        subscription_id=key,
        name=str(row.get("name", "")),
        state=str(below(row, "properties").get("state") or ""),
        management_groups=tuple(str(g.get("displayName") or g.get("name") or "") for g in _ancestors(row)),
        reading="audited" if key in audited else "excluded" if key in excluded else "not in scope",
        vm_count=0,
        tenant_id=str(row.get("tenantId") or "").lower(),
    )
