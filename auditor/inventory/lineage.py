"""Which tables of the inventory stand behind a rule: read from the SQL of the views, never from a list kept by hand.

Columns that nobody asks for are left out, and with them the left joins that only they need: a rule that does not speak
of snapshots does not fall with the table of snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from auditor.inventory import catalogue, facts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditor.standard import Standard

_GAPS = {"tenant", "covered", "read_wholly", "gap"}
"""What tells of gaps. Who reads it names the tables that it wants whole."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind a rule."""

    tables: frozenset[str]
    """All of it, in the catalogue's names."""
    whole: frozenset[str]
    """Of these, what must be whole, as the rule speaks of what is not there."""


@dataclass(slots=True)
class _Found:
    """What a query reads in the end."""

    tables: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    """Tables that must be whole for the absence of a row to mean something."""
    kinds: dict[str, set[str]] = field(default_factory=dict)
    """Sources of a union of several kinds of resources, with their tables: who joins it to one kind reads only that."""


class Lineage:
    """The views under one standard."""

    def __init__(self, standard: Standard) -> None:
        """Read the SQL of all views."""
        self._known = {table.name for table in catalogue.tables()}
        self._views: dict[str, exp.Query] = {}
        self._done: dict[tuple[str, frozenset[str] | None], _Found] = {}
        for sql in facts.views(standard):
            for statement in sqlglot.parse(sql, read="duckdb"):
                if isinstance(statement, exp.Create) and isinstance(statement.expression, exp.Query):
                    self._views[statement.this.name] = statement.expression

    def behind(self, sql: str) -> Behind:
        """Give the tables of the catalogue that a rule's SELECT is answered from."""
        query = sqlglot.parse_one(sql, read="duckdb")
        if not isinstance(query, exp.Query):
            raise TypeError("not a SELECT")
        found = self._read(query, None)
        return Behind(frozenset(found.tables.union(found.whole, *found.kinds.values())), frozenset(found.whole))

    def _view(self, name: str, wanted: set[str] | None) -> _Found:
        key = name, None if wanted is None else frozenset(wanted)
        if key not in self._done:
            self._done[key] = self._read(self._views[name], wanted)
        return self._done[key]

    def _read(self, whole: exp.Query, wanted: set[str] | None) -> _Found:
        query = _pruned(whole, wanted)
        ctes = {cte.alias for cte in query.find_all(exp.CTE)}
        read = [table for table in query.find_all(exp.Table) if table.db or table.name not in ctes]
        names = {table.name for table in read}
        found = _Found()
        if names & _GAPS:
            found.whole |= self._known & {word.this for word in query.find_all(exp.Literal) if word.is_string}
        kinds = _kinds(query)
        for table in read:
            if table.db == "raw":
                below = _Found({table.name})
            elif table.name in self._views:
                below = self._view(table.name, _columns_of(table))
            else:
                continue
            if table.name in kinds:
                found.kinds[table.name] = below.tables
                continue
            found.tables |= below.tables
            found.whole |= below.whole
            found.kinds |= below.kinds
        if not kinds and names & found.kinds.keys():
            found.kinds = {}
        return found


def _kinds(query: exp.Query) -> set[str]:
    """Give what a query stacks: tables that each are one arm of a union, with a literal that tells them apart."""
    found: set[str] = set()
    for select in query.find_all(exp.Select):
        source = select.args.get("from_")
        if (
            isinstance(select.parent, exp.Union)
            and source is not None
            and isinstance(source.this, exp.Table)
            and not select.args.get("joins")
            and any(isinstance(column.unalias(), exp.Literal) for column in select.selects)
        ):
            found.add(source.this.name)
    return found


def _pruned(whole: exp.Query, wanted: set[str] | None) -> exp.Query:
    """Leave out what the wanted columns do not need."""
    query = whole.copy()
    _narrow(query, wanted)
    for cte in reversed(query.ctes):  # each is read by those after it and by the query, which are narrow by now
        asked = [_columns_of(it) for it in query.find_all(exp.Table) if not it.db and it.name == cte.alias]
        if all(names is not None for names in asked):
            _narrow(cte.this, {name for names in asked for name in names or ()})
    while True:
        used = {table.name for table in query.find_all(exp.Table) if not table.db}
        idle = [cte for cte in query.find_all(exp.CTE) if cte.alias not in used]
        if not idle:
            return query
        for cte in idle:
            cte.pop()


def _narrow(query: exp.Query, wanted: set[str] | None) -> None:
    """Leave out the columns that nobody wants, and the joins that only they need; None: all are wanted."""
    if isinstance(query, exp.Select) and wanted is not None and not query.args.get("distinct") and not query.is_star:
        query.set("expressions", [column for column in query.selects if column.alias_or_name in wanted])
        _drop_joins(query)


def _drop_joins(query: exp.Select) -> None:
    """Remove left joins of which no column is named; the last may need those before it."""
    for join in reversed(list(query.args.get("joins") or [])):
        if join.side != "LEFT":
            continue
        join.pop()
        if any(name in (join.alias_or_name, None) for name, _ in _own_columns(query)):
            query.append("joins", join)


def _own_columns(query: exp.Select) -> Iterable[tuple[str | None, str]]:
    """Give (alias, name) of every column that a SELECT names outside its WITH; no alias where it is not said."""
    body = query.copy()
    body.set("with_", None)
    for column in body.find_all(exp.Column):
        parts = [part.name for part in column.parts]
        if len(parts) > 1:
            yield parts[0], parts[1]
        elif column.parent_select is body:  # a bare name in a subquery is of the subquery's own table
            yield None, parts[0]


def _columns_of(table: exp.Table) -> set[str] | None:
    """Give which columns of a table a query names; None: perhaps all."""
    select = table.parent_select  # of the query itself, or of a WITH or a subquery in it
    if not isinstance(select, exp.Select) or select.is_star:
        return None
    return {name for alias, name in _own_columns(select) if alias in (table.alias_or_name, None)}
