"""Runs the tests inside rule files: the rules prove themselves before each audit and in `rules test`.

A rule is read by the gate and runs its tests in a room of its own (engine/sandbox), one for all rules.
"""

from __future__ import annotations

import builtins
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from auditor.document import did_you_mean
from auditor.engine import querygate
from auditor.engine.sandbox import MB, ChildError, Limits, Room, SandboxError
from auditor.errors import DocumentError, Fault
from auditor.inventory import facts
from auditor.inventory.database import lock
from auditor.inventory.facts import Facts
from auditor.rulebook import MATURES, gate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

    from auditor.rulebook import Rule
    from auditor.rulebook import RuleTest as Test
    from auditor.standard import Standard

LIMITS = Limits(memory=256 * MB, seconds=60.0, preparing=300.0, files="read")
"""Of a rule's tests, which hold a handful of rows."""

_NUMBER = r'"?NULL"?|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)'
"""What DuckDB calls the types of numbers, and that of a bare null."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test of one rule."""

    rule: str
    name: str
    failures: tuple[str, ...]
    """What came out otherwise than expected; empty where the test passed."""


@functools.cache
def open_tables() -> Mapping[str, list[str]]:
    """Give the tables open to rules with their column names, as the gate wants them."""
    return {name: [column.name for column in columns] for name, columns in facts.tables().items()}


def run(rule: Rule, empty: Facts) -> list[Outcome]:
    """Run all tests of a rule.

    Args:
        rule: has passed the gate.
        empty: tables without rows; each test fills them and takes its rows back.
    """
    return [
        Outcome(rule.id, test.name, tuple(_run(rule, number, empty))) for number, test in enumerate(rule.file.tests)
    ]


def check(rule: Rule, con: duckdb.DuckDBPyConnection) -> list[Fault]:
    """Give what is wrong with a rule's SQL in the eyes of two parsers, sqlglot and DuckDB's own.

    Args:
        rule: as read.
        con: any connection; it parses and runs nothing.
    """
    found = gate.check(rule, open_tables())
    if found:
        return found
    try:
        read = querygate.check(rule.file.sql, open_tables(), con, parameters=True)
    except DocumentError as error:
        return _placed(rule, error)
    if read != set(rule.file.reads):
        return [rule.document.fault(("sql",), "two parsers read this differently", "write it more plainly")]
    return []


def _placed(rule: Rule, error: DocumentError) -> list[Fault]:
    """Tell faults of an SQL text by the lines of the rule's file."""
    first = rule.document.line(("sql",))
    return [Fault(rule.path, first + fault.line, fault.message, fault.hint) for fault in error.faults]


def _bound(rule: Rule, empty: Facts) -> list[Fault]:
    """Give what is wrong with names and types in a rule's SQL, without running it."""
    params = {name: param.default for name, param in rule.file.params.items()}
    try:
        columns = empty.con.execute(f"DESCRIBE {rule.file.sql}", params or None).fetchall()
    except duckdb.Error as error:
        return _told(rule, error)
    kind = next((column[1] for column in columns if column[0] == MATURES), "NULL")
    if re.fullmatch(_NUMBER, kind):
        return []
    return [gate.wrong_column(rule, MATURES, f"is {kind}, not a number", "give hours, or null")]


def _told(rule: Rule, error: duckdb.Error) -> list[Fault]:
    columns = [column for table in rule.file.reads for column in open_tables().get(table, ())]
    return _placed(rule, querygate.told(error, columns))


def _misnamed_all(rule: Rule) -> list[Fault]:
    given = [(number, *item) for number, test in enumerate(rule.file.tests) for item in test.given.items()]
    return [fault for number, table, rows in given for fault in _misnamed(rule, number, table, rows)]


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of a rule when it was read by the gate and ran its tests."""

    rule: Rule
    outcomes: tuple[Outcome, ...] = ()
    faults: tuple[Fault, ...] = ()
    """Why it can't be used, or not be tested; the outcomes of tests are not among them."""


class Proving:
    """A room for the rules' tests, which gets ready while the caller goes on. Use as a context manager."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        """Open the room."""
        self._limits = limits
        self._room = Room(Prover, limits)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the room."""
        self._room.__exit__()

    def prove(self, rules: Sequence[Rule], standard: Standard, *, lint: bool = False) -> Iterator[Proof]:
        """Gate the rules and run their tests, one rule after the other.

        A rule that outlives its limits, or kills the process, is at fault; the rules after it are proved all the same.

        Args:
            rules: as read.
            standard: whose tiers and settings the tables have.
            lint: True looks closer at each rule instead of running its tests.

        Raises:
            SandboxError: the tables could not be laid out.
        """
        prepared = False
        for number, rule in enumerate(rules):
            try:
                if not prepared:
                    self._prepare(rules, standard)
                    prepared = True
                (answer,) = self._room.ask([number, lint], what=f"rule {rule.id}")
                yield Proof(rule, tuple(Outcome(rule.id, name, tuple(failures)) for name, failures in answer))
            except DocumentError as error:
                yield Proof(rule, faults=tuple(error.faults))
            except SandboxError as error:
                if not prepared:
                    raise  # no rule's fault
                yield Proof(rule, faults=(rule.document.fault(("sql",), error.message, error.hint),))
                self._room.__exit__()
                self._room = Room(Prover, self._limits)
                prepared = False
            except ChildError as error:
                raise error.like(duckdb, builtins) from error

    def _prepare(self, rules: Sequence[Rule], standard: Standard) -> None:
        told = (tuple(rules), standard, self._limits.memory)
        self._room.prepare(told, what="laying out empty tables for the rules' tests")


