"""An estate file becomes what it says; a bad one says where it is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor.errors import ExitCode, UsageError
from auditor.simulator import Estate
from tests.simulator.wire import AS_OF, small

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.simulator.backup import Item
    from auditor.simulator.points import Point


def build(**vm: Any) -> Estate:
    document = small(0)
    document["vms"] = [{"name": "one", "in": "a/rg-app", **vm}]
    return Estate.from_dict(document, AS_OF)


def protected(points: dict[str, Any] | None = None, **backup: Any) -> Item:
    estate = build(backup={"vault": "rsv-1", "policy": "std", "points": points, **backup})
    (item,) = (item for vault in estate.vaults.values() for item in vault.items.values())
    return item


def listed(points: dict[str, Any] | None = None, **backup: Any) -> list[Point]:
    return list(protected(points, **backup).points(AS_OF))


def back(point: Point) -> int:
    return (AS_OF.date() - point.taken.date()).days


def test_a_flawless_history_follows_its_policy() -> None:
    points = listed()
    rules = [point.rule for point in points]
    assert points == sorted(points, key=lambda point: point.taken, reverse=True)
    assert {back(point) for point in points} >= set(range(1, 31))
    assert rules.count("Weekly") + rules.count("Monthly") > 12
    assert all(point.expires and point.expires > AS_OF - timedelta(days=1) for point in points)
    assert min(point.taken for point in points) > AS_OF - timedelta(days=900)


def test_points_leave_the_snapshot_tier_after_the_policys_days() -> None:
    valid = [back(point) for point in listed() if ("InstantRP", "Valid") in point.tiers]
    assert valid == [1, 2, 3, 4, 5]


def test_missing_days_have_no_point_and_an_on_demand_point_has_no_rule() -> None:
    points = listed({"missing_days": [3, 4], "on_demand": ["-3d"]})
    assert [point.rule for point in points if back(point) in (3, 4)] == [None]


def test_the_newest_point_can_be_set_to_the_second() -> None:
    points = listed({"newest": "-64h"})
    assert points[0].taken == AS_OF - timedelta(hours=64)
    assert protected({"newest": "-64h"}).properties["lastRecoveryPoint"] == "2026-11-19T14:00:00.0000000Z"


def test_points_can_be_in_the_snapshot_tier_only() -> None:
    young = [point for point in listed({"unvaulted": "5d"}) if back(point) < 5]
    assert {tier for point in young for tier, _ in point.tiers} == {"InstantRP"}


def test_old_points_can_be_archived_and_rehydrated() -> None:
    tiers = {pair for point in listed({"archive_after": "100d"}) for pair in point.tiers}
    assert ("ArchivedRP", "Valid") in tiers
    tiers = {pair for point in listed({"archive_after": "100d", "rehydrated": True}) for pair in point.tiers}
    assert ("ArchivedRP", "Rehydrated") in tiers


def test_points_can_be_soft_deleted() -> None:
    points = listed({"soft_deleted_days": [2]})
    assert [back(point) for point in points if point.soft_deleted] == [2]
    assert all(point.soft_deleted for point in listed({"all_soft_deleted": True}))


def test_counts_can_be_fewer_than_the_policy_promises() -> None:
    points = listed({"daily": 10, "weekly": 3, "monthly": 4})
    assert max(back(point) for point in points) < 130
    assert len(points) < 18


def test_what_a_stopped_protection_kept_is_kept_for_ever() -> None:
    points = listed({"newest": "-400d"}, state="ProtectionStopped")
    assert len([point for point in points if back(point) < 431]) >= 30
    assert {point.expires for point in points} == {None}


def test_a_pending_item_has_the_sentinel_and_no_point() -> None:
    item = protected(state="IRPending")
    assert item.properties["lastBackupTime"] == "2001-01-01T00:00:00Z"
    assert item.properties["lastBackupStatus"] == ""
    assert list(item.points(AS_OF)) == []


def test_a_soft_deleted_item_says_how_long_it_stays() -> None:
    properties = protected(deleted="-3d").properties
    assert properties["isScheduledForDeferredDelete"] is True
    assert properties["protectionState"] == "ProtectionStopped"
    assert properties["deferredDeleteTimeInUTC"].startswith("2026-12-03T06:00")
    assert properties["deferredDeleteTimeRemaining"] == "11.00:00:00"


def test_hourly_policies_vault_the_last_backup_of_a_day_only() -> None:
    document = small(0)
    document["policies"]["hourly"] = {"hourly": {"every": 4}, "keep": {"daily": "30 Days"}, "instant": 7}
    document["vms"] = [{"name": "one", "in": "a/rg-app", "backup": {"vault": "rsv-1", "policy": "hourly"}}]
    estate = Estate.from_dict(document, AS_OF)
    (item,) = (item for vault in estate.vaults.values() for item in vault.items.values())
    points = list(item.points(AS_OF))
    assert len([point for point in points if back(point) == 2]) == 6
    assert len([point for point in points if back(point) == 20]) == 1
    assert len([point for point in points if back(point) == 2 and len(point.tiers) > 1]) == 1


def test_time_zones_keep_standard_time_all_year() -> None:
    document = small(0)
    document["policies"]["west"] = {"daily": "22:00", "zone": "W. Europe Standard Time", "keep": {"daily": "30 Days"}}
    document["vms"] = [{"name": "one", "in": "a/rg-app", "backup": {"vault": "rsv-1", "policy": "west"}}]
    for as_of in (AS_OF, datetime(2026, 7, 1, tzinfo=UTC)):
        estate = Estate.from_dict(document, as_of)
        (item,) = (item for vault in estate.vaults.values() for item in vault.items.values())
        assert next(item.points(as_of)).taken.hour == 21


def test_count_makes_many_machines() -> None:
    estate = Estate.from_dict(small(2500), AS_OF)
    assert len({machine.id for machine in estate.machines}) == 2502
    assert estate.machines[41].name == "vm0042"


def test_hostile_texts_arrive_as_they_are() -> None:
    tags = {"Tier": "a", "TIER": "b", "<script>": "alert('x')\"🚀", "f": "=cmd()", "due": "{+10d}", "gone": None}
    estate = build(name="o'neill <b>;", tags=tags)
    (row,) = (row for row in estate.rows("resources") if row["type"] == "microsoft.compute/virtualmachines")
    assert row["tags"] == {
        "Tier": "a", "TIER": "b", "<script>": "alert('x')\"🚀", "f": "=cmd()", "due": "2026-12-02",
    }  # fmt: skip
    assert row["name"] == "o'neill <b>;"
    json.dumps(row)


def test_absent_things_are_empty_or_null_as_in_resource_graph() -> None:
    (row,) = (row for row in build().rows("resources") if row["type"] == "microsoft.compute/virtualmachines")
    assert {row[key] for key in ("kind", "managedBy")} == {""}
    assert {row[key] for key in ("sku", "plan", "identity", "zones", "tags")} == {None}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"nonsense": {}}, "nonsense"),
        ({"subscriptions": {}}, "subscriptions"),
        ({"subscriptions": {"a": {"group": "mg-none"}}}, "subscriptions.a.group"),
        ({"subscriptions": {"a": {"colour": "red"}}}, "subscriptions.a.colour"),
        ({"resource_groups": {"nowhere/rg": {}}}, "resource_groups.nowhere/rg"),
        ({"policies": {"p": {"daily": "22:00", "keep": {"daily": "many"}}}}, "policies.p.keep.daily"),
        ({"policies": {"p": {"daily": "late", "keep": {}}}}, "policies.p.daily"),
        ({"policies": {"p": {"keep": {}}}}, "policies.p"),
        ({"policies": {"p": {"daily": "22:00", "zone": "Mars"}}}, "policies.p.zone"),
        ({"policies": {"p": {"daily": "22:00", "vaults": ["none"]}}}, "policies.p.vaults"),
        ({"vms": [{"in": "a/rg"}]}, "vms[0].name"),
        ({"vms": [{"name": "x"}]}, "vms[0] (x).in"),
        ({"vms": [{"name": "x", "in": "a/rg", "like": "none"}]}, "vms[0].like"),
        ({"vms": [{"name": "x", "in": "a/rg", "age": "old"}]}, "vms[0] (x).age"),
        ({"vms": [{"name": "x", "in": "a/rg", "os": "vms"}]}, "vms[0] (x).os"),
        ({"vms": [{"name": "x", "in": "a/rg", "expect": {"r": "good"}}]}, "vms[0] (x).expect.r"),
        ({"vms": [{"name": "x", "in": "a/rg", "backup": {"vault": "none"}}]}, "vms[0] (x).backup[0].vault"),
        ({"vms": [{"name": "x", "in": "a/rg", "backup": {"vault": "rsv-1", "policy": "none"}}]},
         "vms[0] (x).backup[0].policy"),
        ({"vms": [{"name": "x", "in": "a/rg", "backup": {"vault": "rsv-1", "state": "Fine"}}]},
         "vms[0] (x).backup[0].state"),
        ({"vms": [{"name": "x", "in": "a/rg", "backup": {"vault": "rsv-1", "points": {"yesterday": 1}}}]},
         "vms[0] (x).backup[0].points.yesterday"),
        ({"snapshots": [{"name": "s", "in": "a/rg", "of": "nobody"}]}, "snapshots[0] (s).of"),
        ({"snapshots": [{"name": "s/t", "in": "a/rg"}]}, "snapshots[0].name"),
        ({"policy_assignments": [{"scope": "moon"}]}, "policy_assignments[0].scope"),
        ({"policy_assignments": [{"initiative": "none"}]}, "policy_assignments[0].initiative"),
        ({"policy_assignments": [{"not_scopes": ["moon"]}]}, "policy_assignments[0].not_scopes"),
        ({"policy_assignments": [{"colour": 1}]}, "policy_assignments[0].colour"),
        ({"policy_assignments": {}}, None),
        ({"policy_assignments": {"x": 1}}, "policy_assignments"),
        ({"initiatives": [{"name": "i", "definitions": [{"reference": "r"}]}]}, "initiatives[0].definitions[0]"),
        ({"initiatives": [{"definitions": ["x"]}]}, "initiatives[0].name"),
        ({"exemptions": [{"assignment": "none"}]}, "exemptions[0].assignment"),
        ({"exemptions": [{"assignment": "backup", "category": "Whim"}]}, "exemptions[0].category"),
        ({"exemptions": [{"assignment": "backup", "expires": "some day"}]}, "exemptions[0].expires"),
        ({"role_assignments": [{"role": "King"}]}, "role_assignments[0].role"),
        ({"role_assignments": [{"kind": "Robot"}]}, "role_assignments[0].kind"),
        ({"role_assignments": [{"scope": "vault:none"}]}, "role_assignments[0].scope"),
        ({"resource_guards": {"a/rg/g": {"colour": 1}}}, "resource_guards.a/rg/g.colour"),
        ({"vaults": {"a/rg/v": {"mua": "a/rg/none"}}}, "vaults.a/rg/v.mua"),
        ({"vaults": {"a/rg/v": {"cmk": {"identity": "i"}}}}, "vaults.a/rg/v.cmk.uri"),
        ({"vaults": {"a/rg/v": {"cmk": {"url": "i"}}}}, "vaults.a/rg/v.cmk.url"),
        ({"vaults": {"a/rg/v": {"diagnostics": [{"name": "d"}]}}}, "vaults.a/rg/v.diagnostics[0]"),
        ({"vaults": {"a/rg/v": {"diagnostics": [{"workspace": "w"}]}}}, "vaults.a/rg/v.diagnostics[0].name"),
        ({"vaults": {"a/rg/v": {"private_endpoints": [{"name": "p", "status": "Fine"}]}}},
         "vaults.a/rg/v.private_endpoints[0].status"),
        ({"policies": {"p": {"daily": "22:00", "archive_after": "soon"}}}, "policies.p.archive_after"),
        ({"policies": {"p": {"daily": "22:00", "keep": {"hourly": "1 Days"}}}}, "policies.p.keep"),
        ({"backup_vaults": {"a/rg/bv": {"colour": 1}}}, "backup_vaults.a/rg/bv.colour"),
        ({"disk_policies": {"d": {"keep": "long"}}}, "disk_policies.d.keep"),
        ({"disk_policies": {"d": {"vaults": ["a/rg/none"]}}}, "disk_policies.d.vaults"),
        ({"disk_backups": [{"in": "a/rg", "of": "bare", "snapshot_group": "a/rg", "policy": "none"}]},
         "disk_backups[0].policy"),
        ({"disk_backups": [{"in": "a/rg", "of": "bare", "snapshot_group": "a/rg", "state": "Fine"}]},
         "disk_backups[0].state"),
        ({"replications": [{"vault": "rsv-1", "of": "bare"}]}, "replications[0].to"),
        ({"replications": [{"vault": "rsv-1", "of": "nobody", "to": "a/rg"}]}, "replications[0].of"),
        ({"scale_sets": [{"name": "s", "in": "a/rg", "mode": "Rigid"}]}, "scale_sets[0] (s).mode"),
        ({"restore_points": [{"name": "r", "in": "a/rg"}]}, "restore_points[0] (r).of"),
        ({"restore_points": [{"name": "r", "in": "a/rg", "of": "bare", "consistency": "Fine"}]},
         "restore_points[0] (r).consistency"),
        ({"alert_rules": [{"name": "x", "in": "a/rg", "action_groups": ["none"]}]}, "alert_rules[0] (x).action_groups"),
        ({"alert_rules": [{"name": "x", "in": "a/rg", "scopes": ["moon"]}]}, "alert_rules[0] (x).scopes"),
        ({"action_groups": [{"name": "x", "in": "a/rg", "sms": 1}]}, "action_groups[0].sms"),
        ({"vms": [{"name": "x", "in": "a/rg", "power": "on"}]}, "vms[0] (x).power"),
        ({"vms": [{"name": "x", "in": "a/rg", "shared_disks": ["none"]}]}, "vms[0] (x).shared_disks"),
        ({"disks": [{"name": "d", "in": "a/rg"}], "vms": [{"names": ["x", "y"], "in": "a/rg", "shared_disks": ["d"]}]},
         "vms[0] (y).shared_disks"),
        ({"vms": [{"name": "x", "in": "a/rg", "backup": {"vault": "rsv-1", "restores": [{"status": "Fine"}]}}]},
         "vms[0] (x).backup[0].restores[0].status"),
        ({"vms": {}}, None),
        ({"vms": {"x": 1}}, "vms"),
    ],
)  # fmt: skip
def test_a_bad_estate_names_the_file_and_the_key(change: dict[str, Any], key: str | None) -> None:
    document = small() | change
    if key is None:
        Estate.from_dict(document, AS_OF)
        return
    with pytest.raises(UsageError) as caught:
        Estate.from_dict(document, AS_OF, source="estates/x.yaml")
    assert caught.value.message.startswith(f"estates/x.yaml: {key}: ")
    assert caught.value.hint


def test_a_file_that_is_no_yaml_or_not_there_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: [1,", encoding="utf-8")
    for wrong in (path, tmp_path / "none.yaml"):
        with pytest.raises(UsageError) as caught:
            Estate.load(wrong, AS_OF)
        assert str(wrong) in caught.value.message


def test_the_server_can_be_started_by_hand_and_refuses_a_bad_estate(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("nonsense: 1\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "auditor.simulator", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.USAGE
    assert "nonsense" in done.stderr


def test_a_scope_can_be_anything_that_has_an_id() -> None:
    document = small() | {"role_assignments": [{"scope": scope} for scope in (
        "mg-a", "a", "a/rg-app", "vault:rsv-1", "vm:bare", "/subscriptions/x/resourceGroups/y",
    )]}  # fmt: skip
    estate = Estate.from_dict(document, AS_OF)
    kinds = [role["properties"]["scope"].rpartition("/")[2] for role in estate.roles]
    assert kinds == ["mg-a", estate.subscription_id("a"), "rg-app", "rsv-1", "bare", "y"]


def test_a_restore_can_be_written_short_or_long() -> None:
    item = protected(restores=["-3d", {"at": "-9d", "minutes": 5}])
    assert [(r.status, r.minutes) for r in item.restores] == [("Completed", 45), ("Completed", 5)]
    assert item.restores[0].started == AS_OF - timedelta(days=3)


def test_what_is_not_said_is_as_azure_makes_it() -> None:
    estate = Estate.from_dict(small(), AS_OF)
    assert {row["type"] for row in estate.rows("policyresources")} == {
        "microsoft.authorization/policyassignments", "microsoft.policyinsights/policystates",
    }  # fmt: skip
    assert list(estate.rows("authorizationresources")) == []
    types = {row["type"] for row in estate.rows("resources")}
    assert types == {
        "microsoft.compute/virtualmachines", "microsoft.compute/disks", "microsoft.compute/restorepointcollections",
        "microsoft.recoveryservices/vaults",
    }  # fmt: skip
