"""Asks for everything the inventory wants and keeps account of what came: raw pages, coverage, gaps.

Defines the port to Azure; `auditor.azure` is its implementation.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from auditor.bundle import Covered
from auditor.errors import NoRunError, UsageError
from auditor.inventory import catalogue
from auditor.model import Coverage, CoverageState, Gap, Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from auditor.bundle import Draft
    from auditor.inventory.catalogue import Table

GROUP = 300
"""Subscriptions asked in one query; Microsoft's advice is to stay below this."""
AT_ONCE = 64
"""Items whose points are asked for at the same time, over all subscriptions; each subscription has its own pace."""


_ITEM = re.compile(
    r"(.+/vaults/[^/]+)/(?:backupfabrics/[^/]+/)?(protectioncontainers/[^/]+/protecteditems/[^/]+)", flags=re.IGNORECASE
)


class ReadError(Exception):
    """Something could not be read to its end. Pages given before it stand."""

    def __init__(self, state: CoverageState, reason: str, status: int | None = None) -> None:
        """Say how it ended: denied or failed, with the HTTP status of the last try."""
        super().__init__(reason)
        self.state, self.reason, self.status = state, reason, status


@dataclass(frozen=True, slots=True)
class Answer:
    """One response body with what was asked."""

    body: bytes
    """As received."""
    rows: Sequence[Mapping[str, Any]]
    """The resources in it."""
    total: int | None
    """What Azure says there is over all pages; None where it does not say."""
    truncated: bool
    """Resource Graph says that rows were left out and can't be paged for."""
    entry: Mapping[str, Any]
    """For raw/responses.jsonl: method, url, sent, status, api_version, request ids, received_at, ..."""


class Azure(Protocol):
    """What collect needs of Azure. Every iterator raises ReadError when it can't go on."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Who asks."""

    def query(self, kql: str, subscriptions: Sequence[str] | None) -> AsyncIterator[Answer]:
        """Ask Resource Graph; None asks the whole tenant. Pages in order."""

    def vault_items(self, vault_id: str) -> AsyncIterator[Answer]:
        """List a vault's protected VMs."""

    def recovery_points(self, item_id: str) -> AsyncIterator[Answer]:
        """List an item's recovery points."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to audit, as the user said it."""

    subscriptions: tuple[str, ...] = ()
    """Ids or names."""
    management_groups: tuple[str, ...] = ()
    tenant: str | None = None
    exclude_subscriptions: tuple[str, ...] = ()
    expect_subscriptions: tuple[str, ...] | int | None = None
    """Ids or names, or how many; None: nothing is declared."""
    recovery_points: str = "all"
    """`all` or `none`."""


@dataclass(slots=True)
class Ledger:
    """Coverage while it grows."""

    rows: list[Coverage] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


async def collect(azure: Azure, scope: Scope, draft: Draft, tell: Callable[[str], None] = lambda _: None) -> Covered:
    """Read everything in scope into `draft`; give what was covered.

    Raises:
        NoRunError: no subscription is visible.
        UsageError: a subscription name is ambiguous.
    """
    ledger = Ledger()
    tables = {table.name: table for table in catalogue.tables()}
    tell("subscriptions")
    seen = await _subscriptions(azure, tables["subscription"], draft, scope)
    audited, subscriptions = _in_scope(seen, scope, ledger)
    visible = sorted(seen)
    await _ask(azure, tables["management_group"], None, visible, draft, ledger, tell)
    questions = [
        table for table in tables.values() if table.kql and table.name not in ("subscription", "management_group")
    ]
    kept: dict[str, list[Mapping[str, Any]]] = {"vault": [], "protected_item": []}
    width = asyncio.Semaphore(4)

    async def one(table: Table, group: Sequence[str]) -> None:
        async with width:
            await _ask(azure, table, group, group, draft, ledger, tell, kept.get(table.name))

    groups = [
        (table, chosen[start : start + GROUP])
        for table in questions
        for chosen in [visible if table.tenant_wide else sorted(audited)]
        for start in range(0, len(chosen), GROUP)
    ]
    await asyncio.gather(*(one(table, group) for table, group in groups))
    await _items_of_vaults(azure, kept, draft, ledger, tell)
    await _points(azure, kept["protected_item"], audited, scope, draft, ledger, tell)
    return Covered(
        tuple(sorted(ledger.rows, key=lambda row: (row.table, row.subscription_id, row.reason))),
        tuple(sorted(ledger.gaps, key=lambda gap: (gap.table, gap.resource_id))),
        tuple(subscriptions),
    )


async def _subscriptions(azure: Azure, table: Table, draft: Draft, scope: Scope) -> dict[str, Mapping[str, Any]]:
    """Learn which subscriptions are visible: id -> row."""
    seen: dict[str, Mapping[str, Any]] = {}
    try:
        async for answer in azure.query(table.kql or "", None):
            draft.page(table.name, answer.entry, answer.body)
            for row in answer.rows:
                if scope.tenant is None or str(row.get("tenantId", "")).lower() == scope.tenant.lower():
                    seen[_subscription_of(row)] = row
    except ReadError as error:
        raise NoRunError(
            f"the subscriptions could not be listed: {error.reason}", "check sign-in, network and the Reader role"
        ) from error
    if not seen:
        raise NoRunError("no subscription is visible to this identity", "give it Reader on a management group")
    return seen