class Prover:
    """The worker in the room: lays out empty tables, locks itself in with them, and proves one rule after another."""

    def __init__(self, setup: Any) -> None:
        """Lay out the tables."""
        self._rules, standard, memory = setup
        self._empty = Facts.empty(standard)
        gate.warm_up()
        lock(self._empty.con, memory)

    def work(self, task: Any) -> Iterator[Any]:
        """Prove a rule; give the name of each test with what came out otherwise than expected."""
        number, lint = task
        rule = self._rules[number]
        faults = check(rule, self._empty.con) or _bound(rule, self._empty)
        if lint:
            faults = [*(faults or gate.tidy(rule)), *_misnamed_all(rule)]
        if faults:
            raise DocumentError(faults)
        try:
            yield [(outcome.name, outcome.failures) for outcome in ([] if lint else run(rule, self._empty))]
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error


def _run(rule: Rule, number: int, empty: Facts) -> list[str]:
    test = rule.file.tests[number]
    con = empty.con
    con.execute("BEGIN")
    try:
        for table, rows in test.given.items():
            _insert(rule, number, con, table, rows)
        params = {name: param.default for name, param in rule.file.params.items()} | test.params
        found = empty.rows(rule.file.sql, params or None)
    except duckdb.OutOfMemoryException:
        raise  # told as what it is
    except duckdb.Error as error:
        raise DocumentError(_told(rule, error)) from error
    finally:
        con.execute("ROLLBACK")
    return _compare(rule, test, found)


def _insert(rule: Rule, number: int, con: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    faults = _misnamed(rule, number, table, rows)
    if faults:
        raise DocumentError(faults)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if names:
        places = ", ".join(f"({', '.join('?' for _ in names)})" for _ in rows)
        values = [row.get(name) for row in rows for name in names]
        try:
            con.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES {places}", values)
        except duckdb.ConversionException as error:
            said = f"a value of table {table!r} is of the wrong kind: {querygate.told(error).faults[0].message}"
            raise DocumentError([rule.document.fault(("tests", number, "given", table), said)]) from error


def _misnamed(rule: Rule, number: int, table: str, rows: list[dict[str, Any]]) -> list[Fault]:
    """Give the tables and columns of a test's rows that do not exist."""
    columns = open_tables().get(table)
    key = ("tests", number, "given", table)
    if columns is None:
        return [rule.document.fault(key, f"there is no table {table!r}", did_you_mean(table, open_tables()))]
    return [
        rule.document.fault(
            (*key, position, name), f"table {table!r} has no column {name!r}", did_you_mean(name, columns)
        )
        for position, row in enumerate(rows)
        for name in row
        if name not in columns
    ]


def _compare(rule: Rule, test: Test, found: list[dict[str, Any]]) -> list[str]:
    verdicts = {str(row["resource_id"]): row for row in found}
    failures = []
    if len(verdicts) != len(found):
        failures.append("a resource has more than one row")
    for resource, expected in test.expect.items():
        row = verdicts.pop(resource, None)
        if row is None:
            failures.append(f"{resource}: no row")
            continue
        severity = row.get("severity") or rule.file.severity.value
        pairs: list[tuple[str, Any, Any]] = [("status", expected.status.value, row["status"])]
        if expected.severity is not None:
            pairs.append(("severity", expected.severity.value, severity))
        if expected.reason is not None:
            pairs.append(("reason", expected.reason, row["reason"]))
        pairs += [(name, value, row.get(name)) for name, value in expected.evidence.items()]
        failures += [f"{resource}: {what} is {got}, expected {want}" for what, want, got in pairs if got != want]
    failures += [f"{resource}: has a row but no expectation" for resource in verdicts]
    return failures


def faults(rule: Rule, outcomes: Sequence[Outcome]) -> list[Fault]:
    """Point at the failed tests of a rule in its file."""
    names = {test.name: number for number, test in enumerate(rule.file.tests)}
    return [
        rule.document.fault(("tests", names[o.name]), f"test {o.name!r} failed: {'; '.join(o.failures)}")
        for o in outcomes
        if o.failures and o.rule == rule.id
    ]
