"""Every exit code there is, by the real process where signals and sockets matter."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from auditor import bundle as bundles
from auditor import cli
from auditor.errors import ExitCode
from auditor.simulator import Faults, Simulator
from tests.audits import TOKEN
from tests.azure.runs import mixed_estate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Auditor

pytestmark = pytest.mark.slow

MOMENT = "2026-11-22T06:00:00Z"


def start(*words: object, **variables: str) -> subprocess.Popen[str]:
    # Under `nohup … &` the shell has Ctrl-C ignored, and a child would inherit that.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "auditor", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"AUDITOR_TOKEN": TOKEN} | variables,
        )
    finally:
        signal.signal(signal.SIGINT, heard)


def test_there_are_nine_codes() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "GATE": 1,
        "USAGE": 2,
        "INCOMPLETE": 3,
        "NO_RUN": 4,
        "BUG": 70,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def words(url: str, *more: object) -> list[object]:
    return ["audit", "--arm-endpoint", url, "--as-of", MOMENT, "--report", "json", "--no-progress", *more]


def test_0_1_and_collect(auditor: Auditor, served: Simulator, tmp_path: Path) -> None:
    told = auditor(*words(served.url, "-f", "json", "--exit-zero", "--store", "z"))
    assert (told.code, json.loads(told.out)["gate"]["exit_code"]) == (0, 1)
    assert auditor("evaluate", "latest", "--store", "z", "-q").code == 1
    assert auditor("evaluate", "latest", "--store", "z", "-q", "--fail-on", "none").code == 0
    collected = auditor("collect", "--arm-endpoint", served.url, "--as-of", MOMENT, "--store", "c", "-q")
    assert collected.code == 0
    assert not (tmp_path / "c" / "run=2026-11-22T060000Z" / "reports").exists()
    # The evidence was complete; what it shows is judged when it is reported.
    assert auditor("report", "latest", "--store", "c", "--report", "json", "-q").code == 1


def test_3_and_what_forgives_it(auditor: Auditor, tmp_path: Path) -> None:
    with Simulator(
        mixed_estate(), token=TOKEN, quota=None, faults=Faults(rest_denied_vaults=frozenset({"rsv-b"}))
    ) as azure:
        told = auditor(*words(azure.url, "--fail-on", "none", "-f", "json"))
    assert told.code == 3
    assert {reason["code"] for reason in json.loads(told.out)["gate"]["reasons"]} >= {"coverage", "gaps", "unknown"}
    assert (tmp_path / "audits" / "run=2026-11-22T060000Z" / "reports" / "findings.json").exists()
    again = ["evaluate", "latest", "-q", "--fail-on", "none"]
    assert auditor(*again, "--exit-zero").code == 0
    assert auditor(*again, "--allow-incomplete", "recovery_point").code == 3
    settings = "backup_job,diagnostic_setting,resource_guard_proxy,vault_config,vault_storage_config"
    assert auditor(*again, "--allow-incomplete", f"recovery_point,protected_item,{settings}").code == 0


def test_4_where_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    run = start(*words(f"http://127.0.0.1:{port}", "--store", tmp_path / "s"))
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (4, "")
    assert err.startswith("error: the subscriptions could not be listed: no answer")
    assert time.monotonic() - began < 30
    assert list(tmp_path.rglob("*.json")) == []


def test_70_says_that_it_is_our_fault(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(**_: Any) -> int:
        raise ZeroDivisionError("\x1b[31mred")

    monkeypatch.setattr(cli.app, "main", broken)
    assert cli._run() == 70
    told = capsys.readouterr().err
    assert "internal error: ZeroDivisionError" in told
    assert "\x1b" not in told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_130_and_143_leave_no_half_bundle(number: signal.Signals, code: int, tmp_path: Path) -> None:
    with Simulator(mixed_estate(), token=TOKEN, quota=None, faults=Faults(delay=0.4)) as azure:
        run = start(*words(azure.url, "--store", tmp_path))
        while len(azure.log) < 4:
            time.sleep(0.05)
        run.send_signal(number)
        out, err = run.communicate(timeout=30)
        assert (run.returncode, out) == (code, "")
        assert "Traceback" not in err
        assert "no half bundle was left" in err
        assert "the same command goes on from there" in err
        assert bundles.runs(tmp_path) == []
        again = start(*words(azure.url, "--store", tmp_path, "-q"))
        _, err = again.communicate(timeout=60)
    assert again.returncode == 1
    assert "going on with the interrupted run" in err
    assert [path.name for path in tmp_path.iterdir()] == ["run=2026-11-22T060000Z"]


@pytest.mark.parametrize("round_", range(6))
def test_a_kill_at_any_moment_leaves_the_store_readable(round_: int, tmp_path: Path) -> None:
    dice = random.Random(round_)  # noqa: S311 - a test that can be repeated
    with Simulator(mixed_estate(), token=TOKEN, quota=None, faults=Faults(delay=0.03)) as azure:
        for _ in range(2):
            run = start(*words(azure.url, "--store", tmp_path))
            time.sleep(dice.uniform(1.5, 6.0) if round_ else 2.5)
            run.kill()
            run.communicate()
        for folder in bundles.runs(tmp_path):
            assert bundles.Bundle(folder).damage() == []
        last = start(*words(azure.url.rstrip("/"), "--store", tmp_path, "-q"))
        last.communicate(timeout=60)
    # 2: a run was sealed before it was killed, and is not overwritten.
    assert last.returncode in (1, 2)
    (sealed,) = bundles.runs(tmp_path)
    assert bundles.Bundle(sealed).damage() == []
    assert all(path.name.startswith((".collecting-", "run=")) for path in tmp_path.iterdir())


def test_a_reader_that_leaves_does_not_change_the_code(tmp_path: Path) -> None:
    with Simulator(mixed_estate(), token=TOKEN, quota=None) as azure:
        run = start(*words(azure.url, "--store", tmp_path))
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        err = run.stderr.read()
        run.stderr.close()
        assert run.wait(timeout=60) == 1, err
    assert "error" not in err.lower()


def test_a_terminal_without_the_marks_gets_question_marks(tmp_path: Path) -> None:
    with Simulator(mixed_estate(), token=TOKEN, quota=None) as azure:
        run = start(*words(azure.url, "--store", tmp_path), PYTHONIOENCODING="latin-1")
        out, err = run.communicate(timeout=60)
    assert run.returncode == 1, err
    assert "vm-unprotected" in out
    assert "? fail" in out
