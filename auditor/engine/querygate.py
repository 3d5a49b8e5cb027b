"""What SQL `auditor query` runs: one SELECT over the tables on offer, with functions that only compute.

Two parsers read it, sqlglot and DuckDB's own, and must find the same: a text that one of them takes for something else
than the other does not run. Allowed by name; what is not listed is refused.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from auditor.document import did_you_mean
from auditor.errors import DocumentError, Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SHOWN = "SQL"
"""How errors call the text."""

_TABLE_FUNCTIONS = ("unnest", "range", "generate_series")
_QUERIES = ("SELECT_NODE", "SET_OPERATION_NODE")
_RELATIONS = ("BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY", "TABLE_FUNCTION")
# fmt: off
_EXPRESSIONS = frozenset((
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "LAMBDA",
    "OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW",
))
# fmt: on
_NO_SELECT = ("this is no single SELECT, and nothing else runs", 'ask such as "SELECT * FROM vm"')
_COMPUTE = "only functions that compute are open to queries"
_TOO_DEEP = ("this is nested too deeply", "take it apart with WITH")
_NOWHERE = 2**64 - 1
"""DuckDB's place of what it made up itself."""


@functools.cache
def functions() -> frozenset[str]:
    """Give the names of the functions that may be called."""
    lines = (Path(__file__).parent / "functions.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def check(
    sql: str, tables: Collection[str], con: duckdb.DuckDBPyConnection, *, parameters: bool = False
) -> frozenset[str]:
    """Give the tables that a query reads.

    Args:
        sql: what the user wrote.
        tables: those on offer, lower case, perhaps with their schema: `vm`, `raw.vm`.
        con: any connection; it parses and runs nothing.
        parameters: True where values are given for `$name`.

    Raises:
        DocumentError: the SQL may not run; each fault with its line.
    """
    try:
        ast = _ast(sql, con)
        reader = _Reader(sql, tables, parameters=parameters)
        reader.query(ast, frozenset())
        if reader.faults:
            raise DocumentError(reader.faults)
        second = _tables(_parsed(sql))
    except RecursionError as error:
        raise _wrong(1, *_TOO_DEEP) from error
    if reader.read != second:
        raise _wrong(1, "two parsers read this differently, so it does not run", "write it more plainly")
    return frozenset(reader.read)


def _wrong(line: int, message: str, hint: str = "") -> DocumentError:
    return DocumentError([Fault(SHOWN, line, message, hint)])


def _ast(sql: str, con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    try:
        found = con.extract_statements(sql)
        if len(found) > 1:
            raise _wrong(1, "only one statement runs, this is several", "ask one after the other")
        if not found or found[0].type != duckdb.StatementType.SELECT:
            raise _wrong(1, *_NO_SELECT)
        row = con.execute("SELECT json_serialize_sql($1)", [sql]).fetchone()
    except duckdb.Error as error:
        raise told(error) from error
    ast = json.loads(row[0]) if row else {}
    if len(ast.get("statements", ())) != 1:
        raise _wrong(1, *_NO_SELECT)
    node: dict[str, Any] = ast["statements"][0]["node"]
    return node


def _parsed(sql: str) -> exp.Query:
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="duckdb") if tree is not None]
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        said = str(details[0].get("description") or error).partition("<")[0].splitlines()[0].strip()
        line = int(details[0].get("line") or 1)
        raise _wrong(line, f"the second of two parsers does not know this: {said}", "write it more plainly") from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise _wrong(1, *_NO_SELECT)
    return trees[0]


def told(error: duckdb.Error, columns: Collection[str] = ()) -> DocumentError:
    """Put DuckDB's complaint about a query into ours, with its line.

    Args:
        error: as raised.
        columns: those of the tables that are read.
    """
    text = str(error)
    place = re.search(r"^LINE (\d+):", text, flags=re.MULTILINE)
    said = re.sub(r"^[\w ]+ Error: ", "", text.partition("\n")[0])
    line = int(place[1]) if place else 1
    unknown = re.search(r'Referenced column "(.+?)" |does not have a column named "(.+?)"', said)
    if said.startswith("Max expression depth"):
        return _wrong(line, *_TOO_DEEP)
    if unknown:
        name = unknown[1] or unknown[2]
        near = re.findall(r'"([^"]+)"', text.partition("Candidate bindings:")[2].partition("\n")[0])
        known = {*columns, *(bound.rpartition(".")[2] for bound in near)}
        return _wrong(line, f"there is no column {name!r}", did_you_mean(name, known) if known else "")
    return _wrong(line, said)


