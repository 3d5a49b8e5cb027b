from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from auditor.inventory import catalogue, facts, store
from auditor.inventory.store import Page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

AS_OF = datetime(2026, 11, 22, 6, tzinfo=UTC)
VAULT = "/subscriptions/S1/resourceGroups/RG/providers/Microsoft.RecoveryServices/vaults/V"
ITEM = f"{VAULT}/backupFabrics/Azure/protectionContainers/IaasVMContainer;c/protectedItems/VM;c"


def graph(*rows: Mapping[str, Any]) -> Page:
    return Page(None, json.dumps({"totalRecords": len(rows), "count": len(rows), "data": rows}).encode())


def listed(*rows: Mapping[str, Any], subject: str | None = None) -> Page:
    return Page(subject, json.dumps({"value": rows}).encode(), "rest")


def build(folder: Path, **pages: Sequence[Page]) -> Path:
    store.build(folder, lambda table: pages.get(table, ()), AS_OF)
    return folder


def rows(folder: Path, table: str, columns: str = "columns(*)::VARCHAR") -> list[tuple[Any, ...]]:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    return con.execute(f"SELECT {columns} FROM read_parquet('{folder / table}.parquet') ORDER BY 1").fetchall()


def item(item_id: str = ITEM, **properties: Any) -> dict[str, Any]:
    return {"id": item_id, "name": "VM;c", "properties": {"backupManagementType": "AzureIaasVM", **properties}}


def test_all_tables_are_made_even_without_a_page(tmp_path: Path) -> None:
    build(tmp_path)
    for table in catalogue.tables():
        assert rows(tmp_path, table.name) == []


def test_ids_are_lower_cased_and_a_row_told_twice_is_one(tmp_path: Path) -> None:
    vm = {"id": "/subscriptions/AB/resourceGroups/RG/providers/Microsoft.Compute/virtualMachines/VM", "name": "VM"}
    build(tmp_path, vm=[graph(vm), graph({**vm, "id": vm["id"].lower()})])
    assert rows(tmp_path, "vm", "resource_id, lower(resource_group), subscription_id") == [
        ("/subscriptions/ab/resourcegroups/rg/providers/microsoft.compute/virtualmachines/vm", "rg", "ab")
    ]


def test_tags_that_differ_only_in_case_and_odd_values_survive(tmp_path: Path) -> None:
    tags = {"Tier": "a", "TIER": "b", "=cmd()": "<script>", "empty": ""}
    build(tmp_path, vm=[graph({"id": "/subscriptions/s/resourceGroups/g/x/y/vm", "tags": tags})])
    ((found,),) = rows(tmp_path, "vm", "tags")
    assert dict(found) == tags


@pytest.mark.parametrize(
    "properties",
    [None, {}, {"storageProfile": []}, {"storageProfile": {"dataDisks": {}}}, {"timeCreated": "soon"}, "text"],
)
def test_a_body_of_another_shape_becomes_nulls(tmp_path: Path, properties: Any) -> None:
    build(tmp_path, vm=[graph({"id": "/subscriptions/s/resourceGroups/g/p/c/vm", "properties": properties})])
    assert rows(tmp_path, "vm", "created_at::VARCHAR, data_disk_count, disk_ids") == [(None, 0, [])]


def test_what_graph_alone_tells_of_an_item_is_kept_beside_what_its_vault_says(tmp_path: Path) -> None:
    told: dict[str, Any] = {
        "currentProtectionState": "ProtectionStopped",
        "isDatasourceDeleted": True,
        "protectionState": "Protected",
    }
    counted = {"recoveryPointCount": 7, "oldestRecoveryPoint": "2026-01-01T00:00:00Z", "policyInconsistent": True}
    for order in (1, -1):
        pages = [
            graph(item(**told, extendedInfo=counted)),
            listed(item(protectionState="ProtectionStopped"), subject="/v"),
        ]
        folder = build(tmp_path / str(order), protected_item=pages[::order])
        columns = (
            "source, protection_state, current_protection_state, datasource_deleted, stated_point_count, "
            "stated_oldest_point_at IS NOT NULL, policy_inconsistent"
        )
        assert rows(folder, "protected_item", columns) == [
            ("vault", "ProtectionStopped", "ProtectionStopped", True, 7, True, True)
        ]


def test_where_vault_and_graph_both_tell_of_an_item_the_vault_wins(tmp_path: Path) -> None:
    short = ITEM.replace("/backupFabrics/Azure", "").replace("/subscriptions", "/Subscriptions")
    build(
        tmp_path,
        protected_item=[
            graph(item(protectionState="Protected", sourceResourceId="/subscriptions/s/VM")),
            listed(item(short, protectionState="ProtectionStopped", virtualMachineId="subscriptions/s/VM")),
        ],
    )
    assert rows(tmp_path, "protected_item", "resource_id, protection_state, vm_id, source") == [
        (ITEM.lower(), "ProtectionStopped", "/subscriptions/s/vm", "vault")
    ]


def test_the_sentinel_of_an_item_never_backed_up_is_no_time(tmp_path: Path) -> None:
    build(tmp_path, protected_item=[graph(item(lastBackupTime="2001-01-01T00:00:00Z", lastBackupStatus=""))])
    assert rows(tmp_path, "protected_item", "last_backup_at::VARCHAR") == [(None,)]


def point(name: str, when: str, *tiers: tuple[str, str], **more: Any) -> dict[str, Any]:
    details = [{"type": kind, "status": status} for kind, status in tiers]
    tiered = {"recoveryPointTierDetails": details} if tiers else {}
    return {"name": name, "properties": {"recoveryPointTime": when, **tiered, **more}}


