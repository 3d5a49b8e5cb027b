from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor import standard
from auditor.errors import DocumentError
from auditor.standard.durations import days, hours
from auditor.standard.selector import TAG_SEPARATOR, Match, quote

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.standard.schema import Waiver

SHIPPED = standard.default_path().read_text(encoding="utf-8")


def read_changed(folder: Path, old: str, new: str) -> standard.Standard:
    assert old in SHIPPED
    path = folder / "standard.yaml"
    path.write_text(SHIPPED.replace(old, new), encoding="utf-8")
    return standard.read(path)


def test_the_shipped_standard_demands_what_the_product_promises() -> None:
    hybrid = standard.read(standard.default_path()).tiers["hybrid"]
    assert hybrid.backup is not None
    assert hybrid.snapshot is not None
    assert [hybrid.backup.daily.keep, hybrid.backup.weekly.keep, hybrid.backup.monthly.keep] == ["30d", "12w", "84mo"]
    assert hybrid.snapshot.daily_keep == "7d"


def test_durations_are_days_and_hours() -> None:
    assert (days("24h"), days("7d"), days("12w")) == (1, 7, 84)
    assert days("84mo") == days("7y") == 2556.75
    assert hours("6h") == 6


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-7d", "7D", "1e3d", "7d ", None])
def test_what_is_no_duration_is_refused(text: str) -> None:
    if text == "7d ":
        assert days(text) == 7
    else:
        with pytest.raises(ValueError, match="is not a duration"):
            days(text)


