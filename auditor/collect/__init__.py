"""Asks for everything the inventory wants and keeps account of what came: raw pages, coverage, gaps.

`port` is what it needs of Azure, `places` holds the scope against what is visible.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import re
import sqlite3
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from auditor.bundle import Covered
from auditor.collect.places import Place, Scope, in_tenant, place
from auditor.collect.port import Answer, Azure, FirstKept, Keeper, Kept, ReadError
from auditor.collect.rows import Tally, below, id_of, subscription_of
from auditor.collect.subjects import Subjects, place_of
from auditor.errors import NoRunError, UsageError
from auditor.inventory import catalogue
from auditor.model import CLOCK_TOLERANCE_SECONDS, NOT_ASKED, NOT_SAMPLED, Coverage, CoverageState, Gap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from auditor.bundle import Draft
    from auditor.collect.port import Row
    from auditor.inventory.catalogue import Each, GraphQuestion, RestQuestion, Table

    _Known = Sequence[tuple[Mapping[str, Any], bytes]]
    """Entries and bodies about one subject."""

__all__ = ["Answer", "Azure", "FirstKept", "Kept", "ReadError", "Scope", "collect"]

GROUP = 300
"""Subscriptions asked in one query; Microsoft's advice is to stay below this."""
QUERIES_AT_ONCE = 4
"""Resource Graph queries under way at the same time; its quota is one for all of them."""
READERS = 8
"""Resources of one subscription asked about at the same time; subscriptions do not wait for each other."""
JOBS_DAYS = 31
"""Days of jobs that are asked for: weekly runs overlap, so that none is lost although Azure forgets them."""
NO_SUCH = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
"""Deleted since Resource Graph saw it, or on a server that knows no such list."""
_TRIES = 2
"""Times a question is asked whose answer does not add up."""

_VAULT = re.compile(
    r"/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.recoveryservices/vaults/[^/]+", flags=re.IGNORECASE
)
_ITEM = re.compile(
    r"(.+/vaults/[^/]+)/(?:backupfabrics/[^/]+/)?(protectioncontainers/[^/]+/protecteditems/[^/]+)", flags=re.IGNORECASE
)
GROUPS = "/providers/Microsoft.Management/managementGroups"
_AT_REST = {"protectionstopped", "softdeleted"}
"""States in which an item gets no new points."""


async def collect(
    azure: Azure,
    scope: Scope,
    draft: Draft,
    tell: Callable[[str], None] = lambda _: None,
    *,
    remembered: Iterable[str] = (),
    kept: Kept | None = None,
    sampling_accepted: bool = False,
) -> Covered:
    """Read everything in scope into `draft`; give what was covered.

    Args:
        azure: where to ask.
        scope: what to audit.
        draft: takes the raw answers.
        tell: hears what is being read.
        remembered: lower-cased ids of the vaults that the run before knew. A vault that is in no list any more is
            deleted (404) or kept from us (403): only asking for it tells which.
        kept: answers about recovery points that an earlier or interrupted run left.
        sampling_accepted: the standard is content with a sample of the recovery points.

    Raises:
        NoRunError: no subscription is visible.
        UsageError: a subscription name is ambiguous, or the temporary folder can't be written.
    """
    collection = Collection(azure, scope, draft, tell)
    collection.kept, collection.sampling_accepted = kept, sampling_accepted
    try:
        return await collection.run(remembered)
    except sqlite3.OperationalError as error:
        said = f"the temporary folder cannot be written: {error}"
        raise UsageError(said, "make room there, or set TMPDIR to another folder") from error