def test_a_point_counts_as_vaulted_only_by_a_valid_tier(tmp_path: Path) -> None:
    points = [
        point("1", "2026-11-21T20:00:00.1234567Z", ("InstantRP", "Valid"), ("HardenedRP", "Valid")),
        point("2", "2026-11-20T20:00:00Z", ("InstantRP", "Valid")),
        point("3", "2026-11-19T20:00:00Z", ("InstantRP", "Deleted"), ("HardenedRP", "Disabled")),
        point("4", "2026-11-18T20:00:00Z", ("HardenedRP", "Deleted"), ("ArchivedRP", "Rehydrated")),
        point("5", "2026-11-17T20:00:00Z"),
        point("6", "2026-11-16T20:00:00Z", recoveryPointTierDetails=[]),
    ]
    build(tmp_path, protected_item=[graph(item())], recovery_point=[listed(*points, subject=ITEM.lower())])
    assert rows(tmp_path, "recovery_point", "resource_name, usable, vaulted") == [
        ("1", True, True),
        ("2", True, False),
        ("3", False, False),
        ("4", True, True),
        ("5", True, None),
        ("6", True, None),
    ]


@pytest.mark.parametrize(
    ("zone", "when", "day"),
    [
        ("UTC", "2026-11-21T23:59:59.9999999Z", "2026-11-21"),
        (None, "2026-11-22T00:00:00Z", "2026-11-22"),
        ("W. Europe Standard Time", "2026-11-21T23:30:00Z", "2026-11-22"),
        (
            "W. Europe Standard Time",
            "2026-07-01T22:30:00Z",
            "2026-07-01",
        ),  # 00:30 in summer time, 23:30 in standard time
        ("India Standard Time", "2026-11-21T18:29:59Z", "2026-11-21"),
        ("India Standard Time", "2026-11-21T18:30:00Z", "2026-11-22"),
        ("Pacific Standard Time", "2026-11-22T07:59:00Z", "2026-11-21"),
        ("INDIA standard time", "2026-11-21T18:30:00Z", "2026-11-22"),
        ("Nowhere Standard Time", "2026-11-22T07:59:00Z", None),
    ],
)
def test_days_are_those_of_the_policys_standard_time(
    tmp_path: Path, zone: str | None, when: str, day: str | None
) -> None:
    policy = f"{VAULT}/backupPolicies/P"
    build(
        tmp_path,
        backup_policy=[graph({"id": policy, "properties": {"timeZone": zone, "retentionPolicy": {}}})],
        protected_item=[graph(item(policyId=policy.upper()))],
        recovery_point=[listed(point("1", when), subject=ITEM.lower())],
    )
    assert rows(tmp_path, "recovery_point", "(DATE '1970-01-01' + day_no)::VARCHAR") == [(day,)]


@pytest.mark.parametrize(
    ("schedule", "when", "slot", "hours"),
    [
        ({"scheduleRunTimes": ["2018-01-24T23:55:00Z"]}, "2026-11-20T00:05:00Z", "2026-11-19", 0.1667),
        ({"scheduleRunTimes": ["2018-01-24T23:55:00Z"]}, "2026-11-20T23:56:00Z", "2026-11-20", 0.0167),
        ({"dailySchedule": {"scheduleRunTimes": ["2018-01-24T02:00:00Z"]}}, "2026-11-20T01:00:00Z", "2026-11-19", 23.0),
        (
            {"hourlySchedule": {"scheduleWindowStartTime": "2021-12-17T08:00:00Z"}},
            "2026-11-20T16:00:00Z",
            "2026-11-20",
            8.0,
        ),
        ({}, "2026-11-20T16:00:00Z", "2026-11-20", 16.0),
    ],
)
def test_a_point_belongs_to_the_day_of_its_scheduled_run(
    tmp_path: Path, schedule: dict[str, Any], when: str, slot: str, hours: float
) -> None:
    policy = f"{VAULT}/backupPolicies/P"
    build(
        tmp_path,
        backup_policy=[graph({"id": policy, "properties": {"schedulePolicy": schedule, "retentionPolicy": {}}})],
        protected_item=[graph(item(policyId=policy))],
        recovery_point=[listed(point("1", when), subject=ITEM.lower())],
    )
    found = rows(tmp_path, "recovery_point", "(DATE '1970-01-01' + slot_no)::VARCHAR, slot_hours")
    assert found == [(slot, pytest.approx(hours, abs=0.0002))]


def test_weeks_begin_on_monday_and_months_are_counted(tmp_path: Path) -> None:
    points = [
        point("1", "2026-11-22T12:00:00Z"),
        point("2", "2026-11-23T12:00:00Z"),
        point("3", "2026-12-01T00:00:00Z"),
    ]
    build(tmp_path, protected_item=[graph(item())], recovery_point=[listed(*points, subject=ITEM.lower())])
    (_, week1, month1), (_, week2, month2), (_, _, month3) = rows(
        tmp_path, "recovery_point", "resource_name, week_no, month_no"
    )
    assert week2 == week1 + 1, "2026-11-22 is a Sunday"
    assert (month1, month2, month3) == (2026 * 12 + 10, 2026 * 12 + 10, 2026 * 12 + 11)


def test_every_open_table_and_column_is_documented() -> None:
    assert set(facts.tables()) >= {"vm", "protection", "snapshot", "recovery_point", "expected_day"}
    for name, columns in facts.tables().items():
        assert columns, name
        assert all(column.doc for column in columns)


def test_every_question_can_be_paged() -> None:
    for table in catalogue.tables():
        if table.graph:
            *_, last = table.graph.kql.splitlines()
            assert last == "| order by id asc", table.name
            assert "| project id," in table.graph.kql, table.name
