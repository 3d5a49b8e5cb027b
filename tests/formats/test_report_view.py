"""The view model: what is counted, grouped and said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from auditor.model import Severity, Status
from auditor.report import causes, page, remedy, view, wording
from tests.formats import sample

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
    outcomes = next(chart for chart in report.charts if chart.key == "outcomes")
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


@pytest.mark.parametrize(
    ("count", "of", "said"),
    [
        (999_999, 1_000_000, "99.9 %"),
        (1, 100_000, "under 0.1 %"),
        (5, 5, "100 %"),
        (0, 5, "0 %"),
        (0, 0, wording.DASH),
        (2, 3, "66.6 %"),
    ],
)
def test_a_share_is_never_rounded_up(count: int, of: int, said: str) -> None:
    assert wording.share(count, of) == said


@pytest.mark.parametrize(
    ("hours", "said"),
    [(24.009, "24 h"), (24.01, "24.01 h"), (95.999, "95.99 h"), (96, "4 d"), (100.9, "4.2 d"), (None, wording.DASH)],
)
def test_an_age_is_cut_not_rounded(hours: float | None, said: str) -> None:
    assert wording.age(hours) == said


@pytest.mark.parametrize(
    ("days", "said"),
    [(30, "30 d"), (84, "84 d"), (84 * 30.4375, "7 y"), (60 * 30.4375 + 30.4375, "61 mo"), (365.25, "1 y")],
)
def test_a_retention_is_written_in_the_largest_exact_unit(days: float, said: str) -> None:
    assert wording.keep(days) == said


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


def test_a_bar_s_parts_fill_its_length_and_small_ones_can_be_seen() -> None:
    lengths = page.spread([100_000, 1, 0, 1], 300)
    assert sum(lengths) == pytest.approx(300, abs=0.05)
    assert lengths[1] >= 3
    assert lengths[2] == 0


def test_severities_are_ranked_worst_first_inside_a_status() -> None:
    told = [cause for cause in view.build(sample.results(machines=400)).causes if cause.status is Status.FAIL]
    assert told[0].severity is Severity.CRITICAL
    assert all(left.severity.rank <= right.severity.rank for left, right in pairwise(told))
