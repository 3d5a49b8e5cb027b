"""The room for SQL that we did not write: what the child may do, and what becomes of one that does more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from auditor.engine.sandbox import MB, Limits, Room, SandboxError
from auditor.errors import UsageError
from tests.sandbox_workers import Odd, Sql

ROOT = Path(__file__).resolve().parents[2]
SMALL = Limits(memory=64 * MB, seconds=20)

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a limit of the address space")


def asked(task: list[Any], limits: Limits = SMALL, setup: Any = None) -> list[Any]:
    with Room(Odd, limits) as room:
        room.prepare(setup)
        return list(room.ask(task, what="rule my-rule"))


def test_one_child_does_many_tasks_and_answers_in_order() -> None:
    with Room(Odd, SMALL) as room:
        room.prepare({"a": ["ä", None, 1.5]})
        assert list(room.ask(["setup"], what="a")) == [{"a": ["ä", None, 1.5]}]
        assert list(room.ask(["count", 1000], what="b")) == list(range(1000))
        assert list(room.ask(["count", 0], what="c")) == []


def test_an_error_of_the_worker_is_told_as_it_is_and_the_next_task_goes_on() -> None:
    with Room(Odd, SMALL) as room:
        room.prepare(None)
        for _ in range(2):
            with pytest.raises(UsageError) as told:
                list(room.ask(["wrong"], what="rule my-rule"))
            assert (told.value.message, told.value.hint) == ("this is wrong", "mend it")
        assert list(room.ask(["count", 1], what="b")) == [0]


def test_an_error_of_the_preparation_is_told() -> None:
    with Room(Odd, SMALL) as room, pytest.raises(UsageError, match="the setup is wrong"):
        room.prepare("wrong")


def test_a_bug_of_ours_is_no_mistake_of_the_user() -> None:
    with pytest.raises(RuntimeError, match="rule my-rule: ZeroDivisionError"):
        asked(["bug"])


@linux
def test_more_memory_than_allowed_is_not_given() -> None:
    assert asked(["take", 100 * MB]) == [100 * MB]
    with pytest.raises(SandboxError, match="rule my-rule needs more than the 64 MB"):
        asked(["take", 800 * MB])


@pytest.mark.parametrize("task", [["spin"], ["sleep", 60]])
def test_a_task_that_does_not_end_is_ended(task: list[Any]) -> None:
    began = time.monotonic()
    with Room(Odd, Limits(seconds=20)) as room:
        room.prepare(None)
        room.limits = Limits(seconds=1)
        with pytest.raises(SandboxError, match="rule my-rule took longer than 1 s and was stopped"):
            list(room.ask(task, what="rule my-rule"))
        assert room._process.poll() is not None
    assert time.monotonic() - began < 30


def test_a_preparation_that_does_not_end_is_ended() -> None:
    with Room(Odd, Limits(seconds=1)) as room, pytest.raises(SandboxError, match="the tables took longer"):
        room.prepare("sleep", what="the tables")


def test_a_task_may_be_given_what_the_preparation_left_of_the_time() -> None:
    with Room(Odd, Limits(seconds=3)) as room:
        room.prepare(None)
        with pytest.raises(SandboxError, match="took longer than 3 s"):
            list(room.ask(["sleep", 3], what="the query", anew=False))


@pytest.mark.parametrize(("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGABRT, "SIGABRT")])
def test_a_child_killed_by_a_signal_names_the_culprit(number: int, name: str) -> None:
    with pytest.raises(SandboxError, match=f"rule my-rule was ended by {name}"):
        asked(["kill", int(number)])


def test_a_child_that_crashes_in_its_preparation_names_it() -> None:
    with Room(Odd, SMALL) as room, pytest.raises(SandboxError, match="the tables was ended by SIGSEGV"):
        room.prepare("crash", what="the tables")


def test_a_child_that_leaves_names_the_culprit() -> None:
    with pytest.raises(SandboxError, match=r"rule my-rule ended its process \(exit code 3\)"):
        asked(["leave", 3])


def test_after_its_end_every_task_fails() -> None:
    with Room(Odd, SMALL) as room:
        room.prepare(None)
        with pytest.raises(SandboxError, match="first"):
            list(room.ask(["kill", 9], what="first"))
        with pytest.raises(SandboxError, match="second"):
            list(room.ask(["count", 1], what="second"))


def test_answers_that_nobody_takes_end_the_child() -> None:
    with Room(Odd, SMALL) as room:
        room.prepare(None)
        answers = room.ask(["count", 100_000], what="a")
        assert next(answers) == 0
        answers.close()  # type: ignore[attr-defined] # a generator
        with pytest.raises(SandboxError):
            list(room.ask(["count", 1], what="b"))


def test_an_answer_that_is_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match="64 MB"):
        asked(["text", 65 * MB], Limits(memory=512 * MB, seconds=20))


def test_what_a_library_prints_does_not_come_between() -> None:
    assert asked(["print", "noise"]) == ["noise"]


def test_locked_in_it_opens_no_file_and_no_connection(tmp_path: Path) -> None:
    target = tmp_path / "x"
    assert asked(["read", str(Path(__file__))]) == ["OSError"]
    assert asked(["write", str(target)]) == ["OSError"]
    assert asked(["call_out"]) == ["OSError"]
    assert not target.exists()


def test_it_may_be_left_reading_or_writing(tmp_path: Path) -> None:
    target = tmp_path / "x"
    reading, writing = Limits(files="read", seconds=20), Limits(files="write", seconds=20)
    assert "reading or writing" in asked(["read", str(Path(__file__))], reading)[0]
    assert asked(["write", str(target)], reading) == ["OSError"]
    assert not target.exists() or target.read_bytes() == b""
    assert asked(["write", str(target)], writing) == ["written"]


def test_it_knows_no_secrets_and_imports_nothing_from_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUDITOR_TOKEN", "secret")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "secret")
    monkeypatch.syspath_prepend("")
    (told,) = asked(["surroundings"])
    assert not {"AUDITOR_TOKEN", "AZURE_CLIENT_SECRET", "HOME"} & set(told["environment"])
    assert not told["json"].startswith(str(tmp_path))


def test_while_the_parent_is_idle_the_clock_stands() -> None:
    with Room(Odd, Limits(seconds=20)) as room:
        room.prepare(None)
        room.limits = Limits(seconds=4)
        seen = []
        for number in room.ask(["drip", 3, 0.2], what="a"):
            with room.idle():
                time.sleep(1.5)
            seen.append(number)
    assert seen == [0, 1, 2]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_child_does_not_outlive_its_parent() -> None:
    program = (
        "import os\n"
        "from auditor.engine.sandbox import Limits, Room\n"
        "from tests.sandbox_workers import Odd\n"
        "room = Room(Odd, Limits(seconds=60))\n"
        "room.prepare(None)\n"
        "print(room._process.pid, flush=True)\n"
        "answers = room.ask(['spin'], what='a')\n"
        "next(answers)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    for _ in range(100):
        if not alive(pid):
            break
        time.sleep(0.1)
    assert not alive(pid)


# What DuckDB's lock and the limits hold where no gate stands before them.
REFUSED = [
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('{file}')",
    "COPY t TO '{target}'",
    "COPY t TO '{target}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPORT DATABASE '{target}'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{target}'",
    "ATTACH '{file}' AS x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET allowed_paths = ['{file}']",
    "RESET memory_limit",
    "PRAGMA memory_limit = '100GB'",
    "SELECT getenv('HOME')",
    "CREATE SECRET s (TYPE s3)",
]


@pytest.fixture(scope="module")
def locked() -> Any:
    with Room(Sql, Limits(seconds=60)) as room:
        room.prepare({"memory": 256 * MB})
        yield room


@pytest.mark.parametrize("sql", REFUSED)
def test_the_lock_holds(sql: str, locked: Room, tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("a,b\n1,2\n")
    text = sql.format(file=tmp_path / "file.csv", target=tmp_path / "target", folder=tmp_path)
    with pytest.raises(UsageError):
        list(locked.ask(text, what="the query"))
    assert [path.name for path in tmp_path.iterdir()] == ["file.csv"]
    assert list(locked.ask("SELECT count(*) FROM t", what="the query")) == ["[(100000,)]"]


HEAVY = [
    "SELECT repeat('abc', 400000000)",
    "SELECT list(a.i || b.i) FROM t a, t b",
    "SELECT string_agg(repeat('x', 10000), '') FROM t",
    "SELECT list_reduce(range(100000000), lambda x, y: x + y)",
]
ENDLESS = [
    "SELECT count(*) FROM t a, t b, t c WHERE a.i + b.i < c.i",
    "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT (i + 1) % 7 FROM r) SELECT count(*) FROM r",
    "SELECT pg_sleep(100)",
]


@linux
@pytest.mark.parametrize("sql", HEAVY)
def test_what_takes_too_much_memory_is_told_or_ended(sql: str) -> None:
    with Room(Sql, Limits(memory=256 * MB, seconds=60)) as room:
        room.prepare({"memory": 256 * MB})
        with pytest.raises(SandboxError, match="the query"):
            list(room.ask(sql, what="the query"))


@pytest.mark.parametrize("sql", ENDLESS)
def test_what_does_not_end_is_ended(sql: str) -> None:
    with Room(Sql, Limits(memory=256 * MB, seconds=60)) as room:
        room.prepare({"memory": 256 * MB})
        room.limits = Limits(seconds=2)
        began = time.monotonic()
        with pytest.raises(SandboxError, match="took longer than 2 s"):
            list(room.ask(sql, what="the query"))
        assert time.monotonic() - began < 15


def test_a_file_that_may_be_read_is_a_copy_since_duckdb_would_overwrite_it(tmp_path: Path) -> None:
    (tmp_path / "copy.csv").write_text("a,b\n1,2\n")
    (tmp_path / "other.csv").write_text("a,b\n3,4\n")
    with Room(Sql, Limits(seconds=60, files="read")) as room:
        room.prepare({"memory": 256 * MB, "files": [str(tmp_path / "copy.csv")]})
        assert list(room.ask(f"FROM read_csv('{tmp_path}/copy.csv')", what="q")) == ["[(1, 2)]"]
        with pytest.raises(UsageError):
            list(room.ask(f"FROM read_csv('{tmp_path}/other.csv')", what="q"))
        with pytest.raises(UsageError):
            list(room.ask(f"COPY t TO '{tmp_path}/new.csv'", what="q"))
    assert (tmp_path / "other.csv").read_text() == "a,b\n3,4\n"
    assert not (tmp_path / "new.csv").exists()
