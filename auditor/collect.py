"""Asks for everything the inventory wants and keeps account of what came: raw pages, coverage, gaps.

Defines the port to Azure; `auditor.azure` is its implementation.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from auditor.bundle import Covered
from auditor.document import did_you_mean
from auditor.errors import NoRunError, UsageError
from auditor.inventory import catalogue
from auditor.model import NOT_ASKED, Coverage, CoverageState, Gap, Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    Row = Mapping[str, Any]

    from auditor.bundle import Draft
    from auditor.inventory.catalogue import Table

GROUP = 300
"""Subscriptions asked in one query; Microsoft's advice is to stay below this."""
QUERIES_AT_ONCE = 4
"""Resource Graph queries under way at the same time; its quota is one for all of them."""
READERS = 8
"""Items of one subscription read at the same time; each subscription has its own pace, none waits for another."""
_NO_LIST = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
"""Of a vault: deleted since Resource Graph saw it, or on a server that knows no such list."""
_TRIES = 2
"""Times a question is asked whose answer does not add up."""


_VAULT = re.compile(
    r"/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.recoveryservices/vaults/[^/]+", flags=re.IGNORECASE
)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
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
    """Lower-cased id."""
    exclude_subscriptions: tuple[str, ...] = ()
    expect_subscriptions: tuple[str, ...] | int | None = None
    """Ids or names, or how many; None: nothing is declared."""
    recovery_points: str = "all"
    """`all` or `none`."""


async def collect(
    azure: Azure,
    scope: Scope,
    draft: Draft,
    tell: Callable[[str], None] = lambda _: None,
    *,
    remembered: Iterable[str] = (),
) -> Covered:
    """Read everything in scope into `draft`; give what was covered.

    Args:
        azure: where to ask.
        scope: what to audit.
        draft: takes the raw answers.
        tell: hears what is being read.
        remembered: lower-cased ids of the vaults that the run before knew. A vault that is in no list any more is
            deleted (404) or kept from us (403): only asking for it tells which.

    Raises:
        NoRunError: no subscription is visible.
        UsageError: a subscription name is ambiguous.
    """
    return await _Collection(azure, scope, draft, tell).run(remembered)


