"""Resource Graph's query service: a gate for what it refuses, execution, paging."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import random
import re
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import duckdb_kql
from duckdb_kql import ir
from duckdb_kql.lower import lower

from auditor.simulator.graphrows import COLUMNS, DYNAMIC_COLUMNS, TABLES
from auditor.simulator.scopes import GOVERNED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from auditor.simulator.compute import Json
    from auditor.simulator.faults import Faults
    from auditor.simulator.scopes import Reach, Scope

PAYLOAD_LIMIT = 16_777_216
"""Bytes of one answer."""
_MAX_TOP = 1000
_MAX_JOINS = 3
_CACHED_BYTES = 512 * 1024 * 1024

_OPERATORS = frozenset({
    "count", "distinct", "extend", "join", "limit", "mv-expand", "mvexpand", "order", "parse", "project",
    "project-away", "project-keep", "project-rename", "project-reorder", "sort", "summarize", "take", "top", "union",
    "where",
})  # fmt: skip
_JOIN_KINDS = frozenset({"innerunique", "inner", "leftouter", "fullouter"})
_LITERALS = re.compile(r"""@?"(?:[^"\\\n]|\\.)*"|@?'(?:[^'\\\n]|\\.)*'|//[^\n]*""")
_PIPED = re.compile(r"\|\s*([A-Za-z][A-Za-z-]*)")
_COLUMN_KIND = re.compile(r"(?<![\w.'])kind\b(?!\s*=(?![=~]))")
_KIND = re.compile(r"\bjoin\s+(?:[a-z.]+\s*=\s*\w+\s+)*?kind\s*=\s*(\w+)", re.IGNORECASE)


class QueryRefusedError(Exception):
    """Resource Graph answers 400: `details` are the inner errors, outermost first."""

    def __init__(self, *details: tuple[str, str]) -> None:
        """Each detail is (code, message)."""
        super().__init__(details[-1][1])
        self.details = details


_INVALID = (
    "InvalidQuery",
    (
        "Query is invalid. Please refer to the documentation for the Azure Resource Graph service and fix the error "
        "before retrying."
    ),
)


def _walk(node: object) -> Iterator[ir.Node]:
    if isinstance(node, ir.Node):
        yield node
    if isinstance(node, (list, tuple)):
        for element in node:
            yield from _walk(element)
    elif is_dataclass(node):
        for field in fields(node):
            yield from _walk(getattr(node, field.name))


def _readable(query: str) -> str:
    """Quote the column `kind`: the grammar used here takes it for a keyword, Azure's does not."""
    pieces, end = [], 0
    for literal in _LITERALS.finditer(query):
        pieces += [_COLUMN_KIND.sub("['kind']", query[end : literal.start()]), literal[0]]
        end = literal.end()
    return "".join([*pieces, _COLUMN_KIND.sub("['kind']", query[end:])])


@dataclass(frozen=True, slots=True)
class Admitted:
    """A query that Resource Graph would run."""

    sorted: bool
    """False: rows come in another order with every call."""
    limited: bool
    """True: `limit`, `take` or `top` is the paging; skip and skipToken do nothing."""


def admit(query: str) -> Admitted:
    """Let a query pass, or raise what Resource Graph would answer."""
    bare = _LITERALS.sub(lambda found: " " * len(found[0]), query)
    _check_operators(bare)
    try:
        tree = lower(_readable(query))
    except duckdb_kql.KqlError as error:
        raise _refused("ParserFailure", f"ParserFailure: {error}") from error
    nodes = list(_walk(tree))
    for table in (node for node in nodes if isinstance(node, ir.TableRef)):
        if table.name.lower() not in TABLES:
            raise _refused("DisallowedLogicalTableName", f"Table {table.name} is invalid, unsupported or disallowed.")
    joins = sum(isinstance(node, (ir.Join, ir.Lookup)) for node in nodes)
    if joins > _MAX_JOINS:
        message = f"Query contains {joins} join operators; at most {_MAX_JOINS} are allowed."
        raise _refused("DisallowedMaxNumberOfRemoteTables", message)
    _check_columns(nodes)
    operators = list(tree.operators) if isinstance(tree, ir.Query) else []
    return Admitted(
        sorted=any(isinstance(step, (ir.Sort, ir.Top)) for step in operators),
        limited=any(isinstance(step, (ir.Take, ir.Top)) for step in operators),
    )


def _check_operators(bare: str) -> None:
    """Refuse what Resource Graph's own grammar lacks; `bare` is the query with its literals blanked."""
    for found in _PIPED.finditer(bare):
        if found[1] not in _OPERATORS:
            line = bare.count("\n", 0, found.start(1)) + 1
            message = f"ParserFailure: unexpected operator '{found[1]}' at line {line}, character {found.start(1)}"
            raise _refused("ParserFailure", message)
    if re.match(r"\s*(let|declare|set|\.)", bare):
        raise _refused("ParserFailure", f"ParserFailure: unexpected token at '{bare.strip()[:12]}'")
    for found in _KIND.finditer(bare):
        if found[1] not in _JOIN_KINDS:
            message = f"Join kind {found[1]} is not supported; use one of {', '.join(sorted(_JOIN_KINDS))}."
            raise _refused("UnsupportedJoinFlavor", message)


