"""What stdout and stderr carry: the result in four forms, and nothing that a terminal or a workflow would obey."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditor.cli import show
from auditor.cli.terminal import printable

if TYPE_CHECKING:
    from tests.audits import Audited
    from tests.cli.conftest import Auditor

HOSTILE = "vm\n::error title=x::gone%0A\r\x1b[31m\u202e<script>alert(1)</script>=cmd()"


@pytest.mark.parametrize("form", ["table", "json", "markdown", "github"])
def test_no_form_changes_the_code_and_no_name_commands(
    form: str, finished: Audited, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [replace(f, resource_name=HOSTILE, reason=HOSTILE) for f in finished.results.findings]
    results = replace(finished.results, findings=tuple(named))
    show.result(results, {"json": Path("a\x1bb.json")}, Path("audits/run=x"), form, 1)
    out = capsys.readouterr().out
    assert "\x1b" not in out.replace("\\u001b", "")
    assert "\u202e" not in out
    annotations = [line for line in out.splitlines() if line.startswith("::")]
    assert bool(annotations) is (form == "github")
    rules = {rule.id for rule in results.rules}
    for line in annotations:
        head, _, text = line[2:].partition("::")
        level, _, title = head.partition(" title=")
        assert level in ("error", "warning", "notice")
        assert title in rules
        assert "%0A" in text
        assert "%250A" in text
    if form == "json":
        assert json.loads(out)["exit_code"] == 1


def test_only_control_characters_are_replaced() -> None:
    assert printable("Zürich\t■ 日本 👩‍💻\n") == "Zürich\t■ 日本 👩‍💻\n"
    assert printable("\x1b]0;title\x07\x9b31m\x7f\u2066") == "\ufffd]0;title\ufffd\ufffd31m\ufffd\ufffd"


def test_quiet_says_nothing_and_progress_goes_to_stderr(finished: Audited, auditor: Auditor, tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    shutil.copytree(finished.bundle.folder, bundle)
    told = auditor("evaluate", bundle)
    assert told.err.splitlines() == ["evaluate …", *([] if "report" not in told.err else ["report …"])]
    quiet = auditor("evaluate", bundle, "-q")
    assert (quiet.out, quiet.err, quiet.code) == ("", "", told.code)


def test_typos_are_told_with_what_was_meant(auditor: Auditor) -> None:
    told = auditor("audti")
    assert (told.code, "did you mean 'audit'" in told.err) == (2, True)
    told = auditor("rules", "show", "vm-unprotectd")
    assert (told.code, "vm-unprotected" in told.err) == (2, True)


def test_help_and_version_are_0(auditor: Auditor) -> None:
    assert auditor("--help").code == 0
    assert auditor("--version").code == 0
    for verb in ("audit", "collect", "evaluate", "report", "rules", "demo"):
        assert "Usage: auditor" in auditor(verb, "-h").out