def _subscription_of(row: Mapping[str, Any]) -> str:
    found = re.match(r"/?subscriptions/([^/]+)", str(row.get("id", "")), flags=re.IGNORECASE)
    return (found[1] if found else str(row.get("subscriptionId", ""))).lower()


def _named(seen: Mapping[str, Mapping[str, Any]], wanted: str, option: str) -> str | None:
    """Find a subscription by id or name; None where it is not visible."""
    if wanted.lower() in seen:
        return wanted.lower()
    found = [key for key, row in seen.items() if str(row.get("name", "")).casefold() == wanted.casefold()]
    if len(found) > 1:
        raise UsageError(
            f"{option} {wanted}: {len(found)} subscriptions have this name", f"use an id: {', '.join(sorted(found))}"
        )
    return found[0] if found else None


def _ancestors(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    chain = (row.get("properties") or {}).get("managementGroupAncestorsChain")
    return [group for group in chain if isinstance(group, dict)] if isinstance(chain, list) else []


def _in_scope(
    seen: Mapping[str, Mapping[str, Any]], scope: Scope, ledger: Ledger
) -> tuple[set[str], list[Subscription]]:
    """Decide which subscriptions are audited; enter what should be visible and is not."""
    audited: set[str] = set()
    unread: dict[str, str] = {}
    for wanted in scope.subscriptions:
        key = _named(seen, wanted, "--subscription")
        if key is None:
            unread[wanted.lower()] = "named by --subscription, but not visible to this identity"
        else:
            audited.add(key)
    for wanted in scope.management_groups:
        below = {
            key
            for key, row in seen.items()
            if any(
                wanted.casefold() in (str(g.get("name", "")).casefold(), str(g.get("displayName", "")).casefold())
                for g in _ancestors(row)
            )
        }
        if not below:
            unread[wanted.lower()] = "management group without a visible subscription"
        audited |= below
    if not scope.subscriptions and not scope.management_groups:
        audited = set(seen)
    excluded = {key for name in scope.exclude_subscriptions if (key := _named(seen, name, "--exclude-subscription"))}
    audited -= excluded
    if isinstance(scope.expect_subscriptions, tuple):
        for wanted in scope.expect_subscriptions:
            if _named(seen, wanted, "--expect-subscriptions") is None:
                unread.setdefault(
                    wanted.lower(), "expected by --expect-subscriptions, but not visible to this identity"
                )
    expected = len(seen) + len(unread)
    if isinstance(scope.expect_subscriptions, int):
        expected = max(expected, scope.expect_subscriptions)
        if len(seen) + len(unread) < expected:
            reason = f"{scope.expect_subscriptions} subscriptions expected, {len(seen)} visible"
            ledger.rows.append(Coverage("subscription", "", CoverageState.PARTIAL, expected, len(seen), reason))
    for key in sorted(seen):
        ledger.rows.append(Coverage("subscription", key, CoverageState.COMPLETE, 1, 1))
    for name, reason in sorted(unread.items()):
        ledger.rows.append(Coverage("subscription", name, CoverageState.DENIED, 1, 0, reason))
    listed = [
        Subscription(
            subscription_id=key,
            name=str(row.get("name", "")),
            state=str((row.get("properties") or {}).get("state", "")),
            management_groups=tuple(str(g.get("displayName") or g.get("name") or "") for g in _ancestors(row)),
            reading="audited" if key in audited else "excluded" if key in excluded else "not in scope",
            vm_count=0,
        )
        for key, row in sorted(seen.items())
    ]
    listed += [Subscription(name, name, "", (), "unreadable", 0) for name in sorted(unread)]
    return audited, listed


async def _ask(
    azure: Azure,
    table: Table,
    subscriptions: Sequence[str] | None,
    covering: Sequence[str],
    draft: Draft,
    ledger: Ledger,
    tell: Callable[[str], None],
    keep: list[Mapping[str, Any]] | None = None,
) -> None:
    """Ask one question of one group of subscriptions and enter what came.

    A result that does not add up (a row lost or told twice because resources moved between pages) is asked for once
    more before it counts as partial.
    """
    tell(table.name)
    state, reason, distinct = CoverageState.COMPLETE, "", Counter[str]()
    for _attempt in (1, 2):
        ids: set[int] = set()
        distinct, rows, total, truncated = Counter(), 0, None, False
        fresh: list[Mapping[str, Any]] = []
        try:
            async for answer in azure.query(table.kql or "", subscriptions):
                draft.page(table.name, answer.entry, answer.body)
                rows += len(answer.rows)
                total, truncated = answer.total, truncated or answer.truncated
                for row in answer.rows:
                    mark = hash(str(row.get("id", "")).lower())
                    if mark not in ids:
                        ids.add(mark)
                        distinct[_subscription_of(row)] += 1
                if keep is not None:
                    fresh += answer.rows
        except ReadError as error:
            state, reason = error.state, error.reason
            if rows and state is not CoverageState.DENIED:
                state = CoverageState.PARTIAL
            break
        finally:
            if keep is not None:
                keep += fresh
        if truncated:
            state, reason = CoverageState.PARTIAL, "Resource Graph cut the result short and gave no way to read on"
        elif total is not None and (rows != total or len(ids) != total):
            state = CoverageState.PARTIAL
            reason = f"{len(ids)} different rows of {total} came, asked twice"
        else:
            state, reason = CoverageState.COMPLETE, ""
            break
    for key in covering:
        expected = distinct[key] if state is CoverageState.COMPLETE else None
        ledger.rows.append(Coverage(table.name, key, state, expected, distinct[key], reason))


async def _items_of_vaults(
    azure: Azure,
    kept: Mapping[str, list[Mapping[str, Any]]],
    draft: Draft,
    ledger: Ledger,
    tell: Callable[[str], None],
) -> None:
    """Let each vault list its items itself: the second source, and the proof that the vault could be read at all."""
    vaults = {str(row["id"]).lower(): str(row["id"]) for row in kept["vault"] if row.get("id")}
    width = asyncio.Semaphore(AT_ONCE)
    failed: dict[str, list[str]] = defaultdict(list)

    async def one(vault_id: str) -> None:
        async with width:
            tell("protected_item")
            try:
                async for answer in azure.vault_items(vaults[vault_id]):
                    draft.page("protected_item", answer.entry, answer.body)
                    kept["protected_item"].extend(answer.rows)
            except ReadError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return  # deleted since Resource Graph saw it; what Resource Graph said of its items stands
                ledger.gaps.append(Gap("vault", vault_id, error.state, error.reason))
                failed[vault_id.split("/")[2]].append(f"{vault_id.rsplit('/', maxsplit=1)[-1]}: {error.reason}")

    await asyncio.gather(*(one(vault_id) for vault_id in sorted(vaults)))
    for key, reasons in failed.items():
        for number, row in enumerate(ledger.rows):
            if row.table == "protected_item" and row.subscription_id == key and row.state.whole:
                reason = "vault not readable: " + "; ".join(sorted(reasons))
                ledger.rows[number] = Coverage(row.table, key, CoverageState.PARTIAL, None, row.received, reason)


def _points_wanted(rows: Iterable[Mapping[str, Any]], audited: set[str]) -> dict[str, str]:
    """Give the items that protect a VM in scope: id as the inventory holds it -> id as Azure wrote it."""
    wanted = {}
    for row in rows:
        properties = row.get("properties") or {}
        if str(properties.get("backupManagementType") or "AzureIaasVM").lower() != "azureiaasvm":
            continue
        source = properties.get("dataSourceInfo") or {}
        vm_id = (
            properties.get("sourceResourceId") or properties.get("virtualMachineId") or source.get("resourceID") or ""
        )
        place = re.match(r"/?subscriptions/([^/]+)/", str(vm_id).lower())
        # The vault's own list leaves the fabric out of the id; it is always Azure.
        item = _ITEM.fullmatch(str(row.get("id", "")))
        if item and place and place[1] in audited:
            item_id = f"{item[1]}/backupFabrics/Azure/{item[2]}"
            wanted[item_id.lower()] = item_id
    return dict(sorted(wanted.items()))


async def _points(
    azure: Azure,
    items: Iterable[Mapping[str, Any]],
    audited: set[str],
    scope: Scope,
    draft: Draft,
    ledger: Ledger,
    tell: Callable[[str], None],
) -> None:
    """Read the recovery points of every item that protects a VM in scope."""
    wanted = _points_wanted(items, audited)
    expected = Counter(item_id.split("/")[2] for item_id in wanted)
    if scope.recovery_points == "none":
        for key, count in sorted(expected.items()):
            reason = "not asked for: --recovery-points none"
            ledger.rows.append(Coverage("recovery_point", key, CoverageState.PARTIAL, count, 0, reason))
        return
    received: Counter[str] = Counter()
    worst: dict[str, tuple[CoverageState, str]] = {}
    queue = iter(wanted)

    async def work() -> None:
        for item_id in queue:
            key = item_id.split("/")[2]
            tell(f"recovery_point {sum(received.values())}/{len(wanted)}")
            try:
                async for answer in azure.recovery_points(wanted[item_id]):
                    draft.page("recovery_point", {**answer.entry, "subject": item_id}, answer.body)
                received[key] += 1
            except ReadError as error:
                ledger.gaps.append(Gap("recovery_point", item_id, error.state, error.reason))
                worst.setdefault(key, (error.state, error.reason))

    await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(wanted)))))
    for key, count in sorted(expected.items()):
        state, reason = CoverageState.COMPLETE, ""
        if received[key] < count:
            state, reason = worst[key]
            if received[key]:
                state, reason = CoverageState.PARTIAL, f"{count - received[key]} of {count} items: {reason}"
        ledger.rows.append(Coverage("recovery_point", key, state, count, received[key], reason))
