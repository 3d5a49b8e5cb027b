"""Bugs of other tools in telling which machine is protected, and which need not be. See the package's docstring."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditor.inventory.facts import tables
from auditor.model import Severity, Status
from auditor.report import values
from auditor.report.templates import SHIPPED
from auditor.simulator import Estate
from tests.audits import AS_OF, Audited, audit
from tests.azure.runs import hurried

if TYPE_CHECKING:
    from pathlib import Path

    from auditor.inputs import Inputs
    from auditor.model import Finding, Machine, Results

pytestmark = pytest.mark.slow

RETENTION = ("retention-daily-below-standard", "retention-weekly-below-standard", "retention-monthly-below-standard")


def machines(results: Results, name: str) -> list[Machine]:
    return [machine for machine in results.machines if machine.name.lower() == name]


def machine(made: Audited, name: str) -> Machine:
    (found,) = machines(made.results, name)
    return found


def finding(results: Results, rule: str, name: str) -> Finding:
    (found,) = (row for row in results.findings if row.rule == rule and row.resource_name == name)
    return found


@pytest.fixture(scope="module")
def protection(company: Audited) -> dict[str, dict[str, Any]]:
    """Give the row of the table `protection` of each machine whose name is its own."""
    rows = company.rows("SELECT v.resource_name, p.* FROM vm v JOIN protection p ON p.vm_no = v.resource_no")
    names = Counter(row["resource_name"] for row in rows)
    return {row["resource_name"]: row for row in rows if names[row["resource_name"]] == 1}


def source_ids(estate: Estate) -> dict[str, str]:
    """Give the ids that the items name, as Azure writes them: friendly name -> sourceResourceId."""
    items = (item for vault in estate.vaults.values() for item in vault.items.values())
    return {item.properties["friendlyName"]: item.properties["sourceResourceId"] for item in items}


def test_fixture_01_an_id_in_capitals_is_the_same_machine(company: Audited, estate: Estate) -> None:
    written = {name: text.split("/") for name, text in source_ids(estate).items()}
    assert (written["vmtest"][4], written["vmtest"][-1]) == ("RG-APP", "VMTEST")
    cased = {name: words[4] for name, words in written.items() if words[4].lower() == "rg-app" and name != "app01"}
    assert set(cased.values()) == {"rg-App", "RG-APP", "rg-app"}
    for name in cased:
        assert machine(company, name).protection == "protected"
        assert machine(company, name).statuses["vm-unprotected"] is Status.PASS


def test_fixture_02_of_two_machines_of_one_name_one_is_protected(company: Audited) -> None:
    found = machines(company.results, "web01")
    assert {m.resource_group.lower(): m.protection for m in found} == {"rg-one": "protected", "rg-two": "unprotected"}
    assert len({m.subscription_id for m in found}) == 1
    assert sorted(m.statuses["vm-unprotected"] for m in found) == [Status.FAIL, Status.PASS]


def test_fixture_03_of_one_name_in_three_subscriptions_one_is_protected(company: Audited, estate: Estate) -> None:
    found = {m.subscription_id: m.protection for m in machines(company.results, "app01")}
    assert found == {
        estate.subscription_id("a"): "unprotected",
        estate.subscription_id("b"): "protected",
        estate.subscription_id("c"): "unprotected",
    }


def test_fixture_04_a_vault_in_another_subscription_protects(company: Audited, estate: Estate) -> None:
    far = machine(company, "far")
    assert far.subscription_id == estate.subscription_id("a")
    assert (far.item_id or "").split("/")[2] == estate.subscription_id("b")
    assert (far.protection, far.vault_name, far.policy_name) == ("protected", "rsv-b", "std")
    assert {
        far.statuses[rule] for rule in ("vm-unprotected", "vm-protection-stopped", "backup-rpo-breached", *RETENTION)
    } == {Status.PASS}


def test_fixture_06_stopped_protection_with_points_is_none_and_keeps_no_promise(company: Audited) -> None:
    stopped = machine(company, "stopped")
    assert (stopped.protection, stopped.point_count) == ("stopped", 64)
    assert stopped.statuses["vm-protection-stopped"] is Status.FAIL
    assert Status.PASS not in {stopped.statuses[rule] for rule in (*RETENTION, "vm-unprotected", "backup-rpo-breached")}
    assert set(stopped.promised_days.values()) == {None}
    assert "64 points are kept" in finding(company.results, "vm-protection-stopped", "stopped").reason


def test_fixture_07_a_softly_deleted_item_is_no_protection_and_its_days_are_counted(company: Audited) -> None:
    deleted = machine(company, "deleted")
    assert deleted.protection == "soft_deleted"
    # Its tags and its kind are right whatever became of its backup.
    others = {
        rule: status
        for rule, status in deleted.statuses.items()
        if rule not in ("vm-tier-unassigned", "vm-backup-unsupported")
    }
    assert Status.PASS not in others.values()
    found = finding(company.results, "vm-protection-stopped", "deleted")
    assert (found.status, found.severity, found.reason_code) == (Status.FAIL, Severity.CRITICAL, "item_soft_deleted")
    assert found.evidence["purge_in_days"] == 11
    assert ("erased for good in", "11 d") in values.common([found], SHIPPED.texts())


def test_fixture_08_a_first_backup_is_in_grace_then_due_and_2001_is_no_date(tmp_path: Path) -> None:
    def run(moment: datetime) -> Audited:
        document = {
            "subscriptions": {"a": {}},
            "vaults": {"a/rg/rsv": {}},
            "vms": [{"name": "pending", "in": "a/rg", "age": "3d", "backup": {"vault": "rsv", "state": "IRPending"}}],
        }
        served = Estate.from_dict(document, moment)
        (item,) = (item for vault in served.vaults.values() for item in vault.items.values())
        assert item.properties["lastBackupTime"] == "2001-01-01T00:00:00Z"
        return audit(served, tmp_path, as_of=moment, patience=hurried())

    first = run(AS_OF)
    assert machine(first, "pending").protection == "initial_backup_pending"
    assert first.rows("SELECT last_backup_at FROM raw.protected_item") == [{"last_backup_at": None}]
    rule = "vm-initial-backup-pending"
    assert finding(first.results, rule, "pending").status is Status.NOT_YET_DUE
    assert finding(first.results, rule, "pending").evidence["matures_at"] == "2026-11-23T06:00:00Z"
    late = run(AS_OF + timedelta(hours=25)).results
    assert finding(late, rule, "pending").status is Status.FAIL
    assert machines(late, "pending")[0].statuses["vm-unprotected"] is Status.PASS


def test_fixture_09_points_count_and_not_what_the_item_says_of_its_last_backup(company: Audited) -> None:
    stale, fresh = machine(company, "stale-field"), machine(company, "fresh-field")
    assert 0 < (stale.newest_point_age_hours or 0) < 24
    assert stale.statuses["backup-rpo-breached"] is Status.PASS
    assert fresh.newest_point_age_hours == 90
    assert fresh.statuses["backup-rpo-breached"] is Status.FAIL


def test_fixture_10_of_items_in_two_vaults_the_newest_active_one_counts_and_both_are_told(
    company: Audited, protection: dict[str, dict[str, Any]]
) -> None:
    chosen = {"newer-in-c": "rsv-c", "newer-in-a": "rsv-a", "left-a-for-c": "rsv-c"}
    for name, vault in chosen.items():
        assert machine(company, name).vault_name == vault
        assert protection[name]["item_count"] == 2
        assert {"/rsv-a/", "/rsv-c/"} == {v for v in ("/rsv-a/", "/rsv-c/") if v in protection[name]["all_items"]}
    assert machine(company, "newer-in-c").newest_point_age_hours == 3
    assert protection["left-a-for-c"]["all_items"].count("(stopped)") == 1
    # Moved to another group it has another id: the item of the old one is kept, and is not taken for its own.
    assert (protection["moved"]["vault_name"], protection["moved"]["item_count"]) == ("rsv-c", 1)
    items = company.rows("SELECT vault_id, vm_id FROM raw.protected_item WHERE friendly_name = 'moved'")
    assert {(i["vault_id"].rsplit("/")[-1], i["vm_id"].split("/")[4]) for i in items} == {
        ("rsv-a", "rg-old"),
        ("rsv-c", "rg-new"),
    }


def test_fixture_11_an_item_whose_machine_is_gone_is_an_orphan_and_no_machine(company: Audited) -> None:
    assert machines(company.results, "gone") == []
    assert "gone" not in {row.resource_name for row in company.results.findings if row.resource_type == "vm"}
    assert finding(company.results, "protected-item-orphaned", "gone").status in (Status.FAIL, Status.NOT_YET_DUE)
    sql = (
        "SELECT i.datasource_deleted, v.resource_id AS vm FROM raw.protected_item i "
        "LEFT JOIN vm v ON v.resource_id = i.vm_id WHERE i.friendly_name = 'gone'"
    )
    assert company.rows(sql) == [{"datasource_deleted": True, "vm": None}]


def test_fixture_19_a_weekly_policy_is_held_against_the_weekly_demand(company: Audited) -> None:
    daily, weekly, monthly = RETENTION
    for name, of_daily, of_monthly in (
        ("weekly", Status.FAIL, Status.FAIL),
        ("weekly-dev", Status.NOT_APPLICABLE, Status.NOT_APPLICABLE),
    ):
        found = machine(company, name)
        assert (found.promised_days["daily"], found.promised_days["weekly"]) == (None, 52 * 7)
        assert found.statuses[weekly] is Status.PASS
        assert (found.statuses[daily], found.statuses[monthly]) == (of_daily, of_monthly)
    # No day without a point is missing where none was promised.
    assert machine(company, "weekly").statuses["recovery-points-missing"] is Status.NOT_APPLICABLE


EXCLUDED = {
    "aks-node": "managed_rg",
    "dbx-worker": "managed_rg",
    "dbx-stray": "image_publisher",
    "aro-master": "managed_rg",
    "spot": "spot",
    "avd-pool-0": "ephemeral_stateless",
}


def test_fixture_20_machines_of_services_are_left_out_and_counted_and_a_name_alone_excludes_nothing(
    company: Audited, other_standard: Inputs
) -> None:
    def excluded(results: Results) -> dict[str, str]:
        return {m.name: m.excluded_code for m in results.machines if m.excluded_code is not None}

    assert excluded(company.results) == EXCLUDED
    for name in EXCLUDED:
        assert set(machine(company, name).statuses.values()) == {Status.NOT_APPLICABLE}
    vms = company.results.population[0]
    assert vms.not_applicable == Counter(EXCLUDED.values())
    assert vms.in_scope + len(EXCLUDED) == vms.total == len(company.results.machines)
    for name in ("in-mc-fake", "ephemeral-with-data"):
        assert machine(company, name).statuses["vm-unprotected"] is Status.FAIL
    # Instances of flexible scale sets are machines, unless the standard leaves them out.
    assert machine(company, "flex_0").statuses["vm-unprotected"] is Status.FAIL
    again = company.judged_again(other_standard)
    assert excluded(again) == EXCLUDED | {"flex_0": "scale_set_member"}


def test_fixture_21_the_case_of_a_tag_makes_no_other_class_and_a_conflict_is_seen(
    company: Audited, other_standard: Inputs
) -> None:
    rows = company.rows(
        "SELECT resource_name, class, tier, class_conflict FROM vm WHERE starts_with(resource_name, 'tagged')",
        other_standard,
    )
    assert {row.pop("resource_name"): tuple(row.values()) for row in rows} == {
        "tagged-1": ("first", "mission_critical", False),
        "tagged-2": ("first", "mission_critical", False),
        "tagged-3": ("first", "mission_critical", False),
        "tagged-dev": ("second", "dev_test", False),
        "tagged-twice": (None, "hybrid", True),
    }


def test_fixture_22_only_the_named_tag_exempts_a_snapshot_and_until_its_day_only(company: Audited) -> None:
    def told(moment: datetime) -> dict[str, str]:
        results = company.judged_again(as_of=moment)
        codes = {row.resource_name: row.reason_code for row in results.findings if row.rule == "snapshot-stale"}
        return {s.name: codes.get(s.name, "pass") for s in results.snapshots if s.name != "of-big"}

    never = {"housekeeping": "too_old", "keep": "too_old", "keep-for-ever": "end_unreadable"}
    assert told(AS_OF) == never | {"keep-until": "end_too_far"}
    assert told(datetime(2026, 12, 2, 12, tzinfo=UTC)) == never | {"keep-until": "pass"}
    assert told(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == never | {"keep-until": "pass"}
    assert told(datetime(2027, 1, 1, 0, 1, tzinfo=UTC)) == never | {"keep-until": "end_has_passed"}


def test_fixture_23_the_size_of_a_snapshot_is_an_upper_bound_and_no_cost(company: Audited) -> None:
    evidence = finding(company.results, "snapshot-stale", "of-big").evidence
    assert (evidence["size_gib"], evidence["incremental"]) == (1024, True)
    assert not [name for name in evidence if "cost" in name or "price" in name]
    (documented,) = (column for column in tables()["snapshot"] if column.name == "size_gib")
    assert "upper bound" in documented.doc


def test_fixture_24_an_item_without_the_data_disks_is_told(
    company: Audited, protection: dict[str, dict[str, Any]]
) -> None:
    names = ("state", "disk_count", "excluded_disk_count", "newest_point_disks_included", "newest_point_disks_attached")
    told = {name: tuple(protection[name][key] for key in names) for name in ("os-only", "none-of-four", "all-of-four")}
    assert told == {
        "os-only": ("protected", 5, 4, 1, 5),
        "none-of-four": ("protected", 5, 4, 1, 5),
        "all-of-four": ("protected", 5, 0, 5, 5),
    }
    failed = {
        name: finding(company.results, "vm-disk-excluded", name).reason_code for name in ("os-only", "none-of-four")
    }
    assert failed == dict.fromkeys(failed, "excluded_by_choice")
    assert machine(company, "all-of-four").statuses["vm-disk-excluded"] is Status.PASS
