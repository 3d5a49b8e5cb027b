"""Asks one small thing of each question of the catalogue: what can be read, before hours of collecting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from auditor.collect import GROUP, NO_SUCH, Collection
from auditor.collect.port import ReadError
from auditor.collect.subjects import place_of
from auditor.inventory import catalogue
from auditor.model import CoverageState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from auditor.collect.places import Place, Scope
    from auditor.collect.port import Answer, Azure
    from auditor.inventory.catalogue import GraphQuestion, RestQuestion, Table

State: TypeAlias = Literal["readable", "denied", "failed", "not probed"]

_LOOKED_THROUGH = {"vault", "protected_item", "restore_point_collection", "policy_assignment"}
"""Tables of which later questions need a row of the right kind: a page of them is read, of the others one row."""
_FIRST = 1000


@dataclass(frozen=True, slots=True)
class Tried:
    """One question, tried out."""

    state: State
    said: str
    """What came, or why nothing did."""
    needs: tuple[str, ...]
    rows: int | None = None
    """Rows that there are, where Azure tells."""


@dataclass(slots=True)
class Probed:
    """One table: the answer that decides, and what the other source said."""

    table: str
    state: State
    said: str
    needs: tuple[str, ...]
    doubt: str = ""
    """What a reader should know although the table is readable."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an identity may see of the scope."""

    place: Place
    tables: list[Probed]


@dataclass(slots=True)
class _Nobody:
    """Takes answers and forgets them."""

    id: str = ""
    as_of: datetime = field(default_factory=lambda: datetime.now(UTC))

    def page(self, table: str, entry: Mapping[str, Any], body: bytes) -> None:
        """Forget a page."""

    def write_setbacks(self, setbacks: Sequence[Mapping[str, Any]]) -> None:
        """Forget them."""


async def probe(azure: Azure, scope: Scope, tell: Callable[[str], None] = lambda _: None) -> Seen:
    """Find out what of the scope is visible and which tables can be read; nothing is kept.

    Raises:
        NoRunError: no subscription is visible.
        UsageError: the scope is ambiguous.
    """
    collection = Collection(azure, scope, _Nobody(), tell)
    where = await collection.place()
    where = replace(where, coverage=list(collection.rows))  # the list of subscriptions itself may be short
    return Seen(where, await _Probe(azure, collection).tables())


