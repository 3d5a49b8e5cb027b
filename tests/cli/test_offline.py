"""A bundle alone is enough, long after its Azure has gone."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import junitparser
import pytest

from auditor import bundle as bundles
from auditor import reporting, rulebook
from auditor.bundle import Bundle
from auditor.model import Status
from auditor.report import formats
from auditor.report.view import Presentation
from tests.azure.runs import verdicts
from tests.cli.conftest import tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.audits import Audited
    from tests.cli.conftest import Auditor

WAIVE_ALL = """\
waivers:
  - id: {name}
    rule: {rule}
    match: {{any: [{{subscription: ["Sub A", "Sub B", "Sub C"]}}, {{resource_id: ["auditor:*", "/providers/*"]}}]}}
    reason: r
    compensating_control: c
    requester: a@example.com
    approver: b@example.com
    approved_on: 2026-01-01
    expires_on: {end}
    ticket: T-1
"""


@pytest.fixture
def alone(finished: Audited, tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    shutil.copytree(finished.bundle.folder, folder)
    return folder


def test_reports_are_made_from_the_bundle_alone_and_twice_the_same(alone: Path, auditor: Auditor) -> None:
    before = tree(alone)
    first = auditor("report", alone, "--report", "json", "--report", "html", "-f", "json")
    assert first.code == 1
    made = tree(alone / "reports")
    assert made.keys() == {"findings.json", "report.html", "index.json"}
    shutil.rmtree(alone / "reports")
    assert auditor("report", alone, "--report", "json", "--report", "html", "-q").code == 1
    assert tree(alone / "reports") == made
    assert {name: body for name, body in tree(alone).items() if not name.startswith("reports/")} == before
    assert Bundle(alone).damage() == []


def test_a_report_put_elsewhere_is_listed_beside_the_bundle_s_own(
    alone: Path, auditor: Auditor, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "handed-over.json"
    assert auditor("report", alone, "--report", "json", "-q").code == 1
    assert auditor("report", alone, "--report", f"json={elsewhere}", "--all-rows", "-q").code == 1
    listed = bundles.reports_of(alone / "reports")
    assert listed.keys() == {"json", f"json={elsewhere}"}
    own = (alone / "reports" / "findings.json").read_bytes()
    assert listed["json"]["sha256"] == bundles.digest_of_bytes(own)
    assert (
        listed[f"json={elsewhere}"]["sha256"]
        == bundles.digest_of_bytes(elsewhere.read_bytes())
        != listed["json"]["sha256"]
    )


def test_every_kind_of_report_is_made_and_names_what_passes_where_it_must(
    alone: Path, finished: Audited, auditor: Auditor
) -> None:
    asked = [word for kind in formats.discover() if kind != "pdf" for word in ("--report", kind)]
    assert auditor("report", alone, *asked, "--all-rows", "-q").code == 1
    made = tree(alone / "reports")
    assert made.keys() == {formats.find(kind).default_name for kind in asked[1::2]} | {"index.json"}
    counts = {rule.id: rule.statuses for rule in finished.results.rules}
    kinds = {rule.resource_type for rule in finished.results.rules if rule.statuses[Status.PASS]}
    assert kinds > {"vm", "vault", "subscription"}
    rows = json.loads(made["findings.json"])["findings"]
    for rule, statuses in counts.items():
        told = Counter(row["status"] for row in rows if row["rule"] == rule)
        assert told == {status.value: number for status, number in statuses.items() if number}, rule
    passed = [row for row in rows if row["status"] == "pass"]
    assert all(row["resource_name"] and row["resource_id"] == row["resource_id"].lower() for row in passed)
    cases = {suite.name: suite.tests for suite in junitparser.JUnitXml.fromstring(made["junit.xml"])}
    assert {rule: cases[rule] for rule in counts} == {rule: sum(them.values()) for rule, them in counts.items()}
    assert made["findings.csv"].count(b"\r\n") == len(rows) + 1


def test_passes_are_only_read_where_a_report_names_them(finished: Audited) -> None:
    for asked, all_rows, needed in (
        (("json", "html"), False, False),
        (("json",), True, True),
        (("junit",), False, True),
        ((), True, False),
    ):
        wanted: dict[str, Path | None] = dict.fromkeys(asked)
        assert reporting.needs_passes(wanted, Presentation(all_rows=all_rows)) is needed
    assert finished.results.passes == {}


def test_the_same_inputs_give_the_same_verdicts(alone: Path, finished: Audited, auditor: Auditor) -> None:
    before = tree(alone)
    assert auditor("evaluate", alone, "-q").code == 1
    (made,) = (alone / "evaluations").iterdir()
    again = {path.name: path.read_bytes() for path in (made / "findings").iterdir()}
    assert again == {path.name: path.read_bytes() for path in (alone / "findings").iterdir()}
    assert {name: body for name, body in tree(alone).items() if not name.startswith("evaluations/")} == before
    assert Bundle(alone).damage() == []
    assert verdicts(Bundle(alone)) == verdicts(finished.bundle)


def test_other_inputs_go_to_a_folder_of_their_own(alone: Path, auditor: Auditor, tmp_path: Path) -> None:
    before = tree(alone)
    strict = tmp_path / "strict.yaml"
    strict.write_text((alone / "standard.yaml").read_text().replace("\n    rpo: 24h", "\n    rpo: 1h", 1))
    waive = tmp_path / "waive.yaml"
    waive.write_text(WAIVE_ALL.format(name="W-1", rule="vm-unprotected", end="2026-12-20"))
    for words in (["--standard", strict], ["--waivers", waive], ["--as-of", "2026-12-24"]):
        told = auditor("evaluate", alone, "--report", "json", "-q", *words)
        assert told.code == 1, told.err
    made = list((alone / "evaluations").iterdir())
    assert len(made) == 3
    assert all((folder / "reports" / "findings.json").exists() for folder in made)
    assert {name: body for name, body in tree(alone).items() if not name.startswith("evaluations/")} == before
    assert bundles.find(str(alone), tmp_path).damage() == []


RULES = tuple(rule.id for rule in rulebook.read().rules)


@pytest.mark.parametrize(("end", "code"), [("2026-12-20", 0), ("2026-11-21", 1)])
def test_waived_alone_is_0_and_expired_is_1(end: str, code: int, alone: Path, auditor: Auditor, tmp_path: Path) -> None:
    entries = [WAIVE_ALL.format(name=f"W-{n}", rule=rule, end=end) for n, rule in enumerate(RULES)]
    register = tmp_path / "all.yaml"
    register.write_text("waivers:\n" + "".join(entry.partition("\n")[2] for entry in entries))
    told = auditor("evaluate", alone, "--waivers", register, "-f", "json")
    assert told.code == code, told.out + told.err
    codes = {reason["code"] for reason in json.loads(told.out)["gate"]["reasons"]}
    assert codes == ({"findings", "waiver_expired"} if code else set())


def test_every_changed_missing_or_added_file_is_found(alone: Path) -> None:
    (alone / "coverage.json").write_bytes((alone / "coverage.json").read_bytes() + b" ")
    (alone / "raw" / "vm.zst").unlink()
    (alone / "inventory" / "more.parquet").write_bytes(b"")
    (alone / "reports").mkdir()
    (alone / "reports" / "free.txt").write_text("reports are made later")
    assert Bundle(alone).damage() == [
        "coverage.json was changed after the run was sealed",
        "raw/vm.zst is missing",
        "inventory/more.parquet was added after the run was sealed",
    ]


def test_a_store_knows_its_runs_from_other_folders(finished: Audited, tmp_path: Path) -> None:
    for name in ("run=2026-11-22T060000Z", "run=2026-11-29T060000Z"):
        shutil.copytree(finished.bundle.folder, tmp_path / name)
    for name in (".collecting-2026-12-06T060000Z-1a2b", "run=2026-12-13T060000Z.bak", "run=latest", "notes"):
        shutil.copytree(finished.bundle.folder, tmp_path / name)
    (tmp_path / "run=2026-12-06T060000Z").mkdir()  # begun by hand: without a manifest it does not exist
    (tmp_path / "run=2026-12-20T060000Z").write_text("a file")
    assert [path.name for path in bundles.runs(tmp_path)] == ["run=2026-11-22T060000Z", "run=2026-11-29T060000Z"]
    assert bundles.find("latest", tmp_path).folder.name == "run=2026-11-29T060000Z"
    assert bundles.find("2026-11-22T060000Z", tmp_path).folder.name == "run=2026-11-22T060000Z"


def test_evidence_is_not_judged_as_of_before_it_was_read(finished: Audited, auditor: Auditor) -> None:
    told = auditor("evaluate", finished.bundle.folder, "--as-of", "2026-11-22T05:59:59Z")
    assert (told.code, "lies before the evidence" in told.err) == (2, True)


@pytest.mark.parametrize("name", ["manifest.json", "standard.yaml", "findings/x.json", "coverage.json"])
@pytest.mark.parametrize("verb", ["report", "evaluate"])
def test_a_report_never_replaces_what_was_sealed(
    verb: str, name: str, finished: Audited, auditor: Auditor, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished.bundle.folder, folder)
    before = tree(folder)
    told = auditor(verb, folder, "--report", f"json={folder / name}")
    assert (told.code, "would replace an input" in told.err) == (2, True)
    assert tree(folder) == before
