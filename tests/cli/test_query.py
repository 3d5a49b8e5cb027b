"""`auditor query`: SQL over a bundle's tables in four forms; a mistake is one error, hostile SQL comes to nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditor.cli import rows
from auditor.engine import query
from auditor.inventory import facts
from auditor.inventory.facts import Circumstances, Facts
from auditor.simulator import Estate
from tests.audits import AS_OF, Audited, audit
from tests.azure.runs import hurried, verdicts
from tests.cli.conftest import tree

if TYPE_CHECKING:
    from tests.cli.conftest import Auditor, Outcome

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = "range(100000) a, range(100000) b, range(100000) c"
HOSTILE = "vm\x1b]0;x\x07\u202e|<b>\r\n\tcmd"


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a bundle whose names would command a terminal and a spreadsheet."""
    estate = {
        "estate": "hostile",
        "subscriptions": {"a": {"name": "Sub \x9b31m"}},
        "vms": [
            {"name": HOSTILE, "in": "a/rg", "tags": {"\x1b[2J": "=1+1"}},
            {"name": "=HYPERLINK(1)", "in": "a/rg"},
        ],
    }
    return audit(Estate.from_dict(estate, AS_OF), tmp_path_factory.mktemp("hostile"), patience=hurried()).bundle.folder


class Asked:
    """Asks the finished run, by name."""

    def __init__(self, auditor: Auditor, finished: Audited) -> None:
        self._auditor, self.store = auditor, finished.bundle.folder.parent

    def __call__(self, sql: str, *words: object) -> Outcome:
        return self._auditor("query", "--store", self.store, *words, sql)

    def rows(self, sql: str, *words: object) -> list[dict[str, Any]]:
        told = self(sql, "-f", "json", *words)
        assert (told.code, told.err) == (0, "")
        found: list[dict[str, Any]] = json.loads(told.out)
        return found


@pytest.fixture
def asked(auditor: Auditor, finished: Audited) -> Asked:
    return Asked(auditor, finished)


def test_findings_are_those_that_were_sealed(asked: Asked, finished: Audited) -> None:
    found = asked.rows("SELECT * FROM finding")
    assert {(row["rule"], row["resource_id"]): row["status"] for row in found} == verdicts(finished.bundle)
    reported = {(f.rule, f.resource_id): f for f in finished.results.findings}
    for row in found:
        known = reported.get((row["rule"], row["resource_id"]))
        assert (known is None) == (row["status"] == "pass")
        if known:
            assert row["severity"] == known.severity.value
            assert row["reason"] == known.reason_code
            assert row["resource_name"] == known.resource_name
            assert row["resource_group"] == known.resource_group.lower()
            assert row["subscription_name"] == known.subscription_name
            assert row["fingerprint"] == known.fingerprint
            assert row["evidence"] is not None
            assert isinstance(row["evidence"], dict)
    titles = {rule.id: (rule.title, rule.area, rule.resource_type) for rule in finished.results.rules if rule.evaluated}
    assert {row["rule"]: (row["title"], row["area"], row["resource_type"]) for row in found} == titles