def _check_columns(nodes: list[ir.Node]) -> None:
    """Refuse columns in the wrong case: KQL minds it, the database underneath does not."""
    exact = {column.lower(): column for column in COLUMNS}
    named = {node.name for node in nodes if isinstance(node, ir.NamedExpr)}
    for node in nodes:
        if isinstance(node, ir.ColumnRef) and node.name not in named:
            right = exact.get(node.name.lower())
            if right is not None and right != node.name:
                raise _refused("InvalidQuery", f"Failed to resolve column or scalar expression named '{node.name}'")


def _refused(code: str, message: str) -> QueryRefusedError:
    return QueryRefusedError(_INVALID, (code, message))


@dataclass(frozen=True, slots=True)
class Result:
    """All rows of a query, ready to be paged."""

    rows: list[str]
    """Each a JSON object."""
    columns: tuple[tuple[str, str], ...]
    """(name, string|object|integer|...)."""
    admitted: Admitted
    size: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to the query service, already checked for form."""

    query: str
    scope: Scope
    top: int
    skip: int
    token: str | None
    table_format: bool


class Graph:
    """The tables of an estate behind the query service."""

    def __init__(
        self, tables: Callable[[str], Iterable[Json]], as_of: datetime, faults: Faults, payload_limit: int
    ) -> None:
        """`tables` gives the rows of a table name; they are loaded when a query first names it."""
        self._tables, self._as_of, self._faults, self._payload_limit = tables, as_of, faults, payload_limit
        self._connection = duckdb_kql.connect()
        self._connection.execute("CREATE SCHEMA estate; SET threads = 2")
        self._loaded: set[str] = set()
        self._results: OrderedDict[tuple[str, Scope], Result] = OrderedDict()
        self._lock = threading.Lock()
        self._shuffle = random.Random(0)  # noqa: S311 - an order, not a secret

    def close(self) -> None:
        """Free the database."""
        self._connection.close()

    def answer(self, ask: Ask) -> bytes:
        """Give the body of a 200 answer, or raise QueryRefusedError."""
        with self._lock:
            result = self._result(ask)
            return self._page(ask, result)

    def _load(self, table: str) -> None:
        if table in self._loaded:
            return
        types = ", ".join(f'"{column}" {"JSON" if column in DYNAMIC_COLUMNS else "VARCHAR"}' for column in COLUMNS)
        self._connection.execute(f"CREATE TABLE estate.{table} ({types})")
        rows = () if table in self._faults.empty_tables else self._tables(table)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.ndjson"
            with path.open("w", encoding="utf-8") as file:
                encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
                file.writelines(encode(row) + "\n" for row in rows)
            kinds = ", ".join(
                f"'{column}': '{'JSON' if column in DYNAMIC_COLUMNS else 'VARCHAR'}'" for column in COLUMNS
            )
            names = ", ".join(f'"{column}"' for column in COLUMNS)
            if path.stat().st_size:
                self._connection.execute(
                    f"INSERT INTO estate.{table} SELECT {names} FROM read_json(?, format='newline_delimited', "
                    f"columns={{{kinds}}}, maximum_object_size=134217728)",
                    [str(path)],
                )
        self._loaded.add(table)

    def _result(self, ask: Ask) -> Result:
        key = (ask.query, ask.scope)
        found = self._results.get(key)
        if found is not None:
            self._results.move_to_end(key)
            return found
        admitted = admit(ask.query)
        used = sorted(
            {node.name.lower() for node in _walk(lower(_readable(ask.query))) if isinstance(node, ir.TableRef)}
        )
        for table in used:
            self._load(table)
        try:
            schema = {name: list(COLUMNS) for table in used for name in _spellings(ask.query, table)}
            translated = duckdb_kql.to_sql(_readable(ask.query), schema=schema, query_now=self._as_of)
            parameters = dict(translated.parameters)
        except duckdb_kql.KqlError as error:
            raise QueryRefusedError(_INVALID, ("InvalidQuery", str(error))) from error
        connection = self._connection
        views = ", ".join(self._view(table, ask.scope.reach(table)) for table in used)
        sql = f"WITH {views} SELECT * FROM ({translated})" if views else str(translated)
        try:
            described = connection.execute(f"DESCRIBE {sql}", parameters or None).fetchall()
            columns = [(name, kind.upper()) for name, kind, *_ in described]
            parts = ", ".join(f'"{name}" := {_json_value(name, kind)}' for name, kind in columns)
            body = f"SELECT CAST(to_json(struct_pack({parts})) AS VARCHAR) FROM ({sql})"
            rows = [row for (row,) in connection.execute(body, parameters or None).fetchall()]
        except duckdb.Error as error:
            raise QueryRefusedError(_INVALID, ("InvalidQuery", str(error).partition("\n")[0])) from error
        result = Result(rows, tuple((name, _graph_type(kind)) for name, kind in columns), admitted, sum(map(len, rows)))
        self._results[key] = result
        while sum(entry.size for entry in self._results.values()) > _CACHED_BYTES and len(self._results) > 1:
            self._results.popitem(last=False)
        return result

    def _view(self, table: str, reach: Reach) -> str:
        """Limit a table to what a query may see of it."""
        kind = "governed" if table in GOVERNED else "plain"
        for name, entries in ((f"{kind}_scope", reach.subscriptions), (f"{kind}_holder", reach.groups)):
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} (id VARCHAR)")
            rows: list[list[str | None]] = [[entry] for entry in entries] or [[None]]
            self._connection.executemany(f"INSERT INTO {name} VALUES (?)", rows)
        exact = "" if reach.inside else """ AND "id" NOT ILIKE '/subscriptions/%/resourcegroups/%'"""
        return (
            f'"{table}" AS (SELECT * FROM estate.{table} '
            f'WHERE (lower("subscriptionId") IN (SELECT id FROM {kind}_scope){exact}) '
            f"""OR ("subscriptionId" = '' AND lower(split_part("id", '/', 5)) IN (SELECT id FROM {kind}_holder)))"""
        )

    def _page(self, ask: Ask, result: Result) -> bytes:
        faults, total = self._faults, len(result.rows)
        digest = hashlib.sha256(f"{ask.query}\n{_written(ask.scope)}".encode()).hexdigest()[:16]
        start, top = ask.skip, ask.top
        if ask.token is not None:
            token = _read_token(ask.token, digest)
            start = ask.skip or token
        if result.admitted.limited:
            start = 0
        rows = result.rows
        if not result.admitted.sorted:
            rows = list(rows)
            self._shuffle.shuffle(rows)
        page = rows[start : start + top]
        number = start // top + 1
        following = start + len(page)
        if faults.duplicate_row_on_page == number > 1 and page:
            page = [rows[start - 1], *page[1:]]
        if faults.lost_row_on_page == number:
            page = page[:-1]
        more = following < total
        pageable = any(name == "id" for name, _ in result.columns) and not result.admitted.limited
        cut = more and (not pageable or faults.truncated_without_token)
        if ask.table_format:
            decoded = [json.loads(row) for row in page]
            columns = [{"name": name, "type": kind} for name, kind in result.columns]
            cells = [[row[name] for name, _ in result.columns] for row in decoded]
            data = json.dumps({"columns": columns, "rows": cells}, ensure_ascii=False)
        else:
            data = "[" + ",".join(page) + "]"
        size = len(data.encode())
        above = faults.payload_too_large_above
        if size > self._payload_limit or (above is not None and len(page) > above):
            limit = self._payload_limit
            message = (
                f"Response payload size is {max(size, limit + 1)}, and has exceeded the limit of {limit}. Please "
                "consider querying less data at a time and make paginated call if needed."
            )
            raise QueryRefusedError(("ResponsePayloadTooLarge", message))
        token_text = f',"$skipToken":"{_token(following, digest)}"' if more and not cut else ""
        head = f'{{"totalRecords":{total},"count":{len(page)},"data":'
        truncated = "true" if cut else "false"
        return (head + data + f',"facets":[],"resultTruncated":"{truncated}"{token_text}}}').encode()


def _written(scope: Scope) -> str:
    """Write a scope out, always in the same order."""
    return str([(sorted(r.subscriptions), sorted(r.groups), r.inside) for r in (scope.plain, scope.governed)])


def _spellings(query: str, table: str) -> set[str]:
    """Every spelling of a table's name in a query: they are not case-sensitive."""
    return {found[0] for found in re.finditer(re.escape(table), query, re.IGNORECASE)} | {table}