class _Collection:
    """One collection under way, with its account of what was and was not read."""

    def __init__(self, azure: Azure, scope: Scope, draft: Draft, tell: Callable[[str], None]) -> None:
        self.azure, self.scope, self.draft, self.tell = azure, scope, draft, tell
        self.rows: list[Coverage] = []
        self.gaps: list[Gap] = []

    async def run(self, remembered: Iterable[str]) -> Covered:
        seen = await self._visible()
        place = _place(seen, self.scope)
        self.rows += place.coverage
        found = await self._tables(sorted(seen), sorted(place.audited))
        vaults = {key: key for key in remembered if _VAULT.fullmatch(key)}
        vaults |= {key: str(row["id"]) for row in found["vault"] if _VAULT.fullmatch(key := _id_of(row))}
        items = [*found["protected_item"], *await self._vaults(vaults)]
        await self._points(_points_wanted(items, place.audited))
        return Covered(
            tuple(sorted(self.rows, key=lambda row: (row.table, row.subscription_id, row.reason))),
            tuple(sorted(self.gaps, key=lambda gap: (gap.table, gap.resource_id))),
            tuple(place.subscriptions),
        )

    async def _visible(self) -> dict[str, Row]:
        """Learn which subscriptions are visible: id -> row."""
        self.tell("subscription")
        seen: dict[str, Row] = {}
        try:
            for _ in range(_TRIES):
                tally = _Tally()
                async for answer in self.azure.query(_KQL["subscription"], None):
                    self.draft.page("subscription", answer.entry, answer.body)
                    tally.add(answer)
                    seen |= {_subscription_of(row): row for row in answer.rows if _in_tenant(row, self.scope.tenant)}
                if not (reason := tally.lack()):
                    break
        except ReadError as error:
            remedy = "check sign-in, network and the Reader role"
            raise NoRunError(f"the subscriptions could not be listed: {error.reason}", remedy) from error
        if not seen:
            raise NoRunError("no subscription is visible to this identity", "give it Reader on a management group")
        if reason:
            self.rows.append(Coverage("subscription", "", CoverageState.PARTIAL, None, len(seen), reason))
        return seen

    # -- tables of Resource Graph -----------------------------------------------------------------------------------

    async def _tables(self, visible: Sequence[str], audited: Sequence[str]) -> dict[str, list[Row]]:
        """Ask for every table, in groups of subscriptions; give the rows that later questions are made from."""
        kept: dict[str, list[Row]] = {"vault": [], "protected_item": []}
        width = asyncio.Semaphore(QUERIES_AT_ONCE)

        async def one(table: Table, group: Sequence[str] | None) -> None:
            async with width:
                rows = await self._ask(table, group, [""] if group is None else group, keep=table.name in kept)
            kept.setdefault(table.name, []).extend(rows)

        questions: list[tuple[Table, Sequence[str] | None]] = []
        for table in catalogue.tables():
            if table.name == "management_group":
                questions.append((table, None))  # management groups belong to the tenant, not to a subscription
            elif table.kql and table.name != "subscription":
                chosen = visible if table.tenant_wide else audited
                questions += [(table, chosen[start : start + GROUP]) for start in range(0, len(chosen), GROUP)]
        await asyncio.gather(*(one(table, group) for table, group in questions))
        return kept

    async def _ask(
        self, table: Table, subscriptions: Sequence[str] | None, covering: Sequence[str], *, keep: bool
    ) -> list[Row]:
        """Ask one question of one group of subscriptions and enter what came; give the rows where they are kept.

        A result that does not add up (a row lost, or told twice, because resources moved between pages) is asked for
        once more, then subscription by subscription, so that only those count as partial that are.
        """
        self.tell(table.name)
        kept: list[Row] = []
        for _ in range(_TRIES):
            tally = _Tally()
            try:
                async for answer in self.azure.query(table.kql or "", subscriptions):
                    self.draft.page(table.name, answer.entry, answer.body)
                    tally.add(answer)
                    if keep:
                        kept += answer.rows
            except ReadError as error:
                denied = error.state is CoverageState.DENIED
                state = error.state if denied or not tally.rows else CoverageState.PARTIAL
                reason = error.reason
                break
            reason = tally.lack()
            state = CoverageState.PARTIAL if reason else CoverageState.COMPLETE
            if state.whole:
                break
        if reason and reason == tally.lack() and subscriptions is not None and len(subscriptions) > 1:
            for key in subscriptions:
                kept += await self._ask(table, [key], [key], keep=keep)
            return kept
        for key in covering:
            received = tally.by_subscription[key] if key else tally.rows
            self.rows.append(Coverage(table.name, key, state, received if state.whole else None, received, reason))
        return kept

    # -- lists of the vaults ----------------------------------------------------------------------------------------

    async def _vaults(self, vaults: Mapping[str, str]) -> list[Row]:
        """Let each vault list its items itself: the second source, and the proof that the vault could be read.

        Args:
            vaults: lower-cased id -> id as Azure wrote it.
        """
        items: list[Row] = []

        async def one(vault_id: str) -> None:
            self.tell("protected_item")
            try:
                async for answer in self.azure.vault_items(vaults[vault_id]):
                    self.draft.page("protected_item", answer.entry, answer.body)
                    items.extend(answer.rows)
            except ReadError as error:
                # Without a list of its own, what Resource Graph said of its items stands.
                if error.status not in _NO_LIST:
                    self.gaps.append(Gap("vault", vault_id, error.state, error.reason))

        await asyncio.gather(*(one(vault_id) for vault_id in sorted(vaults)))
        unread = {gap.resource_id.split("/")[2]: gap for gap in reversed(self.gaps) if gap.table == "vault"}
        for number, row in enumerate(self.rows):
            if row.table == "protected_item" and row.subscription_id in unread and row.state.whole:
                gap = unread[row.subscription_id]
                reason = f"vault {gap.resource_id.split('/')[-1]} could not be read: {gap.reason}"
                self.rows[number] = replace(row, state=CoverageState.PARTIAL, expected=None, reason=reason)
        return items

    async def _points(self, wanted: Mapping[str, str]) -> None:
        """Read the recovery points of the items (id -> id as Azure wrote it)."""
        queues: dict[str, list[str]] = {}
        for item_id in wanted:
            queues.setdefault(item_id.split("/")[2], []).append(item_id)
        received: Counter[str] = Counter()
        reading = self.scope.recovery_points != "none"

        async def work(queue: Iterator[str]) -> None:
            for item_id in queue:
                self.tell(f"recovery_point {received.total()}/{len(wanted)}")
                try:
                    async for answer in self.azure.recovery_points(wanted[item_id]):
                        self.draft.page("recovery_point", {**answer.entry, "subject": item_id}, answer.body)
                    received[item_id.split("/")[2]] += 1
                except ReadError as error:
                    self.gaps.append(Gap("recovery_point", item_id, error.state, error.reason))

        if reading:
            shared = [(iter(queue), min(READERS, len(queue))) for queue in queues.values()]
            await asyncio.gather(*(work(queue) for queue, readers in shared for _ in range(readers)))
        failed = {gap.resource_id.split("/")[2]: gap for gap in reversed(self.gaps) if gap.table == "recovery_point"}
        for key, count in sorted((key, len(queue)) for key, queue in queues.items()):
            state, reason = CoverageState.COMPLETE, ""
            if not reading:
                state, reason = CoverageState.PARTIAL, NOT_ASKED
            elif received[key] < count:
                state = CoverageState.PARTIAL if received[key] else failed[key].state
                reason = f"{count - received[key]} of {count} items: {failed[key].reason}"
            self.rows.append(Coverage("recovery_point", key, state, count, received[key], reason))


