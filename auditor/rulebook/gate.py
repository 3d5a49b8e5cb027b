"""What SQL a rule may contain: one SELECT over the documented tables, in the portable subset, and nothing else.

The gate holds for shipped and users' rules alike. It allows by name; what is not listed is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from auditor.document import did_you_mean
from auditor.errors import DocumentError, Fault
from auditor.model import Severity, Status
from auditor.rulebook import MATURES, common_messages, fields, misspelt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditor.rulebook import Rule

# fmt: off
FUNCTIONS = frozenset((
    "abs", "avg", "bool_and", "bool_or", "case", "cast", "ceil", "coalesce", "concat", "concat_ws", "contains",
    "count", "count_if", "ends_with", "floor", "greatest", "if", "ilike", "lag", "lead", "least", "length", "like",
    "logical_and", "logical_or", "lower", "max", "median", "min", "nullif", "replace", "round", "row_number",
    "split_part", "starts_with", "string_agg", "group_concat", "substring", "sum", "trim", "try_cast", "upper",
    "and", "or", "not", "xor", "safe_concat", "dpipe",
))
# fmt: on
"""Functions with one meaning on every engine that the SQL is carried to."""

NAMES = frozenset(("resource_id", "resource_name", "resource_group", "subscription_id"))
"""What a remediation may name of every resource, beside the columns of evidence."""

_REFUSED: dict[type[exp.Expr], str] = {
    exp.Star: "`*` hides which columns are evidence; name them",
    exp.Lambda: "lists and lambdas belong into the views",
    exp.Array: "lists belong into the views",
    exp.Struct: "structs belong into the views",
    exp.Bracket: "lists and maps belong into the views",
    exp.JSONExtract: "JSON belongs into the views",
    exp.JSONExtractScalar: "JSON belongs into the views",
    exp.Interval: "time arithmetic belongs into the views; they give ages in hours",
    exp.Unnest: "lists belong into the views",
    exp.TableSample: "a sample is no evidence",
}


def check(rule: Rule, tables: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Give what is wrong with a rule's SQL; empty where it may run.

    Args:
        rule: a rule that was read.
        tables: the tables open to rules, with their columns.
    """
    try:
        return _check(rule, tables)
    except (ParseError, TokenError) as error:
        said, offset = _misread(error)
        return [_fault(rule, _line_at(rule, offset), f"SQL: {said}")]
    except RecursionError:
        return [_fault(rule, 1, "the SQL is nested too deeply", "take it apart with WITH")]


def _check(rule: Rule, tables: Mapping[str, Sequence[str]]) -> list[Fault]:
    sql = rule.file.sql
    statements = [it for it in sqlglot.parse(sql, read="duckdb", error_message_context=len(sql)) if it is not None]
    queries = [tree for tree in statements if isinstance(tree, exp.Query)]
    others = [_kind(tree) for tree in statements if not isinstance(tree, exp.Query)]
    if others or len(queries) != 1:
        what = f"{others[0]} is" if others else f"{len(queries)} statements are"
        return [_fault(rule, 1, f"{what} refused: sql must be one SELECT", "remove what is not part of it")]
    tree = queries[0]
    faults = [*_tables(rule, tree, tables), *_constructs(rule, tree), *_columns(rule, tree), *_params(rule, tree)]
    return faults or _messages(rule, tree)


def _kind(tree: exp.Expr) -> str:
    """Name what a statement does: COPY, ATTACH, INSERT."""
    return str(tree.this).upper() if isinstance(tree, exp.Command) else tree.key.upper()


def warm_up() -> None:
    """Have the parser load what it loads when it is first used."""
    sqlglot.parse("SELECT 1", read="duckdb")


def demand(rules: Sequence[Rule], tables: Mapping[str, Sequence[str]]) -> None:
    """Check all rules.

    Raises:
        DocumentError: with the faults of all of them.
    """
    faults = [fault for rule in rules for fault in check(rule, tables)]
    if faults:
        raise DocumentError(faults)


def _fault(rule: Rule, line: int, message: str, hint: str = "") -> Fault:
    """Point at a line of the SQL block, counted from 1 below its key."""
    return Fault(rule.path, rule.document.line(("sql",)) + line, message, hint)


def _misread(error: ParseError | TokenError) -> tuple[str, int]:
    """Give what the parser says, and the offset that it says it of."""
    for details in getattr(error, "errors", ()):
        return str(details["description"]).partition(" but got <")[0], len(details["start_context"] or "")
    said = str(error.__cause__ or error).splitlines()[0]
    place = re.fullmatch(r"(.+) from \d+:(\d+)", said)
    return (place[1], int(place[2])) if place else (said, 0)


def _line(rule: Rule, node: exp.Expr) -> int:
    """Give the line that a part of the SQL begins in."""
    return _line_at(rule, min((int(part.meta["start"]) for part in node.walk() if "start" in part.meta), default=0))


def _line_at(rule: Rule, offset: int) -> int:
    """Give the line of an offset: sqlglot's own lines are wrong behind a `$name`, its offsets are right."""
    return rule.file.sql.count("\n", 0, offset) + 1


