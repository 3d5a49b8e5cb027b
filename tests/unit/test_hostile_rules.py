"""Rules that nobody should run: refused by name, or stopped by the room's limits, and told by file, line and rule."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from auditor import rulebook, standard
from auditor.engine.evaluate import Judging
from auditor.engine.ruletests import Proving
from auditor.engine.sandbox import MB, Limits
from auditor.errors import DocumentError
from auditor.inventory import store
from auditor.inventory.facts import Circumstances

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHIPPED = standard.read(standard.default_path())
AS_OF = datetime(2026, 11, 22, 6, tzinfo=UTC)
RULE = """\
id: {id}
title: t
severity: low
resource_type: vm
rationale: r
remediation: {{}}
reads: {reads}
sql: |
{sql}
messages: {{x: x}}
cannot: {{unknown: w, fail: w}}
tests:
  - name: two
    given: {{vm: [{{resource_no: 1, resource_id: aaaaaaaaaa}}, {{resource_no: 2, resource_id: bbbbbbbbbb}}]}}
    expect: {{aaaaaaaaaa: pass, bbbbbbbbbb: pass}}
"""
SQL_LINE = 9
HEAD = "SELECT v.resource_id, 'pass' AS status, 'x' AS reason"
GOOD = f"{HEAD} FROM vm v"
MANY = ", ".join(f"vm v{n}" for n in range(12))
ENDLESS = ", ".join(f"vm v{n}" for n in range(45))


def grown(times: int) -> str:
    value = "v.resource_id"
    for _ in range(times):
        value = f"replace({value}, 'a', 'aaaaaaaaaa')"
    return value


REFUSED = {
    "read-file": (f"{HEAD} FROM 'secrets.csv' v", "there is no table 'secrets.csv'"),
    "read-csv": (f"{HEAD} FROM read_csv('/etc/passwd') v", "table function"),
    "read-text": (f"{HEAD}, (SELECT content FROM read_text('/etc/passwd')) AS c FROM vm v", "table function"),
    "read-scheme": (f"{HEAD} FROM raw.vm v", "has a prefix"),
    "read-settings": (f"{HEAD}, current_setting('home_directory') AS c FROM vm v", "is refused"),
    "read-environment": (f"{HEAD}, getenv('AUDITOR_TOKEN') AS c FROM vm v", "function 'getenv' is refused"),
    "read-catalogue": (f"{HEAD} FROM duckdb_settings() v", "table function"),
    "read-shown": (f"{HEAD} FROM (SHOW TABLES) v", "there is no table 'SHOW'"),
    "read-described": (f"{HEAD} FROM (DESCRIBE vm) v", "is refused"),
    "read-by-name": (f"{HEAD} FROM query('SELECT 1') v", "table function"),
    "write-copy": ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY is refused"),
    "write-insert": (f"WITH a AS (INSERT INTO vm VALUES (1) RETURNING 1 AS n) {GOOD}", "this changes something"),
    "write-table": ("CREATE TABLE t AS SELECT 1 AS a", "CREATE is refused"),
    "write-drop": ("DROP TABLE vm", "DROP is refused"),
    "write-export": ("EXPORT DATABASE '/tmp/x'", "SQL: "),
    "attach-file": ("ATTACH '/tmp/x.db'", "ATTACH is refused"),
    "load-extension": ("INSTALL httpfs", "INSTALL is refused"),
    "set-setting": ("SET memory_limit = '1TB'", "SET is refused"),
    "set-pragma": ("PRAGMA enable_profiling", "PRAGMA is refused"),
    "several-statements": (f"{GOOD}; {GOOD}", "2 statements are refused"),
    "several-kinds": (f"{GOOD}; DROP TABLE vm", "DROP is refused"),
    "endless-recursion": (
        f"WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) {HEAD} FROM vm v, r",
        "recursive queries are refused",
    ),
    "endless-rows": (f"{HEAD} FROM vm v, range(1000000000000) r", "table function"),
    "endless-sleep": (f"{HEAD}, sleep_ms(1000000) AS s FROM vm v", "function 'sleep_ms' is refused"),
    "giant-repeat": (f"{HEAD}, repeat('x', 1000000000) AS s FROM vm v", "function 'repeat' is refused"),
    "giant-pad": (f"{HEAD}, lpad('x', 1000000000, 'y') AS s FROM vm v", "is refused"),
    "giant-list": (f"{HEAD}, [1, 2] AS s FROM vm v", "lists belong into the views"),
    "deep-nesting": (f"{HEAD}, {'(' * 3000}1{')' * 3000} AS n FROM vm v", "nested too deeply"),
}
STOPPED = {
    "endless-join": (f"{HEAD}, (SELECT count(*) FROM {ENDLESS}) AS n FROM vm v", "took longer than 3 s"),
    "giant-value": (f"{HEAD}, length({grown(9)}) AS n FROM vm v", "memory"),
    "giant-group": (
        f"{HEAD}, (SELECT length(string_agg({grown(5)}, ',')) FROM {MANY}, vm v) AS n FROM vm v",
        "memory",
    ),
    "giant-answer": (f"{HEAD}, {grown(6)} AS a FROM vm v, {', '.join(f'vm w{n}' for n in range(24))}", "memory"),
}
SMALL = Limits(memory=64 * MB, seconds=3.0, preparing=60.0, files="read")


def written(folder: Path, rules: dict[str, str]) -> rulebook.Rulebook:
    (folder / "own").mkdir()
    for name, sql in rules.items():
        reads = "[vm]" if "vm" in sql.replace(".vm", "") else "[]"
        (folder / "own" / f"{name}.yaml").write_text(RULE.format(id=name, sql=f"  {sql}", reads=reads))
    return rulebook.read([folder / "own"], shipped=False)


def proved(folder: Path, rules: dict[str, str], limits: Limits = SMALL) -> dict[str, list[str]]:
    book = written(folder, rules)
    with Proving(limits) as proving:
        return {proof.rule.id: [str(it) for it in proof.faults] for proof in proving.prove(book.rules, SHIPPED)}


def test_what_must_not_run_is_refused_by_name_and_line(tmp_path: Path) -> None:
    told = proved(tmp_path, {name: sql for name, (sql, _) in REFUSED.items()} | {"plain-good": GOOD})
    assert told.pop("plain-good") == []
    assert sorted(told) == sorted(REFUSED)
    for name, (_, said) in REFUSED.items():
        assert told[name], name
        assert all(f"/{name}.yaml:{SQL_LINE}: " in fault for fault in told[name]), told[name]
        assert any(said in fault for fault in told[name]), told[name]


def test_what_the_gate_lets_through_is_stopped_and_those_after_it_are_proved_all_the_same(tmp_path: Path) -> None:
    told = proved(tmp_path, {name: sql for name, (sql, _) in STOPPED.items()} | {"plain-good": GOOD})
    assert told.pop("plain-good") == []
    for name, (_, said) in STOPPED.items():
        (fault,) = told[name]
        assert f"/{name}.yaml:8: " in fault, fault
        assert said in fault, fault


def machines(folder: Path, names: Sequence[str]) -> Path:
    place = "/subscriptions/00000000-0000-0000-0000-000000000001"
    bodies = {
        "vm": [
            {
                "id": f"{place}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/{name}",
                "name": name,
                "properties": {},
            }
            for name in names
        ],
        "subscription": [{"id": place, "name": "Main", "properties": {"state": "Enabled"}}],
    }
    pages = {table: [store.Page(None, json.dumps({"data": rows}).encode())] for table, rows in bodies.items()}
    store.build(folder / "inventory", lambda table: pages.get(table, []), AS_OF)
    return folder / "inventory"


@pytest.mark.parametrize("hours", ["1e300", "CAST('nan' AS DOUBLE)", "-1000001"])
def test_a_rule_whose_hours_lead_to_no_date_is_told_by_file_and_line(hours: str, tmp_path: Path) -> None:
    sql = f"SELECT v.resource_id, 'not_yet_due' AS status, 'x' AS reason, {hours} AS matures_in_hours FROM vm v"
    book = written(tmp_path, {"never-due": sql})
    inventory = machines(tmp_path, ["a"])
    with Judging() as judging, pytest.raises(DocumentError, match=r"never-due\.yaml:8: rule never-due") as caught:
        judging.judge(book, inventory, Circumstances(AS_OF, SHIPPED), folder=tmp_path / "findings")
    assert "gave the matures_in_hours" in str(caught.value)


@pytest.mark.parametrize("name", STOPPED)
def test_judging_by_a_rule_ends_within_its_limits(name: str, tmp_path: Path) -> None:
    book = written(tmp_path, {name: STOPPED[name][0]})
    inventory = machines(tmp_path, ["aaaaaaaaaa", "aaaaaaaaab"])
    with (
        Judging(Limits(memory=64 * MB, seconds=3.0, preparing=60.0, files="write")) as judging,
        pytest.raises(DocumentError, match=rf"{name}\.yaml:8: .*rule {name}") as caught,
    ):
        judging.judge(book, inventory, Circumstances(AS_OF, SHIPPED), folder=tmp_path / "findings")
    assert STOPPED[name][1] in str(caught.value)
