"""Wrong input is one clear error and exit 2, told before Azure is asked for anything; nothing half-written stays."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from auditor import standard
from tests.audits import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditor.simulator import Simulator
    from tests.audits import Audited
    from tests.cli.conftest import Auditor

RULE = """\
id: my-rule
title: t
severity: high
resource_type: vm
rationale: r
remediation: {portal: p}
reads: [vm]
sql: |
  SELECT v.resource_id, 'pass' AS status, 'x' AS reason FROM vm v
"""
WAIVER = """\
waivers:
  - id: W-1
    rule: %s
    match: {tag: {a: b}}
    reason: r
    compensating_control: c
    requester: a@x
    approver: b@x
    approved_on: 2026-10-01
    expires_on: 2026-12-31
    ticket: T-1
"""

RESPONSE = """\
responses:
  - %s
    action: a
    owner: o
    due: 2027-01-31
    author: x
    on: 2026-11-20
"""
RESTORE = """\
id: %s
vms: [{name: a, resource_group: b}]
type: file
started_at: 2026-11-02T05:50:00Z
duration: 30min
validation: {method: m, result: pass}
performed_by: ops
"""
RUNBOOK = """\
runbooks:
  - title: t
    class: productoin
    scenarios: [single_vm, ransomeware]
    owner: o