def test_waived_findings_name_their_waiver(
    auditor: Auditor, finished: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.bundle import Bundle  # noqa: PLC0415

    folder = tmp_path / "run=2026-11-22T060000Z"
    shutil.copytree(finished.bundle.folder, folder)
    (folder / "waivers.yaml").write_text(
        "waivers:\n  - id: W-1\n    rule: vm-unprotected\n    match: {resource_group: rg-app}\n    reason: because\n"
        "    compensating_control: c\n    requester: a@example.com\n    approver: b@example.com\n"
        "    approved_on: 2026-01-01\n    expires_on: 2026-12-20\n    ticket: T-1\n"
    )
    monkeypatch.setattr(Bundle, "damage", lambda _self, **_: [])
    assert auditor("evaluate", folder, "-q").code == 1
    (made,) = (folder / "evaluations").iterdir()
    shutil.rmtree(folder / "findings")
    (made / "findings").rename(folder / "findings")
    told = auditor("query", folder, "-f", "json", "SELECT * FROM finding WHERE status = 'waived'")
    found = json.loads(told.out)
    assert found
    assert {row["waiver_id"] for row in found} == {"W-1"}
    assert found[0]["waiver_approver"] == "b@example.com"
    assert found[0]["waiver_expires_on"] == "2026-12-20"
    assert found[0]["waiver_ticket"] == "T-1"
    assert found[0]["first_seen"] == "2026-11-22T06:00:00Z"


def test_every_table_on_offer_has_the_columns_that_are_documented(finished: Audited, tmp_path: Path) -> None:
    con = query._Layout(finished.bundle, tmp_path).lay(query.offered())
    for name, about in query.offered().items():
        found = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {name}").fetchall()]
        assert sorted(found) == sorted(column.name for column in about.columns), name
        assert about.words, name
    con.close()


UNUSED = {
    "backup_run",
    "earlier_expiry",
    "earlier_guard",
    "earlier_retention",
    "last_restore",
    "policy_exemption",
    "restore_job",
    "restore_test",
}


def test_a_table_laid_out_alone_is_what_rules_see(finished: Audited, tmp_path: Path) -> None:
    bundle = finished.bundle
    covered = bundle.covered()
    from auditor import standard  # noqa: PLC0415
    from auditor.standard import evidence  # noqa: PLC0415

    given = Circumstances(
        bundle.as_of,
        standard.read(bundle.folder / "standard.yaml"),
        coverage=covered.coverage,
        gaps=covered.gaps,
        second=covered.second,
        sampled=covered.sampled,
        history=bundle.history,
        evidence=evidence.of_bundle(bundle.folder),
    )
    empty: set[str] = set()
    with Facts.open(bundle.inventory, given) as whole:
        for number, name in enumerate(facts.tables()):
            copies = tmp_path / str(number)
            copies.mkdir()
            con = query._Layout(bundle, copies).lay([name])
            alone = con.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall()
            con.close()
            assert alone == whole.con.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall(), name
            if not alone:
                empty.add(name)
    # The estate has no jobs, no policies of Azure, no tests of restores, and a first run knows nothing of earlier ones.
    assert empty == UNUSED


def test_coverage_gaps_and_history_can_be_read(asked: Asked, finished: Audited) -> None:
    covered = finished.bundle.covered()
    found = asked.rows("SELECT * FROM coverage WHERE source = 'first'")
    assert {(row["table_name"], row["subscription_id"], row["state"], row["received"]) for row in found} == {
        (row.table, row.subscription_id, row.state.value, row.received) for row in covered.coverage
    }
    (second,) = asked.rows("SELECT count(*) AS n FROM coverage WHERE source = 'second'")
    assert second["n"] == len(covered.second)
    assert asked.rows("SELECT * FROM gap") == []
    kinds = {row["kind"] for row in asked.rows("SELECT kind FROM history GROUP BY ALL")}
    assert kinds >= {"vm", "protected_item", "vault"}


def test_raw_tables_and_those_of_rules_stand_side_by_side(asked: Asked, finished: Audited) -> None:
    joined = "vm v JOIN Raw.VM r USING (resource_no) JOIN vault ON true"
    (found,) = asked.rows(f"SELECT count(*) n, count(DISTINCT v.resource_no) d FROM {joined}")
    assert found["d"] == len(finished.results.machines)
    assert found["n"] == 3 * found["d"]
    (tagged,) = asked.rows("SELECT tags, created_at, disk_ids FROM raw.vm WHERE resource_name = 'tagged'")
    assert tagged["tags"] == {"environment": "prod"}
    assert tagged["created_at"].endswith("Z")
    assert len(tagged["disk_ids"]) == 1


# Words of the command line: bundle and SQL.


def test_one_word_is_sql_over_latest_two_are_bundle_and_sql(
    auditor: Auditor, finished: Audited, hostile: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.bundle.folder, tmp_path / "audits" / "run=2026-11-22T060000Z")
    shutil.copytree(hostile, tmp_path / "audits" / "run=2026-11-29T060000Z")
    sql = "SELECT count(*) FROM vm"
    counts = {
        words: auditor("query", *words, "-f", "csv").out.splitlines()[1]
        for words in (
            (sql,),
            ("latest", sql),
            ("2026-11-22T060000Z", sql),
            ("run=2026-11-22T060000Z", sql),
            (str(tmp_path / "audits" / "run=2026-11-22T060000Z"), sql),
        )
    }
    assert list(counts.values()) == ["2", "2", "19", "19", "19"]


@pytest.mark.parametrize("words", [["-"], ["latest", "-"]])
def test_a_dash_is_sql_from_stdin(words: list[str], finished: Audited) -> None:
    with run(finished, "-f", "csv", *words, stdin=subprocess.PIPE) as process:
        assert process.communicate(b"\xef\xbb\xbfSELECT\n  1 AS a;\n") == (b"a\n1\n", b"")
        assert process.returncode == 0
    with run(finished, *words, stdin=subprocess.PIPE) as process:
        out, err = process.communicate(b"SELECT '\xff'")
        assert (process.returncode, out, b"UTF-8" in err) == (2, b"", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no SQL"),
        (["latest"], "'latest' is no SQL"),
        (["a", "b", "c"], "quotes"),
        (["SELECT", "1"], "SELECT: no such bundle"),
        ([""], "empty"),
        (["latest", " "], "empty"),
        (["nowhere", "SELECT 1"], "nowhere: no such bundle"),
        (["SELECT '\udcff'"], "not UTF-8"),
        (["SELECT 1", "--limit", "0"], "--limit"),
        (["SELECT 1", "--timeout", "0"], "--timeout"),
        (["SELECT 1", "-f", "github"], "markdown"),
        (["SELECT 1", "--tables"], "leave one out"),
        (["--table", "vmm"], "did you mean 'vm'?"),
    ],
)
def test_wrong_words_are_told(words: list[str], said: str, auditor: Auditor, finished: Audited) -> None:
    told = auditor("query", "--store", finished.bundle.folder.parent, *words)
    assert (told.code, told.out) == (2, "")
    assert said in told.err