def _json_value(name: str, kind: str) -> str:
    column = f'"{name}"'
    if kind.startswith("TIMESTAMP"):
        return f"strftime(CAST({column} AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%fZ')"
    if kind in ("INTERVAL", "UUID", "TIME", "HUGEINT"):
        return f"CAST({column} AS VARCHAR)"
    return column


def _graph_type(kind: str) -> str:
    if kind in ("VARCHAR", "UUID", "INTERVAL"):
        return "string"
    if kind == "BOOLEAN":
        return "boolean"
    if kind.startswith("TIMESTAMP"):
        return "datetime"
    if kind in ("BIGINT", "INTEGER", "HUGEINT", "UBIGINT", "SMALLINT"):
        return "integer"
    return "number" if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL") else "object"


def _token(offset: int, digest: str) -> str:
    return base64.b64encode(json.dumps({"v": 1, "o": offset, "q": digest}).encode()).decode()


def _read_token(text: str, digest: str) -> int:
    """Read the offset out of a token; it only goes with the query and scope that it came from."""
    message = "The provided skip token is invalid or does not belong to this query."
    try:
        token: Any = json.loads(base64.b64decode(text, validate=True))
        if token["q"] == digest:
            return int(token["o"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        pass
    raise QueryRefusedError(("InvalidSkipToken", message))


MAX_TOP = _MAX_TOP