class Collection:
    """One collection under way, with its account of what was and was not read; `probe` begins one too."""

    def __init__(self, azure: Azure, scope: Scope, draft: Keeper, tell: Callable[[str], None]) -> None:
        """Ask nothing yet."""
        self.azure, self.scope, self.draft, self.tell = azure, scope, draft, tell
        self.kept: Kept | None = None
        self.sampling_accepted = False
        self.rows: list[Coverage] = []
        self.second: list[Coverage] = []
        self.gaps: list[Gap] = []
        self.seen: dict[str, Row] = {}
        self.audited: set[str] = set()
        # What later questions are asked about.
        self.vaults, self.collections, self.initiatives = Subjects(), Subjects(), Subjects()
        self.items = Subjects()
        """Protected items whose points are wanted; the fabric is put in where it was left out of an id."""
        self.at_rest = Subjects()
        """Those of them that get no new points."""
        self.sampled: tuple[str, ...] | None = None

    async def run(self, remembered: Iterable[str]) -> Covered:
        """See `collect`."""
        where = await self.place()
        self.vaults.update((key, key) for key in remembered if _VAULT.fullmatch(key))
        # Resource Graph has its own quota, each subscription another: none need wait for the other.
        await asyncio.gather(self._tables(), *self._asked_of("subscription", "audited subscription"))
        await self._vaults()
        await asyncio.gather(
            self._points(), *self._asked_of("concerned vault", "restore point collection", "initiative")
        )
        self._check_clock()
        self.draft.write_setbacks(self.azure.setbacks)
        return Covered(
            coverage=_sorted(self.rows),
            gaps=tuple(sorted(self.gaps, key=lambda gap: (gap.table, gap.resource_id))),
            subscriptions=tuple(where.subscriptions),
            second=_sorted(self.second),
            sampled=self.sampled,
            clock_offset_seconds=self.azure.clock_offset,
        )

    def _asked_of(self, *kinds: Each) -> list[Awaitable[object]]:
        """Give the work of asking every question about these kinds of subjects."""
        questions = [table.rest for table in catalogue.tables() if table.rest]
        return [self._each(it.table, self.subjects(it.each)) for it in questions if it.each in kinds]

    def subjects(self, each: Each) -> Subjects:
        """Give what a question of this kind is asked about, as far as it is known by now; "" for the tenant."""
        known: dict[Each, Callable[[], Subjects]] = {
            "tenant": lambda: Subjects([("", "")]),
            "management group": lambda: Subjects((it.lower(), f"{GROUPS}/{it}") for it in self.scope.management_groups),
            "subscription": lambda: _paths(self.seen),
            "audited subscription": lambda: _paths(self.audited),
            "vault": lambda: self.vaults,
            "concerned vault": self._concerned,
            "protected item": lambda: self.items,
            "restore point collection": lambda: self.collections,
            "initiative": lambda: self.initiatives,
        }
        return known[each]()

    def _concerned(self) -> Subjects:
        """Give the vaults that lie in an audited subscription or protect a VM of one."""
        of_items = self.items.parents("/backupfabrics/")
        return Subjects(it for it in self.vaults.items() if place_of(it[0]) in self.audited or it[0] in of_items)

    def note(self, table: str, row: Row) -> None:
        """Remember of a row what later questions are asked about."""
        key = id_of(row)
        if table == "vault" and _VAULT.fullmatch(key):
            self.vaults[key] = str(row["id"])
        elif table == "protected_item":
            self._want(row)
        elif table == "restore_point_collection" and not _of_azure_backup(key):
            self.collections[key] = str(row["id"])
        elif table == "policy_assignment":
            definition = str(below(row, "properties").get("policyDefinitionId") or "")
            if "/policysetdefinitions/" in definition.lower():
                self.initiatives[definition.lower()] = definition

    def _want(self, row: Row) -> None:
        """Want the points of an item that protects a VM in scope."""
        properties = below(row, "properties")
        if str(properties.get("backupManagementType") or "AzureIaasVM").lower() != "azureiaasvm":
            return
        vm_id = (
            properties.get("sourceResourceId")
            or properties.get("virtualMachineId")
            or below(properties, "dataSourceInfo").get("resourceID")
        )
        found = re.match(r"/*subscriptions/([^/]+)/", str(vm_id or "").lower())
        # The vault's own list leaves the fabric out of the id; it is always Azure.
        item = _ITEM.fullmatch(f"/{str(row.get('id') or '').strip('/')}")
        if item and found and found[1] in self.audited:
            written = f"{item[1]}/backupFabrics/Azure/{item[2]}"
            states = {str(properties.get(key) or "").lower() for key in ("protectionState", "currentProtectionState")}
            at_rest = bool(states & _AT_REST) or properties.get("isScheduledForDeferredDelete") is True
            self.items[written.lower()] = written
            if at_rest:
                self.at_rest[written.lower()] = written
            else:
                self.at_rest.pop(written.lower(), None)

    async def place(self) -> Place:
        """Hold the scope against the subscriptions that are visible.

        Raises:
            NoRunError: no subscription is visible.
            UsageError: a subscription name is ambiguous.
        """
        self.seen = await self._visible()
        where = place(self.seen, self.scope, await self._hidden())
        self.rows += where.coverage
        self.audited = where.audited
        return where

    async def _visible(self) -> dict[str, Row]:
        """Learn which subscriptions are visible: id -> row."""
        self.tell("subscription")
        question = catalogue.query("subscription")
        seen: dict[str, Row] = {}
        reason = ""
        try:
            for _ in range(_TRIES):
                tally = Tally()
                async for answer in self.azure.query(question, None):
                    self.draft.page("subscription", answer.entry, answer.body)
                    tally.add(answer)
                    seen |= {subscription_of(row): row for row in answer.rows if in_tenant(row, self.scope.tenant)}
                    del answer
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

    async def _hidden(self) -> dict[str, str]:
        """Learn which subscriptions there are that Resource Graph does not show: id -> who told of them."""
        told = await self._each("subscription", self.subjects("tenant"), keep=True)
        listed = {
            key
            for row in told
            if (key := str(row.get("subscriptionId") or "").lower())
            and key not in self.seen
            and in_tenant(row, self.scope.tenant)
            if str(row.get("state") or "").lower() in ("enabled", "warned", "pastdue")
        }
        hidden = dict.fromkeys(listed, "Resource Manager lists it, Resource Graph does not show it")
        for name, path in self.subjects("management group").items():
            for row in await self._each("management_group", Subjects([(name, path)]), keep=True):
                key = str(row.get("name") or "").lower()
                if str(row.get("type") or "").lower().endswith("/subscriptions") and key not in self.seen:
                    hidden[key] = f"below management group {path.split('/')[-1]}, but not visible to this identity"
        return hidden

    # -- tables of Resource Graph -----------------------------------------------------------------------------------

    async def _tables(self) -> None:
        """Ask for every table, in groups of subscriptions."""
        visible, audited = sorted(self.seen), sorted(self.audited)
        width = asyncio.Semaphore(QUERIES_AT_ONCE)

        async def one(table: Table, question: GraphQuestion, group: Sequence[str] | None) -> None:
            async with width:
                self.rows += await self._ask(table.name, question, group)

        asked: list[tuple[Table, GraphQuestion, Sequence[str] | None]] = []
        for table in catalogue.tables():
            question = table.graph
            if question is None or question.reach == "refused" or table.name == "subscription":
                continue
            if question.reach == "everything":
                asked.append((table, question, None))
            else:
                chosen = visible if question.reach == "tenant" else audited
                groups = (chosen[start : start + GROUP] for start in range(0, len(chosen), GROUP))
                asked += [(table, question, group) for group in groups]
        await asyncio.gather(*(one(*it) for it in asked))

    async def _ask(self, table: str, question: GraphQuestion, subscriptions: Sequence[str] | None) -> list[Coverage]:
        """Ask one question of one group of subscriptions; give how far it was answered.

        A result that does not add up (a row lost, or told twice, because resources moved between pages) is asked for
        once more, then subscription by subscription, so that only those count as partial that are.
        """
        self.tell(table)
        for _ in range(_TRIES):
            tally = Tally()
            try:
                async for answer in self.azure.query(question, subscriptions):
                    self.draft.page(table, answer.entry, answer.body)
                    tally.add(answer)
                    for row in answer.rows:
                        self.note(table, row)
                    del answer
            except ReadError as error:
                denied = error.state is CoverageState.DENIED
                state = error.state if denied or not tally.rows else CoverageState.PARTIAL
                return _covered(table, subscriptions, tally, state, error.reason)
            reason = tally.lack()
            if not reason:
                return _covered(table, subscriptions, tally, CoverageState.COMPLETE, "")
        if subscriptions is not None and len(subscriptions) > 1:
            return [row for key in subscriptions for row in await self._ask(table, question, [key])]
        return _covered(table, subscriptions, tally, CoverageState.PARTIAL, reason)

    # -- questions about one resource after the other ---------------------------------------------------------------

    async def _each(self, name: str, subjects: Subjects, *, keep: bool = False) -> list[Row]:
        """Ask a table's REST question about each subject and enter how far it was answered; give the rows.

        Args:
            name: of the table.
            subjects: whom to ask about.
            keep: whether the rows are wanted; there may be many.
        """
        table = catalogue.table(name)
        rows: list[Row] = []
        account = await self._answers(name, subjects, rows.append if keep else None)
        if catalogue.question(name).second:
            self.second += account.as_second_source(name)
            return rows
        refused = sorted(key for key, error in account.errors.items() if error.state is CoverageState.DENIED)
        if table.graph and table.graph.reach == "refused" and refused:
            for key in refused:
                account.forgive(key)
            self.rows += await self._ask(name, table.graph, [place_of(key) for key in refused])
        self.rows += account.coverage(name) if subjects else [_nothing_to_ask(name)]
        self.gaps += account.gaps(name)
        return rows

    async def _answers(
        self,
        name: str,
        subjects: Subjects,
        take: Callable[[Row], None] | None = None,
        known: Callable[[str], _Known | None] = lambda _: None,
    ) -> _Account:
        """Ask a table's REST question about each subject and keep what comes; give the account of who answered.

        Args:
            name: of the table.
            subjects: whom to ask about.
            take: hears every row.
            known: gives the answers about a subject that need not be asked for again.
        """
        question, account, count = catalogue.question(name), _Account(), len(subjects)
        kept_as = name if question.loaded else f"{name}_list"

        async def one(key: str) -> None:
            self.tell(f"{name} {account.done}/{count}")
            if (before := known(key)) is not None:
                for entry, body in before:
                    self.draft.page(kept_as, entry, body)
                account.answered(key, reused=any("reused_from" in entry for entry, _ in before))
                return
            tally = Tally()
            mark = {"at_rest": True} if key in self.at_rest else {}
            try:
                async for answer in self.azure.ask(question, subjects[key], self.odata_filter(question)):
                    self.draft.page(kept_as, {**answer.entry, "subject": key, **mark}, answer.body)
                    tally.add(answer)
                    for row in answer.rows:
                        self.note(name, row)
                        if take:
                            take(row)
                    del answer
                account.answered(key, sum(tally.by_subscription.values()))
            except ReadError as error:
                account.failed(key, error, absent=question.absent and error.status in NO_SUCH)

        await _spread(subjects, one)
        return account

    def odata_filter(self, question: RestQuestion) -> str | None:
        """Give a question's filter with its moments filled in."""
        as_of = self.draft.as_of
        moments = {"as_of": as_of, "jobs_since": as_of - timedelta(days=JOBS_DAYS)}
        said = {name: moment.strftime("%Y-%m-%d %I:%M:%S %p") for name, moment in moments.items()}
        return question.filter and question.filter.format(**said)

    async def _vaults(self) -> None:
        """Let each vault list its items itself: the second source, and the proof that the vault could be read.

        Without a list of its own (404), what Resource Graph said of its items stands.
        """
        unread = {gap.resource_id: gap for gap in (await self._answers("protected_item", self.vaults)).gaps("vault")}
        self.gaps += unread.values()
        behind = {vault_id.split("/")[2]: unread[vault_id] for vault_id in sorted(unread, reverse=True)}
        for number, row in enumerate(self.rows):
            if row.table == "protected_item" and row.subscription_id in behind and row.state.whole:
                gap = behind[row.subscription_id]
                reason = f"vault {gap.resource_id.split('/')[-1]} could not be read: {gap.reason}"
                self.rows[number] = replace(row, state=CoverageState.PARTIAL, expected=None, reason=reason)

    # -- recovery points --------------------------------------------------------------------------------------------

    async def _points(self) -> None:
        """Read the recovery points of the wanted items, as far as the scope asks for them."""
        chosen = self._chosen_items()
        account = await self._answers("recovery_point", chosen, known=self._known_points)
        self.gaps += account.gaps("recovery_point")
        left_out = Counter(self.items.places()) - Counter(chosen.places())
        if self.sampled is not None and self.sampling_accepted:
            left_out.clear()  # all is read that was to be
        why = NOT_ASKED if self.scope.recovery_points == "none" else NOT_SAMPLED
        covered = account.coverage("recovery_point", left_out, why)
        self.rows += covered if self.items else [_nothing_to_ask("recovery_point")]

    def _known_points(self, item_id: str) -> _Known | None:
        return self.kept.points(item_id, at_rest=item_id in self.at_rest) if self.kept else None

    def _chosen_items(self) -> Subjects:
        """Give the items whose points are read; of a sample, always the same ones for the same run."""
        if self.scope.recovery_points == "none":
            return Subjects()
        if (size := self.scope.sample_size) is None:
            return self.items

        def lot(item_id: str) -> bytes:
            return hashlib.sha256(f"{self.draft.id}\n{item_id}".encode()).digest()

        self.sampled = tuple(sorted(heapq.nsmallest(size, self.items, lot)))
        return Subjects((item_id, self.items[item_id]) for item_id in self.sampled)

    def _check_clock(self) -> None:
        """Enter a clock that is off: ages would be."""
        offset = self.azure.clock_offset
        if offset is not None and abs(offset) > CLOCK_TOLERANCE_SECONDS:
            side = "behind" if offset > 0 else "ahead of"
            reason = f"the clock of this machine is {abs(offset):.0f} s {side} Azure's"
            self.rows.append(Coverage("clock", "", CoverageState.FAILED, None, 0, reason))


