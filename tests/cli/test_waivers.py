"""`auditor waivers`, and management's responses: what is said of them, and that they change no verdict."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from auditor.model import fingerprint
from tests.cli.conftest import tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.audits import Audited
    from tests.cli.conftest import Auditor

TODAY = datetime.now(UTC).date()
SOON = TODAY + timedelta(days=20)
WAIVER = f"""\
waivers:
  - id: W-1
    rule: vm-unprotected
    match: {{resource_id: "*/tagged"}}
    reason: r
    compensating_control: c
    requester: a@x
    approver: b@x
    approved_on: {TODAY - timedelta(days=30)}
    expires_on: {SOON}
    ticket: T-1
"""


@pytest.fixture
def alone(finished: Audited, tmp_path: Path) -> Path:
    folder = tmp_path / "audits" / finished.bundle.folder.name
    shutil.copytree(finished.bundle.folder, folder)
    return folder


def register(tmp_path: Path, old: str = "", new: str = "") -> Path:
    assert old in WAIVER
    path = tmp_path / "w.yaml"
    path.write_text(WAIVER.replace(old, new, 1) if old else WAIVER, encoding="utf-8")
    return path


def test_a_waiver_in_order_is_0(alone: Path, auditor: Auditor, tmp_path: Path) -> None:
    told = auditor("waivers", "lint", alone, "--waivers", register(tmp_path))
    assert (told.code, told.out) == (0, "1 in order, 0 not\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("approver: b@x", "approver: A@x"), "the same person"),
        (
            (f"expires_on: {SOON}", f"expires_on: {TODAY + timedelta(days=336)}"),
            "lasts 366 days, the standard allows 365",
        ),
        ((f"expires_on: {SOON}", f"expires_on: {TODAY}"), f"ended on {TODAY}"),
        (("rule: vm-unprotected", "rule: vm-unprotectd"), "did you mean 'vm-unprotected'"),
        (('"*/tagged"', '"*/no-such"'), "covers no fail of the run"),
        (('"*/tagged"', '"*/virtualmachines/*"'), "more than 10 %"),
        (('{resource_id: "*/tagged"}', '{resource_id: "*"}'), "selects everything"),
    ],
)
def test_a_waiver_that_is_not_in_order_is_1_and_told_with_its_line(
    change: tuple[str, str], said: str, alone: Path, auditor: Auditor, tmp_path: Path
) -> None:
    told = auditor("waivers", "lint", alone, "--waivers", register(tmp_path, *change))
    assert told.code == 1
    assert said in told.out
    assert "w.yaml:2: waiver W-1: " in told.out


def test_without_a_run_the_file_alone_is_looked_at(auditor: Auditor, tmp_path: Path) -> None:
    told = auditor("waivers", "lint", "--waivers", register(tmp_path, '"*/tagged"', '"*/no-such"'))
    assert (told.code, "the file alone" in told.err) == (0, True)
    told = auditor("waivers", "lint", "--waivers", register(tmp_path, "approver: b@x", "approver: a@x"))
    assert (told.code, "the same person" in told.out) == (1, True)
    assert auditor("waivers", "lint").code == 2
    assert auditor("waivers", "lint", "no-such-run", "--waivers", register(tmp_path)).code == 2


def test_a_register_that_is_none_is_2(auditor: Auditor, tmp_path: Path) -> None:
    told = auditor("waivers", "lint", "--waivers", register(tmp_path, "reason: r", "reson: r"))
    assert told.code == 2
    assert "w.yaml:5" in told.err


def test_the_list_says_what_each_covers_and_latest_is_the_default(
    alone: Path, auditor: Auditor, tmp_path: Path
) -> None:
    before = tree(alone)
    told = auditor("waivers", "list", "--waivers", register(tmp_path), "-f", "json")
    found = json.loads(told.out)
    assert told.code == 0
    assert found["run"] == alone.name.removeprefix("run=")
    (waiver,) = found["waivers"]
    assert (waiver["state"], waiver["matched"], waiver["faults"]) == ("expiring", 1, [])
    assert "W-1" in auditor("waivers", "list", "--waivers", register(tmp_path)).out
    assert "W-1" in auditor("waivers", "expiring", "--waivers", register(tmp_path)).out
    assert "W-1" not in auditor("waivers", "expiring", "--within", "19d", "--waivers", register(tmp_path)).out
    assert auditor("waivers", "expiring", "--within", "soon", "--waivers", register(tmp_path)).code == 2
    assert tree(alone) == before


def test_a_response_stands_beside_its_finding_and_changes_no_verdict(
    alone: Path, finished: Audited, auditor: Auditor, tmp_path: Path
) -> None:
    one = next(f for f in finished.results.findings if f.rule == "vm-unprotected" and f.status.value == "fail")
    rest = "action: {0}\n    owner: o\n    due: 2027-01-31\n    author: x\n    on: 2026-11-20\n"
    (tmp_path / "r.yaml").write_text(
        f"responses:\n  - fingerprint: {fingerprint(one.rule, one.resource_id)}\n    {rest.format('one')}"
        f"  - rule: vm-unprotected\n    match: {{resource_id: '*'}}\n    {rest.format('all')}"
        f"  - rule: vm-unprotected\n    match: {{resource_group: rg-gone}}\n    {rest.format('none')}"
        f"  - fingerprint: {'0' * 64}\n    {rest.format('nobody')}"
    )
    told = auditor("evaluate", alone, "--responses", "r.yaml", "--report", "json", "--report", "html")
    assert told.code == 1
    (made,) = (alone / "evaluations").iterdir()
    idle = [line for line in told.out.splitlines() if line.startswith("response  matches no finding: ")]
    assert [line.rpartition(": ")[2] for line in idle] == ["vm-unprotected, resource group rg-gone", "0" * 64]
    page = (made / "reports" / "report.html").read_text(encoding="utf-8")
    assert "Responses that match no finding" in page
    assert "resource group rg-gone" in page
    rows = json.loads((made / "reports" / "findings.json").read_text(encoding="utf-8"))["findings"]
    answered = {row["fingerprint"]: row["response"]["action"] for row in rows if row["response"]}
    assert answered.pop(one.fingerprint) == "one"
    assert set(answered.values()) == {"all"}
    assert all(row["response"] is None for row in rows if row["rule"] != "vm-unprotected")
    assert all(row["response"] is None for row in rows if row["status"] == "not_applicable")
    sealed = tree(alone / "findings")
    assert tree(made / "findings") == sealed