def _tables(rule: Rule, tree: exp.Expr, tables: Mapping[str, Sequence[str]]) -> list[Fault]:
    faults: list[Fault] = []
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    if any(with_.args.get("recursive") for with_ in tree.find_all(exp.With)):
        faults.append(_fault(rule, 1, "recursive queries are refused", "rules must end"))
    read = set()
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            faults.append(
                _fault(rule, _line(rule, table), f"table function {table.sql()!r} is refused", "read a table")
            )
        elif table.db or table.catalog:
            faults.append(_fault(rule, _line(rule, table), f"table {table.sql()!r} has a prefix", "use the bare name"))
        elif table.name not in ctes:
            read.add(table.name)
            if table.name not in tables:
                faults.append(
                    _fault(
                        rule, _line(rule, table), f"there is no table {table.name!r}", did_you_mean(table.name, tables)
                    )
                )
    if not faults and read != set(rule.file.reads):
        said = set(rule.file.reads)
        parts = [
            *(f"the SQL reads {name!r}, which reads lacks" for name in sorted(read - said)),
            *(f"reads names {name!r}, which the SQL does not read" for name in sorted(said - read)),
        ]
        faults.append(rule.document.fault(("reads",), "; ".join(parts), "make them equal"))
    return faults


def _constructs(rule: Rule, tree: exp.Expr) -> list[Fault]:
    faults = []
    for node in tree.walk():
        for refused, remedy in _REFUSED.items():
            if isinstance(node, refused) and not (isinstance(node, exp.Star) and isinstance(node.parent, exp.Count)):
                faults.append(_fault(rule, _line(rule, node), f"{node.sql()[:40]!r} is refused", remedy))
        if isinstance(node, exp.Func):
            name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key.lower()
            names = {name, *(known.lower() for known in getattr(node, "_sql_names", ()))}
            if not names & FUNCTIONS and not _plain(name):
                faults.append(
                    _fault(rule, _line(rule, node), f"function {name!r} is refused", did_you_mean(name, FUNCTIONS))
                )
        if isinstance(node, exp.Div) and not _never_zero(node.expression.unnest()):
            remedy = "write x / nullif(y, 0): engines differ on division by zero"
            faults.append(_fault(rule, _line(rule, node), "division without nullif", remedy))
    return faults


def _never_zero(divisor: exp.Expr) -> bool:
    if isinstance(divisor, exp.Literal):
        return divisor.is_number and float(divisor.this) != 0
    return isinstance(divisor, exp.Nullif)


def _plain(name: str) -> bool:
    return name.replace("_", "") in {known.replace("_", "") for known in FUNCTIONS}


def _columns(rule: Rule, tree: exp.Query) -> list[Fault]:
    names = tree.named_selects
    faults = [
        _fault(rule, 1, f"column {name!r} is missing", "a rule gives resource_id, status, reason and its evidence")
        for name in ("resource_id", "status", "reason")
        if name not in names
    ]
    faults += [
        _fault(rule, _line(rule, value), f"column {value.sql()[:40]!r} has no name", "name it with AS")
        for value in tree.selects
        if not value.alias_or_name
    ]
    faults += [
        _fault(rule, 1, f"column {name!r} stands twice")
        for name in sorted({n for n in names if n and names.count(n) > 1})
    ]
    for select in tree.selects:
        if select.alias_or_name == "severity":
            value = _source(tree, select)
            faults += [
                _fault(
                    rule,
                    _line(rule, word),
                    f"{word.this!r} is no severity",
                    did_you_mean(word.this, [it.value for it in Severity]),
                )
                for word in _results(value)
                if isinstance(word, exp.Literal) and word.this not in set(Severity)
            ]
        if select.alias_or_name == "status":
            value = _source(tree, select)
            results = _results(value)
            if isinstance(value, exp.Case) and None in results:
                faults.append(
                    _fault(rule, _line(rule, value), "the status CASE has no ELSE", "say what holds otherwise")
                )
            for result in (it for it in results if isinstance(it, exp.Literal)):
                word, line = result.this, _line(rule, result)
                if word not in set(Status):
                    hint = did_you_mean(word, [status.value for status in Status])
                    faults.append(_fault(rule, line, f"{word!r} is no status", hint))
                if word == Status.WAIVED:
                    faults.append(_fault(rule, line, "a rule does not waive", "waivers do"))
    return faults


def wrong_column(rule: Rule, name: str, message: str, hint: str) -> Fault:
    """Point at a column that the SQL, which has passed `check`, gives."""
    tree = sqlglot.parse_one(rule.file.sql, read="duckdb")
    selects = tree.selects if isinstance(tree, exp.Query) else []
    value = next((value for value in selects if value.alias_or_name == name), tree)
    return _fault(rule, _line(rule, value), f"column {name!r} {message}", hint)