class _Account:
    """Who answered one REST question, by subscription."""

    def __init__(self) -> None:
        self.done = 0
        self.errors: dict[str, ReadError] = {}
        """Lower-cased id of the subject -> why it could not be read."""
        self._asked: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._reused: Counter[str] = Counter()
        self._absent: dict[str, ReadError] = {}

    def answered(self, key: str, rows: int = 0, *, reused: bool = False) -> None:
        self.done += 1
        where = place_of(key)
        self._asked[where] += 1
        self._rows[where] += rows
        self._reused[where] += reused

    def failed(self, key: str, error: ReadError, *, absent: bool = False) -> None:
        self.done += 1
        self._asked[place_of(key)] += 1
        if absent:
            self._absent[key] = error
        else:
            self.errors[key] = error

    def forgive(self, key: str) -> None:
        """Forget a subject that another source answers for."""
        del self.errors[key]
        self._asked[place_of(key)] -= 1

    def gaps(self, table: str) -> list[Gap]:
        """Give what could not be read."""
        return [Gap(table, key, error.state, error.reason) for key, error in self.errors.items()]

    def coverage(self, table: str, left_out: Counter[str] | None = None, why: str = "") -> list[Coverage]:
        """Give a row for each subscription; expected and received count the subjects."""
        failed = Counter(place_of(key) for key in self.errors)
        first = {place_of(key): self.errors[key] for key in sorted(self.errors, reverse=True)}
        rows = []
        for where in sorted(self._asked.keys() | (left_out or Counter()).keys()):
            asked, skipped = self._asked[where], (left_out or Counter())[where]
            if asked + skipped == 0:
                continue
            state, reason = CoverageState.COMPLETE, ""
            if failed[where]:
                state = first[where].state if failed[where] == asked and not skipped else CoverageState.PARTIAL
                reason = f"{failed[where]} of {asked + skipped}: {first[where].reason}"
            elif skipped:
                state, reason = CoverageState.PARTIAL, why
            elif self._reused[where]:
                state, reason = CoverageState.REUSED, f"{self._reused[where]} of {asked} as an earlier run read them"
            rows.append(Coverage(table, where, state, asked + skipped, asked - failed[where], reason))
        return rows

    def as_second_source(self, table: str) -> list[Coverage]:
        """Give a row for each subscription; received counts the rows, as they are held against another source."""
        troubles = self._absent | self.errors
        first = {place_of(key): troubles[key] for key in sorted(troubles, reverse=True)}
        return [
            Coverage(table, where, first[where].state if where in first else CoverageState.COMPLETE, None,
                     self._rows[where], first[where].reason if where in first else "")
            for where in sorted(self._asked)
        ]  # fmt: skip