"""
_SHIPPED = standard.default_path().read_text(encoding="utf-8")
_LINE = _SHIPPED.partition("    rpo: ")[0].count("\n") + 1

FILES = {
    "standard.yaml": _SHIPPED.replace("    rpo: ", "    rpoo: ", 1),
    "broken.yaml": "a: [1\nb: 2\n",
    "twice.yaml": "name: x\nname: y\n",
    "waivers.yaml": WAIVER % "vm-unprotectd",
    "waivers_key.yaml": "waivers:\n  - id: W\n    rule: vm-unprotected\n    reson: r\n",
    "waivers_twice.yaml": WAIVER % "vm-unprotected" + (WAIVER % "vm-unprotected").partition("\n")[2],
    "rules/protection/my-rule.yaml": RULE.replace("severity", "severty"),
    "sqlrules/protection/my-rule.yaml": RULE.replace("FROM vm v", "FROM vmm v")
    + "messages: {x: y}\ntests:\n  - {name: n, given: {vm: [{resource_id: /a}]}, expect: {/a: pass}}\n"
    "cannot: {fail: none, unknown: none}\n",
    "norules/readme.txt": "",
    "ymlrules/protection/my-rule.yml": RULE,
    "good.yaml": _SHIPPED,
    "good-waivers.yaml": "waivers: []\n",
    "good-c.yaml": "fail_on: high\n",
    "expected.txt": "a\n",
    "config.yaml": "fail_onn: high\n",
    "config_value.yaml": "store: x\nfail_on: urgent\n",
    "config_list.yaml": "- a\n- b\n",
    "config_blank.yaml": "subscription: ' '\n",
    "config_empty.yaml": "subscription: []\n",
    "config_merge.yaml": "<<: 5\n",
    "config_long.yaml": f"expect_subscriptions: {'9' * 5000}\n",
    "empty.txt": "# nobody\n\n",
    "latin.txt": "caf\u00e9",
    "store-is-a-file": "",
    "responses.yaml": RESPONSE % "rule: vm-unprotectd\n    match: {resource_group: x}",
    "responses_key.yaml": RESPONSE % "fingerprnt: aa",
    "responses_none.yaml": RESPONSE % "rule: vm-unprotected",
    **{f"{name}/standard.yaml": _SHIPPED for name in ("proof", "proof_twice", "proof_self", "proof_books")},
    "proof/evidence/restore-tests/a.yaml": RESTORE.replace("duration", "duraton") % "RT-1",
    "proof_twice/evidence/restore-tests/a.yaml": RESTORE % "RT-1",
    "proof_twice/evidence/restore-tests/b.yaml": RESTORE % "RT-1",
    "proof_self/evidence/restore-tests/a.yaml": RESTORE % "RT-1" + "reviewed_by: OPS\n",
    "proof_books/evidence/runbooks.yaml": RUNBOOK,
}

BAD: dict[str, tuple[list[str], list[str]]] = {
    "an unknown flag": (["--subscripton", "x"], ["--subscription"]),
    "an unknown threshold": (["--fail-on", "urgent"], ["critical"]),
    "an unknown format": (["-f", "xml"], ["markdown"]),
    "an unknown configuration key": (["--config", "config.yaml"], ["config.yaml:1", "fail_on"]),
    "an unknown configuration value": (["--config", "config_value.yaml"], ["config_value.yaml:2", "fail_on"]),
    "a configuration that is a list": (["--config", "config_list.yaml"], ["config_list.yaml"]),
    "a configuration that is not there": (["--config", "none.yaml"], ["none.yaml"]),
    "an unknown key deep in a standard": (
        ["--standard", "standard.yaml"],
        [f"standard.yaml:{_LINE}", "rpoo", "did you mean 'rpo'"],
    ),
    "a standard that is no YAML": (["--standard", "broken.yaml"], ["broken.yaml:"]),
    "a key given twice": (["--standard", "twice.yaml"], ["twice.yaml:2", "twice"]),
    "a standard that is not there": (["--standard", "none.yaml"], ["none.yaml"]),
    "a waiver for an unknown rule": (
        ["--waivers", "waivers.yaml"],
        ["waivers.yaml:3", "vm-unprotectd", "vm-unprotected"],
    ),
    "an unknown key in a waiver": (["--waivers", "waivers_key.yaml"], ["waivers_key.yaml:4", "reson", "reason"]),
    "two waivers of one id": (["--waivers", "waivers_twice.yaml"], ["waivers_twice.yaml:12", "W-1"]),
    "an unknown key in a rule": (["--rules", "rules"], ["my-rule.yaml:3", "severty", "severity"]),
    "a rule that reads an unknown table": (["--rules", "sqlrules"], ["my-rule.yaml", "vmm"]),
    "a folder without rules": (["--rules", "norules"], ["norules", "no rule in it", "<rule-id>.yaml"]),
    "a folder of rules of another ending": (["--rules", "ymlrules"], ["my-rule.yml", "rename it to .yaml"]),
    "a report over the standard": (["--standard", "good.yaml", "--report", "json=good.yaml"], ["good.yaml", "input"]),
    "a report over the waivers": (
        ["--waivers", "good-waivers.yaml", "--report", "json=./good-waivers.yaml"],
        ["good-waivers.yaml", "input"],
    ),
    "a report over the configuration": (["--config", "good-c.yaml", "--report", "json=good-c.yaml"], ["good-c.yaml"]),
    "a report over a rule": (
        ["--rules", "rules", "--report", "html=rules/protection/my-rule.yaml"],
        ["my-rule.yaml", "input"],
    ),
    "a report over what is expected": (
        ["--expect-subscriptions", "expected.txt", "--report", "json=expected.txt"],
        ["expected.txt", "input"],
    ),
    "a folder of rules that is not there": (["--rules", "nowhere"], ["nowhere"]),
    "an unknown kind of report": (["--report", "htm"], ["html"]),
    "a report in a folder that is not there": (["--report", "json=no/where.json"], ["no"]),
    "a report onto a folder": (["--report", "json=rules"], ["rules"]),
    "a report of a kind without a file": (["--report", "html="], ["names no file", "KIND=PATH"]),
    "a report of no kind": (["--report", "=x.html"], ["names no kind", "KIND=PATH"]),
    "a report in two places": (["--report", "html=a", "--report", "html=b"], ["html is asked for in two places"]),
    "a report in the bundle and elsewhere": (["--report", "html", "--report", "html=b"], ["in two places"]),
    "a report onto a device": (["--report", "json=/dev/null"], ["/dev/null: is a device or a pipe"]),
    "a report onto a URL": (["--report", "json=https://x/y?sig=s3cret"], ["--report json=https://x/y?…: a URL"]),
    "a store that is a URL": (["--store", "https://x/y?sig=s3cret"], ["--store https://x/y?…: a store is a folder"]),
    "two reports in one file": (["--report", "json=a", "--report", "html=a"], ["two reports"]),
    "a moment that is none": (["--as-of", "yesterday"], ["yesterday"]),
    "a moment before there was an Azure": (["--as-of", "0001-01-02"], ["0001-01-02", "2000"]),
    "a moment that nobody sees": (["--as-of", "9999-12-31T23:59:59Z"], ["9999-12-31", "2200"]),
    "a moment before all moments": (["--as-of", "0001-01-01T00:00:00+14:00"], ["0001"]),
    "a store with a name too long": (["--store", "s" * 300], ["--store", "File name too long"]),
    "a store whose name is no text": (["--store", os.fsdecode(b"caf\xe9")], ["--store", "not UTF-8"]),
    "a report with a name too long": (["--report", f"json={'r' * 300}"], ["--report", "File name too long"]),
    "a store that is a file": (["--store", "store-is-a-file"], ["store-is-a-file"]),
    "an expectation file that is not there": (["--expect-subscriptions", "none.txt"], ["none.txt"]),
    "a number of subscriptions without end": (["--expect-subscriptions", "9" * 5000], ["--expect-subscriptions"]),
    "a subscription without a name": (["-s", ""], ["--subscription is given, but names nothing"]),
    "a subscription of blanks": (["-s", "a", "--subscription", " "], ["--subscription is given, but names nothing"]),
    "a subscription of commas": (["-s", " , "], ["--subscription is given, but names nothing"]),
    "a management group without a name": (["--management-group", " "], ["--management-group is given"]),
    "an exclusion without a name": (["--exclude-subscription", ""], ["--exclude-subscription is given"]),
    "a tenant without a name": (["--tenant", " "], ["--tenant is given"]),
    "an empty expectation": (["--expect-subscriptions", ""], ["--expect-subscriptions is given"]),
    "a configuration without a name": (["--config", "config_blank.yaml"], ["subscription in the configuration"]),
    "a configuration with an empty list": (["--config", "config_empty.yaml"], ["subscription in the configuration"]),
    "a configuration that merges a number": (["--config", "config_merge.yaml"], ["config_merge.yaml:1", "`<<`"]),
    "a configuration with a number without end": (["--config", "config_long.yaml"], ["config_long.yaml:1", "5000"]),
    "an expectation file that expects nothing": (["--expect-subscriptions", "empty.txt"], ["empty.txt"]),
    "an expectation file that is not UTF-8": (["--expect-subscriptions", "latin.txt"], ["UTF-8"]),
    "a response to an unknown rule": (
        ["--responses", "responses.yaml"],
        ["responses.yaml:2", "vm-unprotectd", "vm-unprotected"],
    ),
    "an unknown key in a response": (
        ["--responses", "responses_key.yaml"],
        ["responses_key.yaml:2", "fingerprnt", "did you mean 'fingerprint'"],
    ),
    "a response to nothing": (["--responses", "responses_none.yaml"], ["responses_none.yaml:2", "rule and match"]),
    "responses that are not there": (["--responses", "none.yaml"], ["none.yaml"]),
    "an unknown key in a restore test": (
        ["--standard", "proof/standard.yaml"],
        ["restore-tests/a.yaml:5", "duraton", "did you mean 'duration'"],
    ),
    "two restore tests of one id": (
        ["--standard", "proof_twice/standard.yaml"],
        ["restore-tests/b.yaml:1", "RT-1", "a.yaml already"],
    ),
    "a restore test that its own maker reviewed": (
        ["--standard", "proof_self/standard.yaml"],
        ["restore-tests/a.yaml:1", "second pair of eyes"],
    ),
    "a runbook for a class and a scenario that there are none of": (
        ["--standard", "proof_books/standard.yaml"],
        ["runbooks.yaml:3", "did you mean 'production'", "runbooks.yaml:4", "did you mean 'ransomware'"],
    ),
    "a gap in a table that there is none of": (
        ["--allow-incomplete", "recovery_pont"],
        ["did you mean 'recovery_point'"],
    ),
    "a cloud beside an endpoint": (["--cloud", "public"], ["--arm-endpoint"]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1" if name == "latin.txt" else "utf-8")
    return tmp_path


@pytest.mark.parametrize("case", BAD)
def test_wrong_input_is_told_before_azure_is_asked(case: str, auditor: Auditor, folder: Path, tiny: Simulator) -> None:
    words, expected = BAD[case]
    tiny.log.clear()
    before = sorted(path.name for path in folder.rglob("*"))
    told = auditor("audit", "--arm-endpoint", tiny.url, "--no-progress", *words)
    assert told.code == 2, told.err
    assert told.out == ""
    for text in expected:
        assert text in told.err
    assert tiny.log == []
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--arm-endpoint", "http://192.0.2.7"], "plain http"),
        (["--arm-endpoint", "http://127.0.0.1@192.0.2.7"], "URL"),
        (["--arm-endpoint", "http://localhost.example.com"], "plain http"),
        (["--arm-endpoint", "ftp://127.0.0.1"], "URL"),
        (["--arm-endpoint", "http://127.0.0.1:99999"], "URL"),
        (["--arm-endpoint", "http://[::1"], "URL"),
        (["--arm-endpoint", "127.0.0.1:80"], "URL"),
        (["--cloud", "custom"], "--arm-endpoint"),
        (["--authority", "https://login.example.com"], "--arm-endpoint"),
        (["--as-of", "2026-11-22"], "as it is now"),
    ],
)
def test_an_address_that_will_not_do_is_told(words: list[str], expected: str, auditor: Auditor) -> None:
    told = auditor("audit", *words)
    assert told.code == 2
    assert expected in told.err


def test_a_loopback_server_needs_the_token(
    auditor: Auditor, tiny: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AUDITOR_TOKEN")
    told = auditor("audit", "--arm-endpoint", tiny.url)
    assert (told.code, "AUDITOR_TOKEN" in told.err, list(tmp_path.iterdir())) == (2, True, [])


@pytest.mark.parametrize(
    "variable",
    [f"AUDITOR_{it}" for it in ("SUBSCRIPTION", "MANAGEMENT_GROUP", "EXCLUDE_SUBSCRIPTION", "TENANT")],
)
@pytest.mark.parametrize("text", ["", " ", " , "])
def test_a_variable_that_ci_left_empty_does_not_widen_the_audit(
    variable: str, text: str, auditor: Auditor, tiny: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    tiny.log.clear()
    told = auditor("audit", "--arm-endpoint", tiny.url)
    assert (told.code, tiny.log) == (2, [])
    assert f"{variable} is given, but names nothing" in told.err


@pytest.mark.parametrize("token", ["a\nb", "a\r", "caf\u00e9"])
def test_a_token_that_is_none_is_told(
    token: str, auditor: Auditor, tiny: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITOR_TOKEN", token)
    told = auditor("audit", "--arm-endpoint", tiny.url)
    assert (told.code, "AUDITOR_TOKEN" in told.err) == (2, True)


@pytest.mark.parametrize("body", [b"a: \xe4", b"a: 2026-13-45", b"a: " + b"9" * 5000, b"- " * 500, b"[" * 5000])
def test_an_estate_that_is_none_is_told(body: bytes, auditor: Auditor, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_bytes(body)
    told = auditor("demo", "--estate", "e.yaml")
    assert told.code == 2
    assert "e.yaml" in told.err
    assert not (tmp_path / "audits").exists()


def test_an_ambiguous_name_is_told_and_leaves_nothing(auditor: Auditor, tiny: Simulator, tmp_path: Path) -> None:
    told = auditor("audit", "--arm-endpoint", tiny.url, "-s", "twin", "--report", "json")
    assert told.code == 2
    assert told.err.count(tiny.estate.subscription_id("a")) == 1
    assert list((tmp_path / "audits").iterdir()) == []


def test_a_run_is_never_overwritten(auditor: Auditor, tiny: Simulator, tmp_path: Path) -> None:
    words = ("audit", "--arm-endpoint", tiny.url, "--as-of", "2026-11-22T06:00:00Z", "--report", "json", "-q")
    assert auditor(*words).code == 0
    tiny.log.clear()
    told = auditor(*words)
    assert (told.code, "exists already" in told.err, tiny.log) == (2, True, [])
    assert [path.name for path in (tmp_path / "audits").iterdir()] == ["run=2026-11-22T060000Z"]


@pytest.mark.parametrize("verb", ["report", "evaluate"])
@pytest.mark.parametrize(
    "manifest",
    [
        None,
        "",
        "[]",
        "{}",
        "null",
        '{"run": 1, "files": []}',
        '{"run": {}, "files": []}',
        "\x00\xff",
        "[" * 100_000,
        f'{{"run": {"9" * 5000}}}',
        '{"run": {"as_of": "soon"}, "files": []}',
        '{"run": {"as_of": "2026-11-22T06:00:00Z"}, "files": [1]}',
        '{"schema_version": "7.0", "run": {"as_of": "2026-11-22T06:00:00Z"}, "files": []}',
    ],
)
def test_a_folder_that_is_no_bundle_is_told(verb: str, manifest: str | None, auditor: Auditor, tmp_path: Path) -> None:
    folder = tmp_path / "audits" / "run=2026-11-22T060000Z"
    folder.mkdir(parents=True)
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest, encoding="latin-1")
    for name in (str(folder), folder.name, folder.name.removeprefix("run=")):
        told = auditor(verb, name)
        assert told.code == 2, told.err
        assert told.err.startswith("error: ")


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "--store", "secret/x"),
        ("report", "latest", "--store", "secret/x"),
        ("report", "secret/x"),
        ("verify", "secret/x"),
    ],
)
def test_a_folder_that_may_not_be_looked_into_is_told(
    words: tuple[str, ...], auditor: Auditor, tiny: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "secret").mkdir(mode=0)
    tmp_path.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # to root nothing is closed
    try:
        told = auditor(*words, *(("--arm-endpoint", tiny.url) if words[0] == "audit" else ()))
    finally:
        os.seteuid(user)
    assert told.code == 2
    assert "secret/x" in told.err
    assert "Permission denied" in told.err
    (tmp_path / "secret").rmdir()  # which is still empty


@pytest.mark.parametrize("verb", ["report", "evaluate", "verify"])
def test_a_bundle_with_a_name_too_long_is_told(verb: str, auditor: Auditor) -> None:
    told = auditor(verb, "b" * 5000)
    assert told.code == 2
    assert "File name too long" in told.err
    assert len(told.err) < 1000


_ON_A_SMALL_DISK = """\
import resource, sys
from auditor import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), -1))
sys.exit(cli._run())
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 14_000, 60_000])
def test_a_disk_that_takes_no_more_is_told_and_nothing_is_left(room: int, served: Simulator, tmp_path: Path) -> None:
    words = ["audit", "--arm-endpoint", served.url, "--store", str(tmp_path / "s"), "--report", "json", "-q"]
    told = subprocess.run(
        [sys.executable, "-c", _ON_A_SMALL_DISK, str(room), *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"AUDITOR_TOKEN": TOKEN},
    )
    assert told.returncode == 2, told.stderr
    assert "cannot be written: " in told.stderr
    assert "File too large" in told.stderr
    assert not list(tmp_path.glob("s/*"))


