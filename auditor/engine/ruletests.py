"""Runs the tests inside rule files: the rules prove themselves before each audit and in `rules test`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from auditor.document import did_you_mean
from auditor.errors import DocumentError, Fault
from auditor.inventory import facts
from auditor.rulebook import gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.inventory.facts import Facts
    from auditor.rulebook import Rule
    from auditor.rulebook import RuleTest as Test


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test of one rule."""

    rule: str
    name: str
    failures: tuple[str, ...]
    """What came out otherwise than expected; empty where the test passed."""


def open_tables() -> dict[str, list[str]]:
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


def run_all(rules: Sequence[Rule], empty: Facts) -> list[Outcome]:
    """Gate and run the tests of all rules.

    Raises:
        DocumentError: a rule does not pass the gate.
    """
    gate.demand(rules, open_tables())
    return [outcome for rule in rules for outcome in run(rule, empty)]


def _run(rule: Rule, number: int, empty: Facts) -> list[str]:
    test = rule.file.tests[number]
    con = empty.con
    con.execute("BEGIN")
    try:
        for table, rows in test.given.items():
            _insert(rule, number, con, table, rows)
        params = {name: param.default for name, param in rule.file.params.items()} | test.params
        found = empty.rows(rule.file.sql, params or None)
    except (duckdb.IOException, duckdb.TransactionException):
        raise  # the disk's fault, not the rule's
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise DocumentError([rule.document.fault(("sql",), f"SQL: {said}")]) from error
    finally:
        con.execute("ROLLBACK")
    return _compare(rule, test, found)


def _insert(rule: Rule, number: int, con: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    columns = open_tables().get(table)
    key = ("tests", number, "given", table)
    if columns is None:
        raise DocumentError(
            [rule.document.fault(key, f"there is no table {table!r}", did_you_mean(table, open_tables()))]
        )
    for position, row in enumerate(rows):
        unknown = [name for name in row if name not in columns]
        if unknown:
            hint = did_you_mean(unknown[0], columns)
            said = f"table {table!r} has no column {unknown[0]!r}"
            raise DocumentError([rule.document.fault((*key, position, unknown[0]), said, hint)])
        names = ", ".join(row)
        con.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' for _ in row)})", list(row.values()))


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