async def _spread(subjects: Subjects, work: Callable[[str], Awaitable[None]]) -> None:
    """Work through subjects, several of each subscription at a time."""

    async def worker(queue: Iterator[str]) -> None:
        for key in queue:
            await work(key)

    shared = [(subjects.of(place), min(READERS, count)) for place, count in subjects.places().items()]
    await asyncio.gather(*(worker(queue) for queue, readers in shared for _ in range(readers)))


def _nothing_to_ask(table: str) -> Coverage:
    """Say that there was nothing to ask about: without a row the table would count as never asked for."""
    return Coverage(table, "", CoverageState.COMPLETE, 0, 0)


def _covered(
    table: str, subscriptions: Sequence[str] | None, tally: Tally, state: CoverageState, reason: str
) -> list[Coverage]:
    """Give a coverage row for each subscription asked, and one for what belongs to the tenant."""
    counts = {"": tally.rows} if subscriptions is None else {key: tally.by_subscription[key] for key in subscriptions}
    if tally.by_subscription[""]:
        # Of management groups, whose rows reach into every group of subscriptions.
        counts[""] = tally.by_subscription[""]
    return [Coverage(table, key, state, n if state.whole else None, n, reason) for key, n in counts.items()]


def _sorted(rows: Iterable[Coverage]) -> tuple[Coverage, ...]:
    # What belongs to the tenant comes with every group of subscriptions, the same each time.
    return tuple(sorted(set(rows), key=lambda row: (row.table, row.subscription_id, row.reason, row.received)))


def _paths(subscriptions: Iterable[str]) -> Subjects:
    return Subjects((path, path) for path in (f"/subscriptions/{key}" for key in subscriptions))


def _of_azure_backup(collection_id: str) -> bool:
    words = collection_id.split("/")
    return words[4:5] != [] and (words[4].startswith("azurebackuprg_") or words[-1].startswith("azurebackup_"))
