"""The charts: their numbers are the run's, their sentences say no more, their drawings hold still on paper."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor import numerals
from auditor.model import CALENDAR_DAYS, Calendar, Status
from auditor.report import drawing, page, view
from auditor.report.charts import Chart, HeatMap, Line, Trend, copies, coverage, points, trend
from auditor.report.templates import SHIPPED
from tests.formats import sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.model import Machine

KINDS = ("nasty", "clean", "unknown", "incomplete", "empty")
TEXTS = SHIPPED.texts()
SUNDAY = date(2026, 11, 22)


def _machine(number: int, **values: Any) -> Machine:
    made = sample.results(60, hostile=False).machines[0]
    return replace(made, resource_id=f"/vm/{number:04d}", name=f"vm{number:04d}", **values)


def _bars(chart: Chart) -> dict[str, list[int]]:
    return {bar.name: [part.value for part in bar.parts] for bar in chart.bars}


@pytest.mark.parametrize("kind", KINDS)
def test_every_chart_has_a_sentence_a_description_and_a_whole_table(kind: str) -> None:
    report = view.build(sample.results(kind=kind))
    assert set(report.charts) == {
        "outcomes", "severities", "freshness", "areas", "runs", "subscriptions", "classes", "days", "retention",
        "snapshots",
    }  # fmt: skip
    for key, chart in report.charts.items():
        assert key == chart.key
        assert chart.takeaway
        assert not chart.takeaway.endswith(".")
        assert chart.description.endswith(".")
        assert {len(row) for row in chart.table.rows} <= {1 + len(chart.table.columns)}
        assert bool(chart.table.rows) or not chart.drawn


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_use_nothing_that_weasyprint_or_a_strict_policy_would_drop(kind: str) -> None:
    report = view.build(sample.results(kind=kind))
    template = "{% import 'charts.svg.html' as svg with context %}{{ svg.chart(chart, 'x', 400) }}"
    for chart in (it for it in report.charts.values() if it.drawn):
        drawn = page.environment(report).from_string(template).render(chart=chart)
        assert drawn.count("<svg") == drawn.count("<title") == drawn.count("<desc") == 1
        assert not re.search(r"style=|var\(|filter|foreignObject|<script|<b>|NaN|inf\b", drawn)
        for name, x, width in re.findall(r'<rect class="([^"]+)" x="([^"]+)" y="[^"]+" width="([^"]+)"', drawn):
            assert float(x) >= 0, name
            assert float(x) + float(width) <= 400.01, (chart.key, name)


def test_coverage_counts_active_protection_only_and_tells_the_least_covered_first() -> None:
    states = ["protected"] * 3 + ["stopped", "snapshot_only", "unknown"]
    machines = [_machine(n, protection=it, subscription_id="a", class_="prod") for n, it in enumerate(states)]
    machines += [_machine(9, protection="protected", subscription_id="b", class_=None)]
    machines += [_machine(10, protection="unprotected", subscription_id="a", excluded_code="spot")]
    chart = coverage.by_subscription(machines, {"a": "Sub <A>", "b": "Sub B"}, TEXTS)
    assert _bars(chart) == {"Sub <A>": [2, 1, 3], "Sub B": [0, 0, 1]}
    assert chart.takeaway == (
        "In 1 of 2 subscriptions with VMs judged every VM is protected; least in Sub <A>, with 3 of 6; "
        "for 1 VM it is not known"
    )
    assert _bars(coverage.by_class(machines, TEXTS)) == {"prod": [2, 1, 3], "no class": [0, 0, 1]}
    assert coverage.by_class(machines[6:7], TEXTS).takeaway == "Every VM of the one class is protected"


def test_where_nothing_was_read_no_chart_says_that_anything_is_unprotected_or_missing() -> None:
    report = view.build(sample.results(kind="unknown"))
    said = {key: chart.takeaway for key, chart in report.charts.items()}
    assert said["subscriptions"] == said["classes"]
    assert said["subscriptions"] == "Of none of the 46 VMs judged is it known whether it is protected"
    assert re.search(r"; \d+ verdicts are unknown$", said["retention"])
    assert said["days"].startswith("No day can be judged")
    assert re.match(r"0 fails and \d{3} unknown now; ", said["runs"])
    assert copies.ages((), report.tiers, "EUR", TEXTS).takeaway == "No snapshot was found"


def test_many_subscriptions_are_told_together_beyond_the_least_covered() -> None:
    machines = [_machine(n, subscription_id=f"s{n}", protection="protected") for n in range(40)]
    machines[33] = replace(machines[33], protection="unprotected")
    chart = coverage.by_subscription(machines, {f"s{n}": f"s{n}" for n in range(40)}, TEXTS)
    assert len(chart.bars) == coverage.MOST_GROUPS + 1
    assert chart.bars[0].label == "s33"
    assert chart.bars[-1].label == "28 other subscriptions"
    assert sum(bar.total for bar in chart.bars) == 40


def test_a_calendar_tells_promised_from_found_and_joins_gaps() -> None:
    calendar = Calendar(SUNDAY, promised=0b1111111, found=0b101_0000_1000)
    assert calendar.letters.endswith("...x.x.---+---")
    assert len(calendar.letters) == CALENDAR_DAYS
    days = {SUNDAY - timedelta(days=n): calendar.letters[-1 - n] for n in range(CALENDAR_DAYS)}
    assert [day for day, letter in days.items() if letter == "+"] == [SUNDAY - timedelta(days=3)]
    assert [day for day, letter in days.items() if letter == "x"] == [SUNDAY - timedelta(days=n) for n in (8, 10)]
    assert calendar.gaps() == [
        (SUNDAY - timedelta(days=6), SUNDAY - timedelta(days=4)),
        (SUNDAY - timedelta(days=2), SUNDAY),
    ]
    assert drawing.spans(calendar) == "2026-11-16 \N{EN DASH} 2026-11-18, 2026-11-20 \N{EN DASH} 2026-11-22"
    assert Calendar(SUNDAY, 0, 0b11).gaps() == []


def test_the_weeks_of_a_calendar_begin_on_monday() -> None:
    placed = drawing.weeks(Calendar(SUNDAY, 0b1111111111, 0))
    assert [(it.column, it.row) for it in placed] == [(0, 4), (0, 5), (0, 6), *((1, row) for row in range(7))]
    assert placed[-1].day == SUNDAY
    assert [it.letter for it in placed] == ["-"] * 10


def test_the_heat_map_counts_every_promised_day_once() -> None:
    machines = [
        _machine(1, calendar=Calendar(SUNDAY, 0b1111, 0b1111)),
        _machine(2, calendar=Calendar(SUNDAY - timedelta(days=1), 0b111, 0b100)),
        _machine(3, calendar=Calendar(SUNDAY, 0, 0b1)),
        _machine(4, calendar=None),
        _machine(5, calendar=Calendar(SUNDAY, 0b1, 0), excluded_code="spot"),
    ]
    chart = points.days(machines, TEXTS)
    assert chart.takeaway == "5 of 7 promised days have a recovery point (71.4 %)"
    assert chart.first == SUNDAY - timedelta(days=3)
    everyone, worst = chart.strips
    assert everyone.label == "all 2 VMs"
    assert everyone.cells == (0.0, 0.5, 0.5, 0.0)
    assert (worst.label, worst.cells, worst.longest) == ("vm0002", (0.0, 1.0, 1.0, None), 2)
    assert chart.table.rows == (("all 2 VMs", "7", "2", "2"), ("vm0002", "3", "2", "2"))
    assert drawing.stretches(worst) == [(0, 1, 0), (1, 2, 4)]


def test_the_heat_map_tells_the_worst_vms_and_how_many_more_there_are() -> None:
    machines = [_machine(n, calendar=Calendar(SUNDAY, 2**28 - 1, 2**28 - 2 ** (n + 1))) for n in range(20)]
    chart = points.days(machines, TEXTS)
    assert [it.label for it in chart.strips[1:3]] == ["vm0019", "vm0018"]
    assert len(chart.strips) == points.MOST_MACHINES + 1
    assert "The 12 that lack most of 20 are shown." in chart.description


def test_where_no_day_can_be_judged_a_sentence_says_so() -> None:
    chart = points.days([_machine(1, calendar=None)], TEXTS)
    assert not chart.drawn
    assert chart.takeaway.startswith("No day can be judged")


def test_retention_charts_the_verdicts_that_the_table_tells() -> None:
    report = view.build(sample.results(200))
    chart = report.charts["retention"]
    assert isinstance(chart, Chart)
    for row in report.promises:
        for word, verdicts in (("promised", row.promised), ("delivered", row.delivered)):
            if row.demanded is None or verdicts is None:
                continue
            name = f"{row.tier}, {row.kind} for {numerals.ENGLISH.keep(row.demanded)}: {word}"
            drawn = next(bar for bar in chart.bars if bar.name == name)
            told = {Status(part.key): part.value for part in drawn.parts if part.value}
            assert told == {s: n for s, n in verdicts.counts if s is not Status.NOT_APPLICABLE}
            assert drawn.total == verdicts.of


def _snapshots(*rows: tuple[float | None, int | None, float | None]) -> Sequence[Any]:
    made = sample.results(60).snapshots[0]
    return [replace(made, age_hours=age, size_gib=size, month_cost=cost) for age, size, cost in rows]


def test_snapshots_have_a_size_and_a_cost_only_where_the_standard_has_prices() -> None:
    tiers = sample.results(60).tiers
    unpriced = copies.ages(_snapshots((24, 10, None), (24 * 40, 100, None)), tiers, "EUR", TEXTS)
    assert unpriced.takeaway == "1 of 2 snapshots is older than 7 d, up to 100 GiB"
    assert unpriced.table.columns == ("Snapshots", "Size of the disks")
    assert "names no prices" in unpriced.description
    some = _snapshots((24, 10, 0.5), (24 * 40, 100, 5.0), (24 * 40, 100, None), (None, None, None))
    priced = copies.ages(some, tiers, "EUR", TEXTS)
    assert priced.takeaway == "2 of 4 snapshots are older than 7 d, up to 200 GiB and at most 5.00 EUR a month"
    assert priced.table.rows[2] == ("over 30 d to 90 d", "2", "200 GiB", "5.00 EUR, 1 without a price")
    assert priced.table.rows[-1][:2] == ("not known", "1")
    assert "an estimate" in priced.description


def test_a_first_run_has_no_trend_and_says_so() -> None:
    chart = trend.runs(sample.past_runs(1), TEXTS)
    assert not chart.drawn
    assert chart.takeaway == "This is the first run that this store remembers; a trend needs two"
    assert not trend.runs((), TEXTS).drawn


def test_runs_of_another_scope_or_standard_stand_apart_and_are_not_compared() -> None:
    runs = sample.past_runs(4)
    mixed = (runs[0], replace(runs[1], standard="strict 2.0.0"), replace(runs[2], scope="other"), runs[3])
    chart = trend.runs(mixed, TEXTS)
    assert chart.apart == ("", "standard strict 2.0.0", "another scope", "")
    edited = (runs[0], replace(runs[1], standard_digest="old"), replace(runs[3], standard_digest="new"))
    assert trend.runs(edited, TEXTS).apart == ("", "standard hybrid 1.0.0, edited since", "")
    assert chart.takeaway == "40 fails and 0 unknown now; 49 and 0 in the run of 2026-11-01 06:00 UTC"
    assert chart.table.rows[1] == (
        "2026-11-08 06:00 UTC", "46", "2", "22", "46", "standard strict 2.0.0; evidence incomplete",
    )  # fmt: skip
    spots = drawing.spots(chart, chart.lines[0], (0, 300), (10, 110))
    assert [it.joined for it in spots] == [True, False, False, True]
    assert [it.x for it in spots] == [0, 100, 200, 300]
    assert spots[0].y == 10
    alone = trend.runs(mixed[1:], TEXTS)
    assert alone.takeaway == "None of the 2 earlier runs can be compared with this one"


def test_the_words_at_the_lines_ends_do_not_stand_on_each_other() -> None:
    lines = (Line("fail", "fail", (5, 6)), Line("unknown", "unknown", (7, 6)))
    chart = replace(trend.runs(sample.past_runs(2), TEXTS), lines=lines)
    assert isinstance(chart, Trend)
    (_, _, upper), (_, _, lower) = drawing.ends(chart, 0, 100)
    assert lower - upper >= 12


def test_a_long_label_is_cut_to_its_room_and_hides_nothing() -> None:
    cut = drawing.fit("rtl-\u202egpj.exe" + "x" * 300, 11, 120)
    assert cut.startswith("rtl-[U+202E]")
    assert cut.endswith("…")
    assert drawing.wide([cut], 11) <= 120


def test_dates_stand_over_mondays_as_close_as_there_is_room() -> None:
    chart = points.days([_machine(1, calendar=Calendar(SUNDAY, 2**28 - 1, 2**28 - 1))], TEXTS)
    assert isinstance(chart, HeatMap)
    assert drawing.mondays(chart, 10, 34) == [(0, "10-26"), (7, "11-02"), (14, "11-09"), (21, "11-16")]
    assert drawing.mondays(chart, 3, 34) == [(7, "11-02"), (21, "11-16")]
