"""What SQL `auditor query` runs: two parsers must agree that it only reads tables on offer and only computes."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

import duckdb
import pytest

from auditor.engine import querygate
from auditor.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = ("vm", "raw.vm", "disk", "gap", "finding", "protection")

READS = {
    "SELECT * FROM vm": "vm",
    "FROM vm": "vm",
    "TABLE vm": "vm",
    "SELECT 1": "",
    'SELECT count(*) FROM RAW.VM v JOIN "vm" w USING (resource_no) -- ; DROP TABLE vm': "raw.vm vm",
    "WITH vm AS (SELECT * FROM vm WHERE a) SELECT * FROM vm": "vm",
    "WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b, disk": "disk",
    "SELECT * FROM (WITH q AS MATERIALIZED (FROM vm) FROM q) x": "vm",
    "SELECT list_transform(a, lambda x: x + 1), evidence->>'$.x', [x FOR x IN y IF x > 1] FROM finding": "finding",
    "SELECT * FROM range(3) t(i), unnest([1, 2]), generate_series(1, 2)": "",
    "SELECT x FROM vm UNION ALL BY NAME SELECT * FROM disk": "disk vm",
    "(SELECT 1) EXCEPT SELECT a FROM vm ORDER BY 1 LIMIT 3;": "vm",
    "SELECT date_trunc('month', now()), INTERVAL 3 DAYS, today() - DATE '2026-01-01'": "",
    "SELECT name.lower(), 'a' || b, 1 // 2, 2 ** 3, -x, @y FROM vm": "vm",
    "SELECT * EXCLUDE (a) REPLACE (lower(b) AS b), COLUMNS('c.*') FROM vm": "vm",
    "SELECT a, row_number() OVER (PARTITION BY b ORDER BY c) n FROM vm QUALIFY n = 1": "vm",
    "SELECT max(a) FILTER (WHERE b), string_agg(c, ',' ORDER BY c), arg_max(a, b) FROM vm GROUP BY ALL": "vm",
    "SELECT * FROM vm PIVOT (count(*) FOR a IN (1, 2))": "vm",
    "FROM (UNPIVOT vm ON a, b INTO NAME n VALUE v)": "vm",
    "SELECT a[1:2], {'x': 1}.x, MAP {'a': 1}['a'], CAST(b AS STRUCT(x INT)) FROM vm": "vm",
    "SELECT * FROM vm WHERE EXISTS (FROM disk d WHERE d.x = vm.x) AND a IN (SELECT b FROM raw.vm)": "disk raw.vm vm",
    "SELECT (SELECT max(a) FROM disk), array(SELECT a FROM gap) FROM vm, LATERAL (SELECT vm.a + 1)": "disk gap vm",
    "SELECT * FROM vm SEMI JOIN disk USING (a) ASOF JOIN gap ON vm.b >= gap.b": "disk gap vm",
    "SELECT a LIKE 'x', a SIMILAR TO 'y', a ~ 'z', a BETWEEN 1 AND 2, a IN (1, 2), a IS DISTINCT FROM b FROM vm": "vm",
    "SELECT CASE a WHEN 1 THEN 2 END, coalesce(a, b), nullif(a, b), if(a, 1, 2), try(a) FROM vm": "vm",
    "SELECT * FROM vm TABLESAMPLE 10%": "vm",
    "SELECT extract(year FROM a), a AT TIME ZONE 'Europe/Berlin', strftime(a, '%Y'), TRY_CAST(a AS INT) FROM vm": "vm",
}  # fmt: skip


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        yield made


@pytest.mark.parametrize("sql", READS)
def test_what_only_reads_passes(sql: str, con: duckdb.DuckDBPyConnection) -> None:
    assert " ".join(sorted(querygate.check(sql, TABLES, con))) == READS[sql]


HOSTILE = {
    # files, by function, by name, by view
    "SELECT * FROM 'x.csv'": "there is no table 'x.csv'",
    'SELECT * FROM "x.parquet"': "there is no table 'x.parquet'",
    "SELECT * FROM read_csv('/etc/passwd')": "table function 'read_csv' is refused",
    "SELECT * FROM read_text('/etc/passwd')": "'read_text'",
    "SELECT * FROM read_blob('/etc/passwd')": "'read_blob'",
    "SELECT * FROM read_json('x')": "'read_json'",
    "SELECT * FROM read_parquet('x')": "'read_parquet'",
    "SELECT * FROM parquet_metadata('x')": "'parquet_metadata'",
    "SELECT * FROM glob('*')": "'glob'",
    "SELECT * FROM sniff_csv('x')": "'sniff_csv'",
    "SELECT * FROM vm, read_csv('a')": "'read_csv'",
    "SELECT * FROM vm WHERE a IN (SELECT 1 FROM read_csv('a'))": "'read_csv'",
    "SELECT (FROM read_text('x'))": "'read_text'",
    "WITH a AS (FROM read_text('x')) FROM vm": "'read_text'",
    "SELECT * FROM vm ORDER BY (SELECT 1 FROM read_text('x'))": "'read_text'",
    "SELECT * FROM vm LIMIT (SELECT 1 FROM read_text('x'))": "'read_text'",
    "SELECT read_text('x')": "there is no function 'read_text'",
    # other statements
    "COPY vm TO 'x'": "no single SELECT",
    "COPY (SELECT 1) TO 'x'": "no single SELECT",
    "EXPORT DATABASE 'x'": "no single SELECT",
    "ATTACH 'x'": "no single SELECT",
    "DETACH x": "no single SELECT",
    "USE x": "no single SELECT",
    "INSTALL httpfs": "no single SELECT",
    "LOAD httpfs": "no single SELECT",
    "SET memory_limit = '9GB'": "no single SELECT",
    "RESET memory_limit": "no single SELECT",
    "SET VARIABLE a = 1": "no single SELECT",
    "PRAGMA memory_limit = '9GB'": "no single SELECT",
    "PRAGMA version": "SELECT",
    "CALL duckdb_settings()": "no single SELECT",
    "CHECKPOINT": "no single SELECT",
    "EXPLAIN SELECT 1": "no single SELECT",
    "DESCRIBE vm": "refused",
    "SHOW TABLES": "refused",
    "PREPARE a AS SELECT 1": "no single SELECT",
    "EXECUTE a": "no single SELECT",
    "BEGIN": "no single SELECT",
    "CREATE TABLE x AS SELECT 1": "no single SELECT",
    "CREATE TEMP TABLE x AS SELECT 1": "no single SELECT",
    "CREATE MACRO f() AS 1": "no single SELECT",
    "CREATE VIEW v AS SELECT 1": "no single SELECT",
    "INSERT INTO vm VALUES (1)": "no single SELECT",
    "UPDATE vm SET a = 1": "no single SELECT",
    "DELETE FROM vm": "no single SELECT",
    "DROP TABLE vm": "no single SELECT",
    "ALTER TABLE vm ADD COLUMN x INT": "no single SELECT",
    "WITH a AS (INSERT INTO vm VALUES (1) RETURNING *) FROM a": "this changes something",
    "WITH a AS (DELETE FROM vm RETURNING *) FROM a": "this changes something",
    "PIVOT vm ON a USING count(*)": "no single SELECT",
    "SELECT 1; SELECT 2": "only one statement",
    "SELECT 1; DROP TABLE vm": "only one statement",
    "SELECT 1; -- \n ; COPY vm TO 'x'": "only one statement",
    "": "no single SELECT",
    "-- nothing": "no single SELECT",
    ";": "no single SELECT",
    # what looks like a table
    "FROM (DESCRIBE vm)": "refused",
    "FROM (SHOW TABLES)": "refused",
    "FROM (SUMMARIZE vm)": "refused",
    "SELECT * FROM query('SELECT 1')": "'query'",
    "SELECT * FROM query_table('vm')": "'query_table'",
    "SELECT * FROM duckdb_settings()": "'duckdb_settings'",
    "SELECT * FROM duckdb_databases()": "'duckdb_databases'",
    "SELECT * FROM duckdb_tables": "there is no table 'duckdb_tables'",
    "SELECT * FROM sqlite_master": "there is no table",
    "SELECT * FROM information_schema.tables": "there is no table 'information_schema.tables'",
    "SELECT * FROM pg_catalog.pg_class": "there is no table",
    "SELECT * FROM memory.main.vm": "there is no table 'memory.main.vm'",
    "SELECT * FROM main.setting": "there is no table",
    "SELECT * FROM json_each('{}')": "'json_each'",
    "SELECT * FROM json_execute_serialized_sql('{}')": "'json_execute_serialized_sql'",
    "SELECT * FROM arrow_scan(1, 2, 3)": "'arrow_scan'",
    "SELECT * FROM repeat('a', 3)": "'repeat'",
    "SELECT * FROM getvariable('a')": "'getvariable'",
    'SELECT * FROM "raw.vm"': "there is no table 'raw.vm'",
    # a CTE's name does not open a table of that name elsewhere
    "WITH duckdb_tables AS (FROM duckdb_tables) FROM duckdb_tables": "there is no table 'duckdb_tables'",
    "SELECT * FROM (WITH setting AS (SELECT 1) FROM setting), setting": "there is no table 'setting'",
    "WITH a AS (FROM setting), setting AS (SELECT 1) FROM a": "there is no table 'setting'",
    # functions that do more than compute
    "SELECT pg_sleep(3)": "there is no function 'pg_sleep'",
    "SELECT sleep_ms(3)": "'sleep_ms'",
    "SELECT getenv('HOME')": "'getenv'",
    "SELECT current_setting('memory_limit')": "'current_setting'",
    "SELECT getvariable('a')": "'getvariable'",
    "SELECT write_log('x')": "'write_log'",
    "SELECT nextval('x')": "'nextval'",
    "SELECT main.pg_sleep(3)": "'pg_sleep'",
    "SELECT (3).pg_sleep()": "'pg_sleep'",
    "SELECT list_transform([1], lambda x: pg_sleep(x))": "'pg_sleep'",
    "SELECT count(*) OVER (ORDER BY pg_sleep(1)) FROM vm": "'pg_sleep'",
    "SELECT a FROM vm GROUP BY a HAVING pg_sleep(1) IS NULL": "'pg_sleep'",
    "SELECT json_serialize_sql('SELECT 1')": "'json_serialize_sql'",
    "SELECT to_aggregate_state('x')": "'to_aggregate_state'",
    "SELECT version()": "'version'",
    # what does not end
    "WITH RECURSIVE a AS (SELECT 1 UNION ALL FROM a) FROM a": "recursive queries are refused",
    "WITH RECURSIVE a AS (SELECT 1 x UNION ALL SELECT x + 1 FROM a) SELECT * FROM vm, a": "recursive",
    # parameters
    "SELECT $1": "no parameters",
    "SELECT ?": "no parameters",
}


@pytest.mark.parametrize("sql", HOSTILE)
def test_what_does_more_is_refused(sql: str, con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(DocumentError) as told:
        querygate.check(sql, TABLES, con)
    assert HOSTILE[sql] in told.value.message
    assert re.match(r"SQL:\d+: ", told.value.message)


@pytest.mark.parametrize(
    ("sql", "line", "said"),
    [
        ("SELECT 'ä' AS x,\n  2\nFROM vmm", 3, "did you mean 'vm'?"),
        ("SELECT 1\n\n, lowr('a')", 3, "did you mean 'lower'?"),
        ("SELECT\n*\nFROM raw.vmm", 3, "did you mean 'raw.vm'?"),
        ("SELECT 1 FROM zzzzzzzz", 1, "--tables lists them"),
        ("SELEC 1", 1, 'near "SELEC"'),
        ("SELECT 1\nFROM vm\nWHER a", 3, 'near "a"'),
        ("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, 1, "nested too deeply"),
        ("SELECT " + "NOT " * 300 + "true", 1, "nested too deeply"),
    ],
)
def test_an_error_has_its_line_and_a_remedy(sql: str, line: int, said: str, con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(DocumentError) as told:
        querygate.check(sql, TABLES, con)
    assert told.value.message.startswith(f"SQL:{line}: ")
    assert said in told.value.message
    assert len(told.value.faults) == 1


def test_all_mistakes_are_told_each_once(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(DocumentError) as told:
        querygate.check("SELECT foo(1), foo(2)\nFROM vmm, vmm b, read_csv('x')", TABLES, con)
    assert [fault.line for fault in told.value.faults] == [1, 2, 2]


def test_what_the_parsers_read_differently_does_not_run(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(querygate, "_tables", lambda _tree: {"disk"})
    with pytest.raises(DocumentError, match="two parsers read this differently"):
        querygate.check("SELECT * FROM vm", TABLES, con)


REFUSED = (
    # of the process, its catalog, its settings, its session
    "alias", "can_cast_implicitly", "cast_to_type", "col_description", "current_*", "format_pg_type", "format_type",
    "get_block_size", "get_type", "getvariable", "has_*", "in_search_path", "inet_*", "make_type",
    "map_to_pg_oid", "map_type_id_to_pg_oid", "obj_description", "pg_*", "replace_type", "session_user",
    "shobj_description", "stats", "txid_current", "user", "vector_type", "version", "write_log",
    # with a state or a clockwork
    "currval", "nextval", "setval", "setseed", "sleep_ms",
    # SQL as a text
    "json_deserialize_sql", "json_serialize_plan", "json_serialize_sql",
    # internals of DuckDB, which trust what they are given
    "__*", "!__postfix", "array_to_string_comma_default", "bitstring_byte_comparable", "combine", "combine_aggr",
    "constant_or_null", "create_sort_key", "decimal_average", "decimal_division", "finalize",
    "hive_partition_component", "index_key", "invoke", "is_histogram_other_bin", "json_copy_strftime_if_*",
    "normalized_interval", "parse_duckdb_log_message", "remap_struct", "sum_no_overflow", "timetz_byte_comparable",
    "to_aggregate_state", "variant_*", "vertex_extract",
    # of no use here
    "binom", "collate_*", "icu_*", "st_*", "uuid_extract_version",
)  # fmt: skip


def test_every_function_of_duckdb_was_judged(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'macro', 'window')"
    ).fetchall()
    named = {name for (name,) in rows if re.search(r"\w", name) and " " not in name}
    refused = {name for name in named for pattern in REFUSED if fnmatch.fnmatch(name, pattern)}
    kept = {"current_date", "current_localtime", "current_localtimestamp"}
    assert named - querygate.functions() == refused - kept
    assert (refused - kept) & querygate.functions() == set()
    assert querygate.functions() - named == {"unnest"}