class _Reader:
    """Walks through DuckDB's syntax tree; notes what is read and what is refused."""

    def __init__(self, sql: str, tables: Collection[str], *, parameters: bool) -> None:
        self._bytes = sql.encode("utf-8", errors="replace")
        self._offered = tables
        self._parameters = parameters
        self.read: set[str] = set()
        self.faults: list[Fault] = []

    def query(self, node: dict[str, Any], visible: frozenset[str]) -> None:
        """Read a query in which these CTEs can be named."""
        kind = node.get("type")
        if kind == "RECURSIVE_CTE_NODE":
            self._refuse(node, "recursive queries are refused", "a query must end")
            return
        if kind not in _QUERIES:
            self._refuse(node, "this changes something, and nothing but SELECT runs")
            return
        for cte in node["cte_map"]["map"]:
            self._walk(cte["value"], visible)
            visible |= {str(cte["key"]).lower()}
        self._parts(node, visible, but="cte_map")

    def _walk(self, node: Any, visible: frozenset[str]) -> None:
        if isinstance(node, list):
            for part in node:
                self._walk(part, visible)
        elif isinstance(node, dict):
            if "cte_map" in node:
                self.query(node, visible)
                return
            if "class" in node:
                self._expression(node)
            elif "type" in node and "sample" in node:
                self._relation(node, visible)
                if node["type"] == "TABLE_FUNCTION":
                    node = {**node, "function": node["function"]["arguments"]}
            self._parts(node, visible)

    def _parts(self, node: dict[str, Any], visible: frozenset[str], but: str = "") -> None:
        for name, part in node.items():
            if name != but and isinstance(part, dict | list):
                self._walk(part, visible)

    def _expression(self, node: dict[str, Any]) -> None:
        if node["class"] == "PARAMETER":
            if not self._parameters:
                self._refuse(node, "there are no parameters here", "write the value")
        elif node["class"] not in _EXPRESSIONS:
            self._refuse(node, f"{str(node['class']).lower()} is refused")
        elif node["class"] in ("FUNCTION", "WINDOW"):
            name = str(node["function_name"]).lower()
            if re.search(r"\w", name) and name not in functions():
                self._refuse(node, f"there is no function {name!r} for queries", _nearest(name, functions(), _COMPUTE))

    def _relation(self, node: dict[str, Any], visible: frozenset[str]) -> None:
        if node["type"] == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in _TABLE_FUNCTIONS:
                allowed = ", ".join(_TABLE_FUNCTIONS)
                self._refuse(node, f"table function {name!r} is refused", f"only {allowed} give rows beside the tables")
        elif node["type"] == "BASE_TABLE":
            parts = [str(part).lower() for part in node["qualified_name"]["path"]]
            name = ".".join(parts)
            if len(parts) == 1 and name in visible:
                return
            if name in self._offered and name.count(".") == len(parts) - 1:
                self.read.add(name)
            else:
                self._refuse(node, f"there is no table {name!r}", _nearest(name, self._offered, "--tables lists them"))
        elif node["type"] not in _RELATIONS:
            self._refuse(node, f"{str(node['type']).lower().removesuffix('_ref')} is refused", "--tables lists them")

    def _refuse(self, node: dict[str, Any], message: str, hint: str = "") -> None:
        place = node.get("query_location", _NOWHERE)
        line = 1 if place >= len(self._bytes) else self._bytes[:place].count(b"\n") + 1
        if message not in [fault.message for fault in self.faults]:
            self.faults.append(Fault(SHOWN, line, message, hint))


def _nearest(name: str, known: Collection[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise


def _tables(tree: exp.Query) -> set[str]:
    """Give the tables that sqlglot sees, CTEs left out where they can be named."""
    found = set()
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier):
            name = ".".join(part.name.lower() for part in table.parts)
            if name not in _ctes(table):
                found.add(name)
    return found


def _ctes(table: exp.Table) -> Iterator[str]:
    """Give the CTEs that can be named at this place: those of the queries around it, in a CTE only those before it."""
    node: exp.Expr = table
    while (above := node.parent) is not None:
        if isinstance(above, exp.With):
            for cte in above.expressions:
                if cte is node:
                    break
                yield cte.alias.lower()
            node = above.parent or above  # the query that this WITH belongs to: its own CTEs are dealt with
            continue
        with_ = above.args.get("with_")
        if isinstance(with_, exp.With):
            yield from (cte.alias.lower() for cte in with_.expressions)
        node = above