def _params(rule: Rule, tree: exp.Expr) -> list[Fault]:
    used = {str(node.name or node.this) for node in tree.find_all(exp.Parameter)}
    used |= {str(node.name) for node in tree.find_all(exp.Placeholder) if node.name}
    declared = set(rule.file.params)
    faults = []
    for name in sorted(used - declared):
        place = re.search(rf"\${re.escape(name)}\b", rule.file.sql)  # sqlglot keeps no offset of a parameter
        line = _line_at(rule, place.start() if place else 0)
        faults.append(_fault(rule, line, f"${name} is not declared", "add it under params"))
    faults += [
        rule.document.fault(("params", name), f"parameter {name!r} is never used", "remove it")
        for name in sorted(declared - used)
    ]
    return faults


def _messages(rule: Rule, tree: exp.Query) -> list[Fault]:
    known = set(tree.named_selects)
    faults = [
        rule.document.fault(
            ("messages", code), f"message {code!r} names {{{name}}}, no such column", did_you_mean(name, known)
        )
        for code, message in rule.file.messages.items()
        for name in sorted(fields(message) - known)
    ]
    faults += [
        rule.document.fault(
            ("remediation", kind), f"remediation {kind!r} names {{{name}}}, no such column", did_you_mean(name, filled)
        )
        for filled in [known | NAMES]
        for kind, text in rule.file.remediation.items()
        for name in sorted(set(re.findall(r"\{(\w+)\}", text)) - filled)  # {a: b} is a query of `az`
    ]
    for code, message in rule.file.messages.items():
        for key, text in [((), message)] if isinstance(message, str) else [((of,), it) for of, it in message.items()]:
            wrong = misspelt(text)
            if wrong:
                faults.append(rule.document.fault(("messages", code, *key), f"message {code!r}: {wrong}"))
    said = set(rule.file.messages) | set(common_messages())
    for select in tree.selects:
        if select.alias_or_name != "reason":
            continue
        faults += [
            _fault(rule, _line(rule, found), f"reason {found.this!r} has no sentence", "add it under messages")
            for found in _results(_source(tree, select))
            if isinstance(found, exp.Literal) and found.this not in said and not found.this.startswith("judged_by:")
        ]
    return faults


def tidy(rule: Rule) -> list[Fault]:
    """Give what a rule says in its file and its SQL never gives, and the other way round; it has passed `check`."""
    tree = sqlglot.parse_one(rule.file.sql, read="duckdb")
    if not isinstance(tree, exp.Query):
        return []
    given = {name: _literals(tree, name) for name in ("status", "reason")}
    faults = []
    statuses, codes = given["status"], given["reason"]
    for status in rule.file.cannot:
        if status in statuses.words:
            said = f"`cannot` rules out {status!r}, which the SQL gives"
            faults.append(rule.document.fault(("cannot", status), said, "remove the one that is wrong"))
    if Status.NOT_YET_DUE in statuses.words and MATURES not in tree.named_selects:
        said = f"the SQL gives 'not_yet_due' without a column {MATURES!r}"
        faults.append(rule.document.fault(("sql",), said, "say in how many hours it will be due"))
    tested = {expected.status.value for test in rule.file.tests for expected in test.expect.values()}
    faults += [
        rule.document.fault(("tests",), f"the SQL gives {status!r}, which no test expects", "add a test")
        for status in sorted(statuses.words - tested)
    ]
    if codes.all:
        faults += [
            rule.document.fault(
                ("messages", code), f"message {code!r} is of a reason that the SQL never gives", "remove it"
            )
            for code in rule.file.messages
            if code not in codes.words and code not in common_messages()
        ]
    return faults


@dataclass(frozen=True, slots=True)
class _Literals:
    words: frozenset[str]
    all: bool
    """True where the column holds these words, and perhaps shared ones, and nothing else."""


def _literals(tree: exp.Query, column: str) -> _Literals:
    results = [
        result
        for select in tree.selects
        if select.alias_or_name == column
        for result in _results(_source(tree, select))
    ]
    words = frozenset(result.this for result in results if isinstance(result, exp.Literal))
    return _Literals(words, all(isinstance(result, exp.Literal) or _shared(result) for result in results))


def _shared(result: exp.Expr | None) -> bool:
    """Tell whether this gives only codes that all rules share."""
    return isinstance(result, exp.Column) and result.name in ("excluded_code", "idle_reason")


def _source(tree: exp.Query, value: exp.Expr) -> exp.Expr:
    """Follow a bare column to the WITH clause that makes it: a rule may decide the reason before the status."""
    found = value.unalias()
    for cte in reversed(list(tree.find_all(exp.CTE))):
        if isinstance(found, exp.Column) and isinstance(cte.this, exp.Select):
            made = next((s for s in cte.this.selects if s.alias_or_name == found.name), None)
            found = made.unalias() if made is not None else found
    return found


def _results(value: exp.Expr | None) -> list[exp.Expr | None]:
    """Give what an expression can result in: the branches of a CASE, at any depth; None for one without ELSE."""
    if not isinstance(value, exp.Case):
        return [value]
    branches = [*(branch.args["true"] for branch in value.args["ifs"]), value.args.get("default")]
    return [result for branch in branches for result in _results(branch)]