def test_tiers_inherit_deeply_and_lists_replace() -> None:
    tiers = standard.read(standard.default_path()).tiers
    critical, dev = tiers["mission_critical"], tiers["dev_test"]
    assert critical.backup is not None
    assert (critical.backup.monthly.keep, critical.backup.weekly.keep) == ("84mo", "13w")
    assert dev.backup is not None
    assert (dev.backup.daily.keep, dev.backup.weekly.keep, dev.backup.require_all_disks) == (None, "4w", True)
    assert tiers["snapshot_only"].backup is None
    assert tiers["snapshot_only"].severity_shift == -1
    assert tiers["zonal_residency"].severity_shift == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rpo_tolerance: 6h", "rpo_tolerence: 6h", ["did you mean 'rpo_tolerance'?"]),
        ("max_gap: 1d", "max_gap: soon", ["'soon' is not a duration"]),
        ("extends: hybrid\n    rpo: 6h", "extends: hybird\n    rpo: 6h", ["no", "'hybrid'"]),
        ("tier: dev_test}", "tier: dev_tset}", ["tier 'dev_tset' does not exist", "'dev_test'"]),
        ("default_tier: hybrid", "default_tier: gold", ["tier 'gold' does not exist"]),
        ("max_missing_pct: 3", "max_missing_pct: 300", ["less than or equal to 100"]),
        ("tier: mission_critical}", "tier: none}", ["name owner, reason and review_on"]),
        ("name: production,", "name: mission-critical,", ["defined twice"]),
        ("match: {tag: {environment: [prod, production]}}", "match: {}", ["match is empty"]),
        ("approver_not_requester: true", "approver_not_requester: false", ["not possible in this release"]),
        ("compensating_control, approver,", "compensating_controll, approver,", ["'compensating_control'"]),
        ("Premium_LRS: null", "Premium_LRS: -1", ["greater than or equal to 0"]),
        ("Premium_LRS: null", "Premium_LRS: .inf", ["finite number"]),
        ("min_month: 50", "min_month: -50", ["greater than or equal to 0"]),
        ("accept: [GeoRedundant]", "accept: []", ["at least 1 item"]),
        ("daily:   {keep: 30d,  max: null}", "daily:   {keep: 30d,  max: 7d}", ["max 7d is shorter than keep 30d"]),
        ("bands: [7d, 30d, 90d]", "bands: [90d, 30d, 7d]", ["in ascending order"]),
        ("per_disk: {warn: 10", "per_disk: {warn: 31", ["warn, bad and limit_guard in ascending order"]),
        ("effective_from: 2026-11-22", "effective_from: soon", ["must be a date such as 2026-12-31"]),
    ],
)
def test_mistakes_name_file_line_and_remedy(tmp_path: Path, old: str, new: str, told: list[str]) -> None:
    with pytest.raises(DocumentError) as caught:
        read_changed(tmp_path, old, new)
    said = str(caught.value)
    line = SHIPPED[: SHIPPED.index(old)].count("\n") + 1
    lines = {line, line + old.count("\n")}
    assert any(f"standard.yaml:{number}: " in said for number in lines), said
    for words in told:
        assert words in said


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("new_vm_grace: 24h", "new_vm_grace: 99999999999y", "longer than 1000 years"),
        ("new_vm_grace: 24h", "new_vm_grace: 1000.1y", "longer than 1000 years"),
        ("high: 14", "high: 99999999999", "36500"),
        ("high: 14", "high: 0", "greater than or equal to 1"),
        ("high: 14", "high: -14", "greater than or equal to 1"),
    ],
)
def test_a_time_that_nobody_sees_end_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(DocumentError, match=r"standard\.yaml:\d+: ") as caught:
        read_changed(tmp_path, old, new)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a\n", "standard.yaml:1: must be a block of `key: value` lines"),
        ("just words\n", "standard.yaml:1: must be a block of `key: value` lines"),
        ("standard: 5\n", "standard.yaml:1: standard: must be a block of `key: value` lines"),
        ("standard: {name: ' ', version: 1}\n", "standard.yaml:1: standard.name: must say something"),
        ("owner_tags: x\n", "standard.yaml:1: owner_tags: must be a list"),
    ],
)
def test_a_standard_of_another_shape_is_told_in_plain_words(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "standard.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        standard.read(tmp_path / "standard.yaml", "standard.yaml")
    assert told in str(caught.value)
    assert "StandardFile" not in str(caught.value)


def test_one_mistake_in_a_tier_is_told_once_though_others_inherit_it(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        read_changed(tmp_path, "max_gap: 1d", "max_gap: soon")
    assert len(caught.value.faults) == 1


def test_tiers_that_extend_each_other_are_refused_and_each_loop_told_once(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="hybrid -> mission_critical -> hybrid") as caught:
        read_changed(tmp_path, "  hybrid:\n    rpo: 24h", "  hybrid:\n    extends: mission_critical\n    rpo: 24h")
    assert len(caught.value.faults) == 1


WAIVER = """
waivers:
  - id: W-1
    rule: vm-unprotected
    match: {resource_group: rg-a}
    reason: r
    compensating_control: c
    requester: Ann
    approver: Bob
    approved_on: 2026-01-01
    expires_on: 2026-12-31
    ticket: T-1
"""


def read_waivers(folder: Path, text: str) -> list[Waiver]:
    path = folder / "waivers.yaml"
    path.write_text(text, encoding="utf-8")
    return standard.read_waivers(path, standard.read(standard.default_path()))


def test_a_waiver_is_read(tmp_path: Path) -> None:
    (waiver,) = read_waivers(tmp_path, WAIVER)
    assert (waiver.id, waiver.expires_on) == ("W-1", date(2026, 12, 31))
    assert read_waivers(tmp_path, "# none yet\n") == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("approver: Bob", "approver: ' ann '", "same person"),
        ("expires_on: 2026-12-31", "expires_on: 2027-06-01", "the standard allows 365"),
        ("expires_on: 2026-12-31", "expires_on: 2025-12-31", "lies before"),
        ("reason: r", "reson: r", "did you mean 'reason'?"),
        ("    ticket: T-1\n", "", "'waivers.0.ticket' is missing"),
        ("match: {resource_group: rg-a}", "match: {}", "match is empty"),
        ("expires_on: 2026-12-31", "expires_on: someday", "expires_on"),
        ("reason: r", "reason: '  '", "waivers.0.reason"),
        ("compensating_control: c", 'compensating_control: "\\t"', "waivers.0.compensating_control"),
        ("ticket: T-1", "ticket: ' '", "waivers.0.ticket"),
        ("id: W-1", "id: ' '", "waivers.0.id"),
        ("match: {resource_group: rg-a}", 'match: {resource_id: "*"}', "selects everything"),
        ("match: {resource_group: rg-a}", 'match: {resource_group: [rg-a, " ** "]}', "selects everything"),
        (
            "match: {resource_group: rg-a}",
            'match: {any: [{resource_group: a}, {subscription: "*"}]}',
            "selects everything",
        ),
        ("match: {resource_group: rg-a}", 'match: {all: [{resource_id: "*"}]}', "selects everything"),
    ],
)
def test_a_bad_waiver_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_waivers(tmp_path, WAIVER.replace(old, new))
    assert told in str(caught.value)
    assert "waivers.yaml:" in str(caught.value)