def test_a_store_without_runs_and_a_changed_bundle_are_told(
    auditor: Auditor, finished: Audited, tmp_path: Path
) -> None:
    told = auditor("query", "SELECT 1")
    assert (told.code, "holds no run" in told.err) == (2, True)
    folder = tmp_path / "changed"
    shutil.copytree(finished.bundle.folder, folder)
    (folder / "inventory" / "vm.parquet").write_bytes(b"PAR1")
    told = auditor("query", folder, "SELECT count(*) FROM vm")
    assert (told.code, told.out, "sealed" in told.err) == (2, "", True)


# Wrong SQL.


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT *\nFROM vmm", "SQL:2: there is no table 'vmm'\n  did you mean 'vm'?"),
        ("SELECT *\nFROM vm\nWHERE locaton = 1", "SQL:3: there is no column 'locaton'\n  did you mean 'location'?"),
        ("SELECT v.stat FROM protection v", "SQL:1: there is no column 'stat'\n  did you mean 'state'?"),
        ("SELECT x.b\nFROM (SELECT 1 AS bb) x", "SQL:1: there is no column 'b'"),
        ("SELEC 1", 'SQL:1: syntax error at or near "SELEC"'),
        ("SELECT 1\n+ 'a'::INT", "SQL:2: Could not convert string 'a' to INT32"),
        ("SELECT (SELECT resource_no FROM vm)", "SQL:1: More than one row"),
        ("SELECT error('my own')", "SQL:1: my own"),
        ("SELECT * FROM read_csv('/etc/passwd')", "SQL:1: table function 'read_csv' is refused"),
        ("COPY vm TO 'x'", "SQL:1: this is no single SELECT"),
        ("SELECT * FROM vm AT (VERSION => 1)", "SQL:1: "),
        ("SELECT '" + "x" * 100 + "\u202e\x1b[31m' FROM nowhere_at_all", "SQL:1: there is no table"),
    ],
)  # fmt: skip
def test_wrong_sql_is_one_clear_error(sql: str, said: str, asked: Asked) -> None:
    told = asked(sql)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"error: {said}"), told.err
    assert told.err.count("error:") == 1
    assert "\x1b" not in told.err


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT repeat('abc', 400000000)", "needs more than the 1024 MB"),
        ("SELECT list(a.resource_name || b.i) FROM vm a, range(100000000) b(i)", "needs more than the 1024 MB"),
        ("SELECT repeat('x', 17000000)", "longer than 16 MB"),
    ],
)
def test_a_query_that_takes_too_much_is_stopped(sql: str, said: str, asked: Asked) -> None:
    told = asked(sql)
    assert (told.code, told.out) == (2, "")
    assert said in told.err