class _Probe:
    """Probing under way."""

    def __init__(self, azure: Azure, collection: Collection) -> None:
        self._azure, self._collection = azure, collection

    async def tables(self) -> list[Probed]:
        """Probe one table after the other: there are few, and what comes first names what is asked about later."""
        found = {}
        for table in sorted(catalogue.tables(), key=lambda t: t.asked):
            self._collection.tell(table.name)
            found[table.name] = await self._table(table)
        return [found[table.name] for table in catalogue.tables()]

    async def _table(self, table: Table) -> Probed:
        graph = table.graph if table.graph and table.graph.reach != "refused" else None
        first = await self._graph(table.name, graph) if graph else None
        rest = await self._rest(table.rest) if table.rest else None
        if rest is None or first is None:
            only = first or rest
            if only is None:
                raise ValueError(f"{table.name} has no question")
            if only.state == "denied" and table.graph and rest:
                return await self._instead(table, table.graph, only)
            return Probed(table.name, only.state, only.said, only.needs)
        return _both(table, first, rest)

    async def _instead(self, table: Table, question: GraphQuestion, refused: Tried) -> Probed:
        """Ask Resource Graph for what was refused elsewhere, as collecting does."""
        again = await self._graph(table.name, question)
        needs = tuple(dict.fromkeys([*refused.needs, *again.needs]))
        doubt = f"{refused.said}; Resource Graph answers instead" if again.state == "readable" else ""
        return Probed(table.name, again.state, again.said, needs, doubt)

    async def _graph(self, name: str, question: GraphQuestion) -> Tried:
        everywhere = sorted(self._collection.seen if question.reach == "tenant" else self._collection.audited)
        chosen = None if question.reach == "everything" else everywhere[:GROUP]
        if chosen is not None and not chosen:
            return Tried("not probed", "no subscription of the scope is visible", question.needs)
        try:
            top = _FIRST if name in _LOOKED_THROUGH else 1
            answer = await _first(self._azure.query(question, chosen, top=top))
        except ReadError as error:
            return _failed(error, question.needs)
        for row in answer.rows:
            self._collection.note(name, row)
        rows = len(answer.rows) if answer.total is None else answer.total
        said = (
            f"{rows} in Resource Graph" if rows else "Resource Graph shows none: none there, or none that may be read"
        )
        if chosen is not None and len(everywhere) > GROUP:
            said += f" (in the first {GROUP} of {len(everywhere)} subscriptions)"
        return Tried("readable", said, question.needs, rows)

    async def _rest(self, question: RestQuestion) -> Tried:
        """Ask about the first resource of its kind in each subscription: roles are given by subscription or above."""
        firsts: dict[str, str] = {}
        for key, subject in self._collection.subjects(question.each).items():
            firsts.setdefault(place_of(key), subject)
        if not firsts:
            return Tried("not probed", f"no {question.each} to ask about", question.needs)
        tried = await asyncio.gather(*(self._about(question, subject) for subject in firsts.values()))
        rows = sum(one.rows or 0 for one in tried)
        if bad := [one for one in tried if one.state != "readable"]:
            worst = next((one for one in bad if one.state == "denied"), bad[0])
            return Tried(worst.state, f"{len(bad)} of {len(tried)} asked: {worst.said}", question.needs, rows)
        said = f"one {question.each} in each of {len(tried)} subscriptions answered"
        return Tried("readable", said if len(tried) > 1 else f"the {question.each} answered", question.needs, rows)

    async def _about(self, question: RestQuestion, subject: str) -> Tried:
        words = subject.split("/")
        named = "/".join(words[-2:]) if len(words) > 1 else "the tenant"
        try:
            answer = await _first(self._azure.ask(question, subject, self._collection.odata_filter(question)))
        except ReadError as error:
            if question.absent and error.status in NO_SUCH:
                return Tried("readable", "has none", question.needs, 0)
            return _failed(error, question.needs, f"{named}: ")
        for row in answer.rows:
            self._collection.note(question.table, row)
        return Tried("readable", "answered", question.needs, len(answer.rows))


async def _first(pages: AsyncIterator[Answer]) -> Answer:
    """Take the first page and leave the others."""
    try:
        return await anext(pages)
    finally:
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()


def _failed(error: ReadError, needs: tuple[str, ...], about: str = "") -> Tried:
    state: State = "denied" if error.state is CoverageState.DENIED else "failed"
    return Tried(state, f"{about}{error.reason}", needs)


def _both(table: Table, graph: Tried, rest: Tried) -> Probed:
    """Put two sources together as collecting does.

    Resource Graph leaves out without a word what may not be read; so where it shows nothing, the list that is denied
    tells why. Where it shows rows, a list that is only the second source is not needed; but each vault's own list is.
    """
    needs = tuple(dict.fromkeys([*graph.needs, *rest.needs]))
    second = table.rest is not None and table.rest.second
    if graph.state != "readable" or rest.state in ("readable", "not probed"):
        said = graph.said if rest.state == "not probed" or graph.state != "readable" else f"{graph.said}; {rest.said}"
        return Probed(table.name, graph.state, said, needs if graph.state == "readable" else graph.needs)
    if second and (graph.rows or not table.rest or not table.rest.loaded):
        doubt = f"Resource Manager's own list is not, and Resource Graph may leave rows out: {rest.said}"
        return Probed(table.name, "readable", graph.said, rest.needs, doubt)
    return Probed(table.name, rest.state, rest.said, rest.needs)
