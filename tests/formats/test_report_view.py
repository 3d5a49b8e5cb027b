"""The view model: what is counted, grouped and said."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import duckdb
import pytest

from auditor import assets, gate, numerals
from auditor.document import load
from auditor.model import CoverageState, Finding, FrameworkRef, Gap, Reconciliation, Severity, Status
from auditor.report import causes, drawing, formats, remedy, values, view, wording
from auditor.report.charts import Chart
from auditor.report.templates import SHIPPED
from auditor.rulebook import read, sentence
from tests.formats import annexed, sample

_NO_EVIDENCE = {"resource_id", "status", "reason", "severity", "matures_in_hours", "resource_name"}
KINDS = ("nasty", "clean", "unknown", "incomplete", "empty")


@pytest.mark.parametrize("kind", KINDS)
def test_every_told_finding_stands_in_exactly_one_block(kind: str) -> None:
    report = view.build(sample.results(kind=kind))
    told = [it.serial for cause in report.causes for row in cause.rows for it in (row.finding, *row.also)]
    expected = {row.serial for row in report.findings if row.status in causes.TOLD}
    assert len(told) == len(set(told))
    assert set(told) == expected
    assert report.told == len(expected)


def test_a_consequence_is_told_under_its_cause_on_the_same_resource() -> None:
    report = view.build(sample.results(machines=300))
    pairs = [(row.finding, child) for cause in report.causes for row in cause.rows for child in row.also]
    assert pairs
    assert all(parent.resource_id == child.resource_id for parent, child in pairs)
    assert all(child.group is not None for _, child in pairs)


def test_a_consequence_whose_cause_is_not_among_the_findings_stands_alone() -> None:
    made = sample.results(machines=300)
    orphans = tuple(row for row in made.findings if row.group and row.status in causes.TOLD)
    report = view.build(replace(made, findings=orphans))
    assert report.told == len(orphans)
    assert sum(cause.size for cause in report.causes) == len(orphans)


def test_two_findings_that_explain_each_other_are_both_told() -> None:
    made = sample.results(machines=60)
    one, two = made.findings[:2]
    two = replace(two, resource_id=one.resource_id, group=one.rule, rule="recovery-points-missing")
    one = replace(one, group=two.rule)
    told = view.build(replace(made, findings=(one, two))).causes
    assert sum(cause.size for cause in told) == 2


def test_blocks_are_ordered_by_status_then_severity() -> None:
    told = view.build(sample.results(machines=400)).causes
    order = [(causes.TOLD.index(it.status), it.severity.rank) for it in told]
    assert order == sorted(order)


def test_the_order_of_the_results_does_not_change_the_report() -> None:
    made = sample.results()
    turned = replace(
        made,
        findings=made.findings[::-1],
        machines=made.machines[::-1],
        rules=made.rules[::-1],
        coverage=made.coverage[::-1],
        subscriptions=made.subscriptions[::-1],
        waivers=made.waivers[::-1],
        questions=made.questions[::-1],
        population=made.population[::-1],
    )
    assert view.build(turned) == view.build(made)


def test_the_figures_add_up_to_the_verdicts() -> None:
    report = view.build(sample.results())
    assert sum(report.statuses.values()) == sum(sum(rule.statuses.values()) for rule in report.rules)
    assert all(0 <= figure.count <= figure.of for figure in report.figures)
    outcomes = report.charts["outcomes"]
    assert isinstance(outcomes, Chart)
    assert outcomes.bars[0].total == len(report.machines)


def test_nothing_is_said_of_protection_where_nothing_was_read() -> None:
    report = view.build(sample.results(kind="unknown"))
    assert report.state == "incomplete"
    assert report.completeness.all_unknown
    assert "Nothing is said" in report.headline
    assert report.figures[0].share == "?"
    assert {it.policy for it in report.promises} == {"not known"}
    assert {it.found for it in report.promises} == {"not known"}
    assert report.actions[0].title.startswith("Make the")


def test_a_clean_run_says_what_was_looked_at() -> None:
    report = view.build(sample.results(kind="clean"))
    assert report.state == "complete"
    assert report.told == 0
    assert report.actions == ()
    assert "46 of 46" in report.headline


def test_a_run_without_any_vm_makes_no_statement_about_vms() -> None:
    report = view.build(sample.results(kind="empty"))
    assert report.headline.startswith("No VM to judge was found in the 4 subscriptions")
    assert report.figures[0].of == 0


def test_at_most_five_actions_each_with_an_owner() -> None:
    report = view.build(sample.results(machines=500, kind="incomplete"))
    assert len(report.actions) == 5
    assert all(action.who for action in report.actions)


def test_the_controls_of_a_framework_are_in_natural_order() -> None:
    rows = [row.control for row in view.build(sample.results()).controls if row.framework == "nist_800_53_r5"]
    assert rows == ["CP-4", "CP-9", "CP-9(1)", "CP-10", "SI-12"]


def test_every_format_shows_the_frameworks_that_the_standard_names_and_all_where_it_names_none() -> None:
    results = sample.results()
    every = {key for rule in results.rules for key in rule.controls}
    assert {"nist_800_53_r5", "iso_27001_2022"} < every
    whole, some = view.build(results), view.build(replace(results, frameworks_shown=("nist_800_53_r5",)))
    assert {row.framework for row in whole.controls} == every
    assert {row.framework for row in some.controls} == {"nist_800_53_r5"}
    assert {key for rule in some.rules for key in rule.controls} == {"nist_800_53_r5"}
    assert {key for cause in some.causes for key in cause.rule.controls} == {"nist_800_53_r5"}
    assert all("ISO" not in text for texts in some.cited.values() for text in texts)
    told = {key for rule in json.loads(formats.find("json").render(some))["rules"] for key in rule["controls"]}
    assert told == {"nist_800_53_r5"}


def test_what_must_be_said_beside_a_framework_stands_in_the_page_too() -> None:
    results = sample.results()
    key = next(key for rule in results.rules for key in rule.controls)
    about = FrameworkRef("A framework 1", "Its numbers are of a draft.", {}, frozenset())
    told = replace(results, frameworks={key: about}, frameworks_shown=(key,))
    assert "Its numbers are of a draft." in formats.find("html").render(view.build(told)).decode()
    silent = replace(told, frameworks_shown=("another",))
    assert "Its numbers are of a draft." not in formats.find("html").render(view.build(silent)).decode()


@pytest.mark.parametrize(
    ("count", "of", "said"),
    [
        (999_999, 1_000_000, ("99.9 %", "over 99.9 %", "over 99.9 %")),
        (1, 100_000, ("under 0.1 %", "under 0.1 %", "0.1 %")),
        (5, 5, ("100 %", "100 %", "100 %")),
        (0, 5, ("0 %", "0 %", "0 %")),
        (0, 0, (wording.DASH,) * 3),
        (2, 3, ("66.6 %", "66.7 %", "66.7 %")),
        (1, 3, ("33.3 %", "33.3 %", "33.4 %")),
        (1, 8, ("12.5 %", "12.5 %", "12.5 %")),
        (1, 16, ("6.2 %", "6.3 %", "6.3 %")),
    ],
)
def test_a_share_of_what_is_good_leans_down_and_of_what_is_bad_up(count: int, of: int, said: tuple[str, ...]) -> None:
    write = numerals.ENGLISH
    assert (write.share(count, of, "down"), write.share(count, of), write.share(count, of, "up")) == said


def test_no_figure_and_no_takeaway_flatters() -> None:
    made = sample.results(machines=60, hostile=False)
    machines = tuple(
        replace(it, excluded_code=None, statuses={"r": Status.FAIL if n < 20 else Status.PASS})
        for n, it in enumerate(made.machines)
    )
    report = view.build(replace(made, machines=machines))
    assert "40 of 60 VMs judged (66.6 %) pass" in report.headline
    assert report.charts["outcomes"].takeaway == "20 of 60 VMs judged fail at least one rule (33.4 %)"


def test_conformity_is_said_only_where_all_that_is_demanded_was_tested() -> None:
    made = sample.results()
    assert "in conformity" not in view.build(made).headline
    assert "pass the 16 rules of this run" in view.build(made).headline
    assert "in conformity with standard hybrid 1.0.0" in view.build(replace(made, untested=())).headline


def test_two_sources_are_told_where_there_is_something_to_compare() -> None:
    made = sample.results(20)
    one = Reconciliation("vm", "graph", "list", 20, 19, 1, 0, 0)
    none = Reconciliation("disk", "graph", "list", 0, 0, 0, 0, 0)
    whole = view.build(replace(made, reconciliations=(one, none), clock_offset_seconds=-2.4)).completeness
    assert whole.reconciliations == (one,)
    posts = tuple(it for it in made.questions if it.method == "POST")
    assert view.build(replace(made, questions=posts)).completeness.points is None


def test_rows_of_the_tenant_are_told_since_coverage_does_not_count_them() -> None:
    made = sample.results(4)
    asked = replace(made.questions[0], table="management_group", rows=4)
    covered = replace(made.coverage[0], table="management_group", expected=0, received=0)
    whole = view.build(replace(made, questions=(asked,), coverage=(covered,))).completeness
    assert whole.unplaced == (("management_group", 4),)
    assert whole.evidence == ()


def test_subscriptions_that_share_name_and_beginning_are_told_apart_by_the_whole_id() -> None:
    made = sample.results(4)
    one, two, three, four = made.subscriptions
    ids = (one.subscription_id, one.subscription_id[:-1] + "9", three.subscription_id)
    twins = (one, replace(two, name="SUB-PROD", subscription_id=ids[1]), replace(three, name="sub-prod"), four)
    labels = view.build(replace(made, subscriptions=twins, machines=(), snapshots=(), findings=())).subscription_labels
    assert [labels[key] for key in ids] == [f"sub-prod ({ids[0]})", f"SUB-PROD ({ids[1]})", "sub-prod (00000003)"]
    assert labels[four.subscription_id] == "sub-data"


def test_points_that_may_not_be_due_yet_are_told_apart_from_none_and_unread() -> None:
    made = sample.results(machines=60, hostile=False)
    judged = [it for it in made.machines if it.excluded_code is None and it.tier == "hybrid"][:6]
    ages = (84 * 24.0, 83.9 * 24, 5000.0, None, None, 1.0)
    machines = tuple(
        replace(it, oldest_point_age_hours=hours, point_count=None if n == 4 else 1, protection="protected")
        for n, (it, hours) in enumerate(zip(judged, ages, strict=True))
    )
    weekly = next(it for it in view.build(replace(made, machines=machines)).promises if it.kind == "weekly")
    assert weekly.found == (
        "2 of 6 VMs have a point at least 84 d old; 2 have only younger points: since when they are protected is not "
        "known, so it may not be due yet; 1 has no point; for 1 it is not known"
    )


def _row(rule: str, reason: str = "", **evidence: object) -> Finding:
    return replace(sample.results(12).findings[0], rule=rule, reason=reason, evidence=evidence)


def test_demanded_stands_beside_observed_in_words_with_units() -> None:
    rows = [
        _row("backup-rpo-breached", rpo_hours=6.0, newest_point_age_hours=64.0, rpo_tolerance_hours=6.0),
        _row("backup-rpo-breached", rpo_hours=24.0, newest_point_age_hours=120.0, rpo_tolerance_hours=6.0),
    ]
    texts = SHIPPED.texts()
    assert values.pairs(rows[:1], texts) == (
        values.Pair("age of the newest point", "at most 6 h, + 6 h tolerance", "64 h"),
    )
    assert values.pairs(rows, texts)[0].demanded == "at most 6 h to 24 h by tier, + 6 h tolerance"
    assert values.pairs(rows, texts)[0].observed == "64 h to 5 d, each below"
    missing = _row("recovery-points-missing", max_missing_pct=3.0, missing_pct=6.8166)
    assert values.pairs([missing], texts)[0].observed == "6.9 %"


def test_a_retention_is_set_beside_the_one_that_the_rule_judges() -> None:
    row = _row("retention-weekly-below-standard", demanded_days=84.0, policy_daily_days=30.0, policy_weekly_days=None)
    assert values.pairs([row], SHIPPED.texts()) == (
        values.Pair("weekly retention of the policy", "at least 84 d", "none"),
    )


def test_a_row_tells_only_what_its_sentence_and_its_block_do_not() -> None:
    rows = [
        _row("r", "policy p1 keeps 14 d", policy_name="p1", kept_days=14.0, size_gib=64, vault_name="v", x_id="/y"),
        _row("r", "policy p2 keeps 15 d", policy_name="p2", kept_days=15.0, size_gib=32, vault_name="v", x_id="/z"),
    ]
    texts = SHIPPED.texts()
    assert values.common(rows, texts) == (("vault", "v"),)
    assert values.own(rows[0], values.differing(rows), texts) == "size: 64 GiB"
    assert values.own(rows[1], values.differing(rows), texts) == "size: 32 GiB"


@pytest.mark.parametrize("found", [True, False])
def test_info_has_a_bar_only_where_there_is_something_of_it(found: bool) -> None:
    made = sample.results(30)
    rows = (replace(made.findings[0], severity=Severity.INFO), *made.findings[1:]) if found else made.findings
    chart = view.build(replace(made, findings=rows)).charts["severities"]
    assert isinstance(chart, Chart)
    bars = chart.bars
    assert [bar.label for bar in bars] == ["critical", "high", "medium", "low", *(["info"] if found else [])]
    assert [bar.parts[0].shade for bar in bars] == list(range(len(bars)))


@pytest.mark.parametrize(
    ("hours", "said"),
    [
        (24.009, "24 h"),
        (24.01, "24.01 h"),
        (95.999, "95.99 h"),
        (96, "4 d"),
        (100.9, "4.2 d"),
        (239.9, "9.9 d"),
        (20_872.62, "869 d"),
        (None, wording.DASH),
    ],
)
def test_an_age_is_cut_not_rounded(hours: float | None, said: str) -> None:
    assert numerals.ENGLISH.age(hours) == said


@pytest.mark.parametrize(
    ("days", "said"),
    [(30, "30 d"), (84, "84 d"), (84 * 30.4375, "7 y"), (60 * 30.4375 + 30.4375, "61 mo"), (365.25, "1 y")],
)
def test_a_retention_is_written_in_the_largest_exact_unit(days: float, said: str) -> None:
    assert numerals.ENGLISH.keep(days) == said


def test_times_are_shown_in_utc_whatever_zone_they_carry() -> None:
    tokyo = datetime(2026, 11, 22, 15, 0, tzinfo=timezone(timedelta(hours=9)))
    assert wording.moment(tokyo) == "2026-11-22 06:00 UTC"
    assert wording.instant(tokyo.astimezone(UTC)) == "2026-11-22T06:00:00Z"


@pytest.mark.parametrize("char", ["\u202e", "\u200b", "\x07", "\u2028", "\ue000", "\udc80"])
def test_a_character_nobody_can_see_is_shown_by_its_code(char: str) -> None:
    assert wording.visible(f"a{char}b") == f"a[U+{ord(char):04X}]b"


def test_a_name_in_a_command_cannot_run_anything() -> None:
    row = replace(sample.results(12).findings[0], evidence={"vault_name": "v$(id)'; rm -rf ~ #"})
    filled = remedy.command("az x --vault-name {vault_name} -p {policy}", remedy.names(row))
    assert filled == "az x --vault-name 'v$(id)'\"'\"'; rm -rf ~ #' -p <policy>"


def test_each_step_of_a_fix_has_its_line_and_a_name_cannot_break_out_of_a_comment() -> None:
    row = replace(sample.results(12).findings[0], evidence={"vault_name": "v; x\nrm -rf ~"})
    filled = remedy.command("az a; # then look at {vault_name}; az b", remedy.names(row))
    assert filled.splitlines() == ["az a", "# then look at 'v; x[U+000A]rm -rf ~'", "az b"]


def test_the_parts_of_an_item_s_id_are_filled_in_and_quoted() -> None:
    item = (
        "/subscriptions/s/resourcegroups/rg b/providers/microsoft.recoveryservices/vaults/v1/backupfabrics/azure"
        "/protectioncontainers/iaasvmcontainer;c;$(id)/protecteditems/vm;c;x"
    )
    row = replace(sample.results(12).findings[0], evidence={"item_id": item})
    text = "az x -g <vault-group> --vault-name <vault> -c <container> -i <item> --policy-name <policy>"
    assert remedy.command(text, remedy.names(row)) == (
        "az x -g 'rg b' --vault-name v1 -c 'iaasvmcontainer;c;$(id)' -i 'vm;c;x' --policy-name <policy>"
    )
    bare = replace(row, evidence={"item_id": "/nonsense"})
    assert remedy.command(text, remedy.names(bare)) == text


def test_a_bar_s_parts_fill_its_length_and_small_ones_can_be_seen() -> None:
    lengths = drawing.spread([100_000, 1, 0, 1], 300)
    assert sum(lengths) == pytest.approx(300, abs=0.05)
    assert lengths[1] >= 3
    assert lengths[2] == 0


def test_severities_are_ranked_worst_first_inside_a_status() -> None:
    told = [cause for cause in view.build(sample.results(machines=400)).causes if cause.status is Status.FAIL]
    assert told[0].severity is Severity.CRITICAL
    assert all(left.severity.rank <= right.severity.rank for left, right in pairwise(told))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("age_hours", 20_872.62, "869 d"),
        ("missing_pct", 3.41, "3.5 %"),
        ("missing_pct", 3.4, "3.4 %"),
        ("max_missing_pct", 3, "3 %"),
        ("size_gib", 12.345, "12.34 GiB"),
    ],
)
def test_values_read_are_written_for_people(name: str, value: float, said: str) -> None:
    assert wording.read_value(name, value, SHIPPED.texts()) == said


def test_an_end_that_lies_behind_is_told_as_one() -> None:
    texts = SHIPPED.texts()
    row = replace(sample.results(30).findings[0], evidence={"expires_in_hours": -133.68}, reason="")
    assert values.common([row], texts) == (("ended", "5.5 d ago"),)
    assert values.own(row, ["expires_in_hours"], texts) == "ended: 5.5 d ago"
    row = replace(row, evidence={"expires_in_days": -30})
    assert values.own(row, ["expires_in_days"], texts) == "ended: 30 d ago"


@pytest.mark.parametrize(
    ("code", "said"), [(0, "is passed"), (1, "is not passed"), (3, "is undecided, because evidence is incomplete")]
)
def test_the_result_is_one_line(code: int, said: str) -> None:
    made = sample.results(30)
    shown = view.build(replace(made, gate=replace(made.gate, exit_code=code)))
    judged = [it for it in made.machines if it.excluded_code is None]
    failing = sum(Status.FAIL in it.statuses.values() for it in judged)
    line = f"{len(judged)} VMs judged, {failing} with a fail; the gate {said} (exit {code}, threshold medium)."
    assert shown.result == line


def test_each_language_writes_its_own_numbers() -> None:
    german = numerals.of("de")
    assert german.number(1_204_567) == "1.204.567"
    assert german.share(1, 8) == "12,5 %"
    assert german.share(1, 100_000, "down") == "unter 0,1 %"
    assert german.age(24.01) == "24,01 h"
    assert german.age(20_872.62 * 24) == "20.872 d"
    assert german.keep(84 * 30.4375) == "7 J."
    assert german.keep(61 * 30.4375) == "61 Mon."
    assert german.money(1204.5, "EUR") == "1.204,50 EUR"
    assert SHIPPED.texts("de")("charts.days.said", n=1_204, of=2_000) == "1.204 von 2.000 fehlen"
    assert numerals.of("xx") is numerals.ENGLISH


def test_a_rules_sentence_has_the_numbers_of_its_language() -> None:
    messages = {
        "late": {"en": "{age:,.1f} h, {keep:keep} kept", "de": "{age:,.1f} h, {keep:keep} gehalten"},
        "own": {"en": "{age:.1f} h"},
    }
    values_ = {"age": 1204.5, "keep": 84 * 30.4375}
    assert sentence("late", messages, values_) == "1,204.5 h, 7 y kept"
    assert sentence("late", messages, values_, "de") == "1.204,5 h, 7 J. gehalten"
    assert sentence("own", messages, values_, "de") == "1204.5 h", "a sentence in English has English numbers"


def test_a_german_report_says_why_the_gate_gave_its_code_in_german() -> None:
    findings = [
        replace(row, status=Status.UNKNOWN if number == 0 else Status.FAIL)
        for number, row in enumerate(sample.results(6).findings[:4])
    ]
    late = replace(findings[1], waiver={"id": "W-7", "expired": True})
    gaps = (Gap("vault", "/v", CoverageState.DENIED, "403"),)
    judged = gate.judge([*findings, late], [], gaps, threshold="low")
    made = view.build(replace(sample.results(6), gate=judged), view.Presentation(language="de"))
    assert len(made.gate_reasons) == len(judged.reasons) >= 4
    assert not any(reason.detail in made.gate_reasons for reason in judged.reasons)
    assert any("W-7" in said for said in made.gate_reasons)
    assert "Schwelle niedrig" in made.result


def test_every_column_and_parameter_of_a_shipped_rule_has_a_label_in_both_languages() -> None:
    for language in ("en", "de"):
        texts = load(assets.templates() / f"texts.{language}.yaml").data
        with duckdb.connect() as database:
            for rule in read(whole=True).rules:
                (told,) = database.execute("SELECT json_serialize_sql(?::VARCHAR)", [rule.file.sql]).fetchone() or ("",)
                select = json.loads(told)["statements"][0]["node"]["select_list"]
                names = {it["alias"] or it["column_names"][-1] for it in select}
                named = {it for it in names if not it.endswith("_id")} - _NO_EVIDENCE
                assert not named - texts["values"].keys(), (rule.id, language)
                assert not rule.file.params.keys() - texts["params"].keys(), (rule.id, language)


def test_an_age_that_was_not_read_is_not_told_as_none() -> None:
    row = next(row for row in sample.results(24, hostile=False).findings if row.status is Status.FAIL)
    late = replace(row, evidence={"rpo_hours": 24, "newest_point_age_hours": None})
    (pair,) = values.pairs([late], SHIPPED.texts())
    assert pair.observed == "not recorded"
    short = replace(
        row, rule="retention-daily-below-standard", evidence={"demanded_days": 30, "policy_daily_days": None}
    )
    (pair,) = values.pairs([short], SHIPPED.texts())
    assert pair.observed == "none"


def test_a_list_whose_parts_hold_commas_is_told_apart() -> None:
    texts = SHIPPED.texts()
    assert wording.read_value("parts", ["a", "b"], texts) == "a, b"
    assert wording.read_value("tests", ["RT-1 by Ada, SAP", "RT-2"], texts) == "RT-1 by Ada, SAP; RT-2"


def test_what_a_tier_does_not_demand_is_not_judged_as_delivered() -> None:
    for it in view.build(sample.results(24)).promises:
        assert (it.delivered is None) <= (it.demanded is None)
        if it.demanded is None:
            assert it.delivered is None


def test_a_name_that_several_resources_bear_is_told_once_with_their_count() -> None:
    row = next(row for row in sample.results(24, hostile=False).findings)
    many = [
        replace(row, status=Status.NOT_APPLICABLE, resource_id=f"/p/{number}", resource_name="DefaultPolicy")
        for number in range(3)
    ]
    (it,) = causes.exemptions(many, {}, SHIPPED.texts())
    assert (it.count, it.which) == (3, "DefaultPolicy (3)")


def test_a_report_for_one_framework_counts_its_rules_alone() -> None:
    results = annexed.results(40)
    whole = view.build(results, view.Presentation(framework="iso_27001_2022"))
    part = view.of_framework(whole)
    assert whole.framework is not None
    assert {rule.id for rule in part.rules} == whole.framework.rules
    assert 0 < len(part.rules) < len(whole.rules)
    fails = sum(row.status is Status.FAIL and row.rule in whole.framework.rules for row in whole.findings)
    assert part.statuses[Status.FAIL] == fails < whole.statuses[Status.FAIL]
    assert next(it for it in part.figures if it.key == Status.FAIL).count == fails
    severities = part.charts["severities"]
    assert isinstance(severities, Chart)
    assert sum(bar.parts[0].value for bar in severities.bars) == fails
    assert all(rule in whole.framework.rules for machine in part.machines for rule in machine.statuses)
    assert all(
        f"rule={rule.id}&" not in it.query for it in part.actions for rule in whole.rules if rule not in part.rules
    )
    assert (
        f"{len(part.rules)} of {len(whole.rules)} rules that test controls of ISO/IEC 27001:2022 Annex A"
        in part.headline
    )
    assert "in conformity" not in part.headline
    assert view.of_framework(view.build(results)) == view.build(results)