def test_a_query_that_takes_too_long_is_stopped(asked: Asked) -> None:
    began = time.monotonic()
    told = asked(f"SELECT count(*) FROM {ENDLESS}", "--timeout", 2)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("error: the query took longer than 2 s and was stopped")
    assert time.monotonic() - began < 20


def test_a_query_leaves_the_bundle_as_it_is_and_nothing_behind(
    asked: Asked, finished: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = tree(finished.bundle.folder)
    assert asked("SELECT * FROM finding, vm, raw.vm, recovery_point LIMIT 1").code == 0
    assert asked("SELECT nothing FROM finding").code == 2
    assert asked(f"SELECT count(*) FROM {ENDLESS}, finding", "--timeout", 1).code == 2
    assert tree(finished.bundle.folder) == before
    assert list(scratch.iterdir()) == []


# Forms.

VALUES = (
    "SELECT 1 AS n, -2.50::DECIMAL(9, 2) AS d, 1e300 AS f, 'a|b' AS t, NULL AS nothing, true AS b, "
    "TIMESTAMPTZ '2026-11-22 08:00:00+02' AS at, TIMESTAMP '2026-11-22 06:00:00.5' AS plain, DATE '2026-11-22' AS day, "
    "[1.5::DECIMAL(3, 1), 2] AS list, {'k': TIMESTAMPTZ '2026-11-22 06:00:00Z'} AS struct, MAP {7: 'x'} AS map, "
    "'{\"a\": [1, 2.5]}'::JSON AS json, 'nan'::DOUBLE AS nan, 170141183460469231731687303715884105727 AS huge, "
    "'\\xAB'::BLOB AS bytes, 'infinity'::TIMESTAMP AS end_, TIME '10:00:00' AS clock, 5.00::DECIMAL(9, 2) AS whole"
)


def test_json_gives_values_as_programs_want_them(asked: Asked) -> None:
    (row,) = asked.rows(VALUES)
    assert row == {
        "n": 1, "d": -2.5, "f": 1e300, "t": "a|b", "nothing": None, "b": True, "at": "2026-11-22T06:00:00Z",
        "plain": "2026-11-22T06:00:00.500000Z", "day": "2026-11-22", "list": [1.5, 2],
        "struct": {"k": "2026-11-22T06:00:00Z"}, "map": {"7": "x"}, "json": {"a": [1, 2.5]}, "nan": None,
        "huge": 170141183460469231731687303715884105727, "bytes": "ab", "end_": "infinity", "clock": "10:00:00",
        "whole": 5,
    }  # fmt: skip


def test_the_other_forms_give_the_same_values_as_text(asked: Asked) -> None:
    head, row = csv.reader(io.StringIO(asked(VALUES, "-f", "csv").out))
    assert dict(zip(head, row, strict=True)) == {
        "n": "1", "d": "-2.50", "f": "1e+300", "t": "a|b", "nothing": "", "b": "true", "at": "2026-11-22T06:00:00Z",
        "plain": "2026-11-22T06:00:00.500000Z", "day": "2026-11-22", "list": "[1.5, 2]",
        "struct": '{"k": "2026-11-22T06:00:00Z"}', "map": '{"7": "x"}', "json": '{"a": [1, 2.5]}', "nan": "nan",
        "huge": "170141183460469231731687303715884105727", "bytes": "ab", "end_": "infinity", "clock": "10:00:00",
        "whole": "5.00",
    }  # fmt: skip


def test_two_columns_of_one_name_are_two_keys(asked: Asked) -> None:
    assert asked.rows("SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a") == [{"a": 1, "a_1": 2, "a_1_1": 3, "a_2": 4}]


def test_a_table_is_aligned_and_whole_where_there_is_no_terminal(asked: Asked) -> None:
    told = asked("SELECT * FROM (VALUES (1, 'x', NULL), (200, 'längeres 日本', 'é')) v(n, name, z)")
    assert told.out == (
        "  n  name           z\n───  ─────────────  ─\n  1  x\n200  längeres 日本  é\n"
    )  # fmt: skip
    long = "y" * 500
    assert long in asked(f"SELECT '{long}' AS a").out


def test_a_table_fits_its_terminal(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    told = asked("SELECT resource_id, resource_name, location, resource_no FROM vm ORDER BY ALL LIMIT 3")
    lines = told.out.splitlines()
    assert len(lines) == 5
    assert all(len(line) <= 60 for line in lines)
    assert "…" in lines[2]
    many = asked("SELECT * FROM vm LIMIT 1")
    assert all(len(line) <= 60 for line in many.out.splitlines())


@pytest.mark.parametrize("width", [1, 5, 20, 33, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    made = rows.form("table", ("a", "日本"), (True, False), width)
    text = made.rows([["1" * 40, "日本" * 20], [None, "é" * 9]]) + made.end()
    assert all(rows._cells(line) <= width for line in text.splitlines())


def test_markdown_stays_a_table_and_text(asked: Asked) -> None:
    told = asked("SELECT 1 AS n, 'a|b' AS \"x|y\", '<b>\n*c* [d](e) `f`' AS t, NULL::TEXT AS z", "-f", "markdown")
    assert told.out.splitlines() == [
        r"| n | x\|y | t | z |",
        "| ---: | --- | --- | --- |",
        r"| 1 | a\|b | \<b\><br>\*c\* \[d\](e) \`f\` |  |",
    ]


def test_csv_holds_no_formula(asked: Asked) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "=cmd|' /C calc'!A0", "a=b", "'"]
    listed = ", ".join("('" + text.replace("'", "''") + "')" for text in texts)
    told = asked(f'SELECT t AS "=t", -1 AS n, -1.5::DECIMAL(3, 1) AS d FROM (VALUES {listed}) v(t)', "-f", "csv")
    head, *found = csv.reader(io.StringIO(told.out))
    assert head == ["'=t", "n", "d"]
    assert [row[0] for row in found] == [
        *(f"'{text}".replace("\r", "\ufffd") for text in texts[:7]), "a=b", "'"
    ]  # fmt: skip
    assert {tuple(row[1:]) for row in found} == {("-1", "-1.5")}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("table", "a  b\n─  ─\n"),
        ("json", "[]\n"),
        ("markdown", "| a | b |\n| ---: | --- |\n"),
        ("csv", "a,b\n"),
    ],
)
def test_an_empty_result_is_no_error(form: str, text: str, asked: Asked) -> None:
    told = asked("SELECT 1 AS a, 'x' AS b WHERE false", "-f", form)
    assert (told.code, told.out, told.err) == (0, text, "")


@pytest.mark.parametrize("form", ["table", "json", "markdown", "csv"])
def test_no_name_commands_a_terminal(form: str, hostile: Path, auditor: Auditor) -> None:
    sql = 'SELECT resource_name, tags, resource_name AS "\x1b[31m" FROM raw.vm ORDER BY resource_no'
    told = auditor("query", hostile, "-f", form, sql)
    assert told.code == 0
    assert not set("\x1b\x07\x9b\u202e\r") & set(told.out)
    if form == "json":
        names = [row["resource_name"] for row in json.loads(told.out)]
        assert sorted(names) == sorted([HOSTILE, "=HYPERLINK(1)"])
    if form == "csv":
        assert "'=HYPERLINK(1)" in told.out
    if form in ("table", "markdown"):
        assert len(told.out.splitlines()) == 4


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_limit_cuts_and_says_so(form: str, asked: Asked) -> None:
    told = asked("SELECT * FROM range(3) r(i)", "-f", form, "--limit", 2)
    assert (told.code, told.err) == (0, "cut after 2 rows; --limit lets more through\n")
    whole = asked("SELECT * FROM range(3) r(i)", "-f", form, "--limit", 3)
    assert whole.err == ""
    assert whole.out.count("\n") == told.out.count("\n") + 1


def test_a_table_is_cut_after_1000_rows_and_no_other_form(asked: Asked) -> None:
    told = asked("SELECT * FROM range(2500)")
    assert len(told.out.splitlines()) == 1002
    assert "cut after 1000 rows" in told.err
    assert len(asked("SELECT * FROM range(2500)", "--limit", 2400).out.splitlines()) == 2402
    assert len(asked.rows("SELECT * FROM range(2500) r(i), range(3)")) == 7500


def test_the_environment_sets_limits_too(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITOR_LIMIT", "1")
    assert "cut after 1 rows" in asked("SELECT * FROM range(3)").err


# Processes.


def run(finished: Audited, *words: str, **more: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "auditor", "query", "--store", str(finished.bundle.folder.parent), *words]
    # Under `nohup … &` the shell has Ctrl-C ignored, and a child would inherit that.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, **more)
    finally:
        signal.signal(signal.SIGINT, heard)


@pytest.mark.parametrize("form", ["table", "json", "markdown", "csv"])
def test_a_reader_that_leaves_is_no_error(form: str, finished: Audited) -> None:
    with run(finished, "-f", form, "--limit", "1000000000", "SELECT * FROM range(1000000000)") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (0, b"")


def test_rows_come_while_the_query_still_runs(finished: Audited) -> None:
    with run(finished, "-f", "csv", "SELECT * FROM range(100000000000)") as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(3)] == [b"range\n", b"0\n", b"1\n"]
        process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_ends_at_once_with_its_child(number: int, code: int, finished: Audited, tmp_path: Path) -> None:
    sql = f"SELECT count(*) FROM {ENDLESS}, finding"
    surroundings = {**os.environ, "TMPDIR": str(tmp_path)}
    with run(finished, sql, env=surroundings) as process:
        for _ in range(100):
            if any(tmp_path.glob("auditor-*/*")):
                break
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(number)
        assert process.wait(20) == code
        assert process.stderr
        assert b"Traceback" not in process.stderr.read()
    assert list(tmp_path.iterdir()) == []


# Descriptions.


def test_tables_are_listed_and_described(auditor: Auditor) -> None:
    listed = auditor("query", "--tables")
    assert (listed.code, listed.err) == (0, "")
    for name in ("vm", "finding", "coverage", "gap", "history", "vault", "raw.vm", "raw.recovery_point"):
        assert f"\n{name}: " in f"\n{listed.out}"
    one = auditor("query", "--table", "GAP")
    assert one.out.splitlines()[0].startswith("gap: ")
    assert [line.split()[0] for line in one.out.splitlines()[1:]] == ["table_name", "resource_id", "state", "reason"]
    told = json.loads(auditor("query", "--tables", "-f", "json").out)
    assert [table["table"] for table in told] == list(query.offered())
    assert told[0]["columns"]["resource_no"] == "key within this bundle"
    assert auditor("query", "--table", "gap", "-f", "csv").out.splitlines()[0] == "table,column,meaning"
    assert auditor("query", "--table", "gap", "-f", "markdown").out.startswith("| table | column | meaning |\n")


def test_the_page_of_tables_names_what_is_on_offer() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    for name, about in query.offered().items():
        assert f"### {name.removeprefix('raw.')}\n" in page
        assert all(f"| `{column.name}` | {column.doc} |" in page for column in about.columns)


def test_help_needs_none_of_the_engines() -> None:
    program = (
        "import sys\nfrom auditor import cli\nsys.argv = ['auditor', {words}]\n"
        "assert cli._run() == 0\nassert not {{'duckdb', 'pydantic', 'sqlglot', 'rich'}} & set(sys.modules)\n"
    )
    for words in ("'--help'", "'query', '--help'"):
        subprocess.run([sys.executable, "-c", program.format(words=words)], check=True, capture_output=True, cwd=ROOT)