def test_a_bundle_that_is_not_there_is_told(auditor: Auditor) -> None:
    for name in ("latest", "run=2026-11-22T060000Z", "no/where"):
        told = auditor("report", name)
        assert told.code == 2
        assert name.split("=")[0] in told.err or "no run" in told.err


@pytest.mark.parametrize("harm", ["changed", "missing", "added"])
def test_a_bundle_that_was_changed_proves_nothing(
    harm: str, finished: Audited, auditor: Auditor, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished.bundle.folder, folder)
    victim = folder / "findings" / "vm-unprotected.parquet"
    if harm == "changed":
        body = bytearray(victim.read_bytes())
        body[len(body) // 2] ^= 1
        victim.write_bytes(bytes(body))
    elif harm == "missing":
        victim.unlink()
    else:
        (folder / "rules" / "extra.yaml").write_text("x: 1\n")
    told = auditor("report", folder, "--report", "json")
    assert told.code == 2
    assert "sealed" in told.err or "missing" in told.err
    assert not (folder / "reports").exists()


def parquet(select: str) -> Callable[[Path], object]:
    return lambda path: duckdb.execute(f"COPY ({select.format(path=path)}) TO '{path}' (FORMAT parquet)")


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage")


_NOT_OURS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no bytes": ("findings/vm-unprotected.parquet", lambda path: path.write_bytes(b"")),
    "no rows": ("findings/vm-unprotected.parquet", parquet("SELECT * FROM '{path}' LIMIT 0")),
    "other findings": ("findings/vm-unprotected.parquet", parquet("SELECT 1 AS x")),
    "a list": ("coverage.json", lambda path: path.write_text("[]")),
    "a row too few": ("coverage.json", lambda path: path.write_text('{"coverage": [{}], "gaps": []}')),
    "coverage nested without end": ("coverage.json", lambda path: path.write_text("[" * 100_000)),
    "garbage for history": ("history.parquet", garbage),
    "other history": ("history.parquet", parquet("SELECT 1 AS kind")),
    "garbage for a table": ("inventory/vm.parquet", garbage),
    "a table of others": ("inventory/vm.parquet", parquet("SELECT 1 AS x")),
}