class _Tally:
    """Counts the rows of one question and says whether they add up."""

    def __init__(self) -> None:
        self.rows = 0
        self.by_subscription: Counter[str] = Counter()
        self._ids: set[int] = set()
        self._total: int | None = None
        self._truncated = False

    def add(self, answer: Answer) -> None:
        self.rows += len(answer.rows)
        self._total, self._truncated = answer.total, self._truncated or answer.truncated
        for row in answer.rows:
            mark = hash(_id_of(row))  # 8 bytes for each row, where its id takes 200
            if mark not in self._ids:
                self._ids.add(mark)
                self.by_subscription[_subscription_of(row)] += 1

    def lack(self) -> str:
        """Say what is missing; empty where all is there."""
        if self._truncated:
            return "Resource Graph cut the result short and gave no way to read on"
        if self._total is not None and not self.rows == len(self._ids) == self._total:
            return f"{len(self._ids)} different rows of {self._total} came, asked twice"
        return ""


_KQL = {table.name: table.kql or "" for table in catalogue.tables()}


def _id_of(row: Row) -> str:
    return "/" + str(row.get("id") or "").strip("/").lower()


def _subscription_of(row: Row) -> str:
    found = re.match(r"/subscriptions/([^/]+)", _id_of(row))
    return found[1] if found else str(row.get("subscriptionId") or "").lower()


def _in_tenant(row: Row, tenant: str | None) -> bool:
    """Tell whether a subscription is of the tenant asked for; a tenant named by its domain is not compared."""
    own = str(row.get("tenantId") or "").lower()
    return not own or tenant is None or not _GUID.fullmatch(tenant) or own == tenant


def _below(row: Row, *names: str) -> Row:
    """Give the object at a path of names; an empty one where there is none."""
    for name in names:
        inner = row.get(name)
        row = inner if isinstance(inner, dict) else {}
    return row


@dataclass(frozen=True, slots=True)
class _Place:
    """The scope, held against what is visible."""

    audited: set[str]
    subscriptions: list[Subscription]
    coverage: list[Coverage]


def _place(seen: Mapping[str, Row], scope: Scope) -> _Place:
    """Decide which subscriptions are audited; enter what should be visible and is not."""
    unread: dict[str, str] = {}
    audited: set[str] = set()
    for wanted in scope.subscriptions:
        key = _named(seen, wanted, "--subscription")
        if key is None:
            unread[wanted.lower()] = "named by --subscription, but not visible to this identity"
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
    return _Place(audited, listed, coverage)


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
    chain = _below(row, "properties").get("managementGroupAncestorsChain")
    return [group for group in chain if isinstance(group, dict)] if isinstance(chain, list) else []


def _group_names(row: Row) -> set[str]:
    return {str(group.get(key, "")).casefold() for group in _ancestors(row) for key in ("name", "displayName")} - {""}


def _subscription(key: str, row: Row, audited: set[str], excluded: set[str]) -> Subscription:
    return Subscription(
        subscription_id=key,
        name=str(row.get("name", "")),
        state=str(_below(row, "properties").get("state") or ""),
        management_groups=tuple(str(g.get("displayName") or g.get("name") or "") for g in _ancestors(row)),
        reading="audited" if key in audited else "excluded" if key in excluded else "not in scope",
        vm_count=0,
    )


def _points_wanted(rows: Iterable[Row], audited: set[str]) -> dict[str, str]:
    """Give the items that protect a VM in scope: id as the inventory holds it -> id as Azure wrote it."""
    wanted = {}
    for row in rows:
        properties = _below(row, "properties")
        if str(properties.get("backupManagementType") or "AzureIaasVM").lower() != "azureiaasvm":
            continue
        vm_id = (
            properties.get("sourceResourceId")
            or properties.get("virtualMachineId")
            or _below(properties, "dataSourceInfo").get("resourceID")
        )
        place = re.match(r"/*subscriptions/([^/]+)/", str(vm_id or "").lower())
        # The vault's own list leaves the fabric out of the id; it is always Azure.
        item = _ITEM.fullmatch(f"/{str(row.get('id') or '').strip('/')}")
        if item and place and place[1] in audited:
            item_id = f"{item[1]}/backupFabrics/Azure/{item[2]}"
            wanted[item_id.lower()] = item_id
    return dict(sorted(wanted.items()))