def test_a_waiver_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="given twice"):
        read_waivers(tmp_path, WAIVER + WAIVER.replace("\nwaivers:", ""))


def selected(match: Match, **row: object) -> bool:
    con = duckdb.connect()
    tags = row.get("tags", {})
    assert isinstance(tags, dict)
    con.execute(
        "CREATE TABLE r AS SELECT $id AS resource_id, $rg AS resource_group, $sub AS subscription_id, "
        "$name AS subscription_name, $groups::VARCHAR[] AS management_groups, $pairs::VARCHAR[] AS tag_pairs",
        {
            "id": row.get("resource_id", "/x"),
            "rg": row.get("resource_group", "RG-A"),
            "sub": row.get("subscription_id", "0-1"),
            "name": row.get("subscription_name", "Production"),
            "groups": row.get("management_groups", ["mg-prod"]),
            "pairs": [f"{k.lower()}{TAG_SEPARATOR}{v.lower()}" for k, v in tags.items()],
        },
    )
    found = con.execute(f"SELECT {match.sql('r')} FROM r").fetchone()
    assert found is not None
    return bool(found[0])


@pytest.mark.parametrize(
    ("match", "row", "hit"),
    [
        ({"tag": {"Environment": ["PROD"]}}, {"tags": {"environment": "Prod"}}, True),
        ({"tag": {"environment": "prod"}}, {"tags": {"environment": "preprod"}}, False),
        ({"tag": {"a": "1", "b": "2"}}, {"tags": {"a": "1"}}, False),
        ({"tag": {"tier": 1}}, {"tags": {"tier": "1"}}, True),
        ({"tag": {"owner": ""}}, {"tags": {"owner": ""}}, True),
        ({"resource_group": "rg-*"}, {"resource_group": "RG-App"}, True),
        ({"resource_group": "rg-[a]"}, {"resource_group": "rg-a"}, False),
        ({"resource_group": "rg-[a]"}, {"resource_group": "rg-[a]"}, True),
        ({"resource_group": "rg-[a]*"}, {"resource_group": "rg-[A]-1"}, True),
        ({"resource_group": "rg-?-*"}, {"resource_group": "rg-a-1"}, True),
        ({"resource_group": "rg-a*"}, {"resource_group": "x-rg-a"}, False),
        ({"subscription": "production"}, {}, True),
        ({"subscription": "0-1"}, {}, True),
        ({"management_group": "MG-Prod"}, {}, True),
        ({"management_group": "mg-dev"}, {}, False),
        ({"any": [{"subscription": "x"}, {"resource_group": "rg-a"}]}, {}, True),
        ({"all": [{"subscription": "x"}, {"resource_group": "rg-a"}]}, {}, False),
        ({"resource_id": "/SUBSCRIPTIONS/*"}, {"resource_id": "/subscriptions/1"}, True),
        ({"tag": {"k": "it's; DROP TABLE r"}}, {"tags": {"k": "IT'S; drop table r"}}, True),
    ],
)
def test_selectors_select(match: dict[str, object], row: dict[str, object], *, hit: bool) -> None:
    assert selected(Match.model_validate(match), **row) is hit


@given(st.text())
def test_no_text_breaks_out_of_a_literal(text: str) -> None:
    found = duckdb.execute(f"SELECT {quote(text)}").fetchone()
    assert found == (text.replace("\x00", ""),)