@pytest.mark.parametrize(
    ("verb", "case"),
    [
        *(("report latest", case) for case in _NOT_OURS),
        ("evaluate latest", "a list"),
        ("evaluate latest", "garbage for history"),
        ("evaluate latest", "a table of others"),
        ("verify latest", "other findings"),
        ("audit", "other history"),
        ("audit", "other findings"),
    ],
)
def test_a_damaged_bundle_that_was_sealed_anew_is_told_by_the_file(
    verb: str, case: str, finished: Audited, auditor: Auditor, tiny: Simulator
) -> None:
    name, harm = _NOT_OURS[case]
    folder = Path("audits", finished.bundle.folder.name)
    shutil.copytree(finished.bundle.folder, folder)
    harm(folder / name)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        entry["sha256"] = hashlib.sha256((folder / entry["path"]).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    tiny.log.clear()
    told = auditor(*verb.split(), *(("--arm-endpoint", tiny.url, "-q") if verb == "audit" else ()))
    assert told.code == 2, told.err
    assert name in told.err
    assert tiny.log == []
    assert not (folder / "reports").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_broken_earlier_run_is_told_before_the_new_one_begins(
    auditor: Auditor, tiny: Simulator, tmp_path: Path
) -> None:
    earlier = tmp_path / "audits" / "run=2026-11-15T060000Z"
    earlier.mkdir(parents=True)
    (earlier / "manifest.json").write_text(json.dumps({"run": {}}))
    tiny.log.clear()
    told = auditor("audit", "--arm-endpoint", tiny.url, "--as-of", "2026-11-22", "--report", "json")
    assert (told.code, tiny.log) == (2, [])
    assert earlier.name in told.err
    assert [path.name for path in (tmp_path / "audits").iterdir()] == [earlier.name]
