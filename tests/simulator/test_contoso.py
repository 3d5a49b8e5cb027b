"""The sample estate expects of itself what the rules say, at whatever hour it is loaded."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from auditor.simulator import Estate
from tests.simulator.oracle import (
    SNAPSHOT_RULES,
    VAULT_RULES,
    VM_RULES,
    governance,
    readiness,
    verdicts,
)  # fmt: skip
from tests.simulator.wire import AS_OF, CONTOSO

if TYPE_CHECKING:
    from auditor.simulator import Simulator

HOURS = [
    AS_OF,
    datetime(2026, 11, 22, 22, 3, tzinfo=UTC),
    datetime(2026, 11, 23, 1, 45, tzinfo=UTC),
    datetime(2027, 1, 3, 2, 5, tzinfo=UTC),  # a weekly backup runs just now
    datetime(2027, 3, 28, 12, 0, tzinfo=UTC),  # summer time begins, which Azure Backup ignores
    datetime(2028, 2, 29, 18, 29, tzinfo=UTC),
    *(AS_OF + timedelta(days=n, hours=3 * n + 1, minutes=7 * n) for n in range(1, 9)),
]


@pytest.mark.parametrize("as_of", HOURS, ids=str)
def test_every_expectation_is_what_the_rules_give(as_of: datetime) -> None:
    estate = Estate.load(CONTOSO, as_of)
    judged = verdicts(estate)
    expected = {key: (verdict["status"], verdict.get("severity")) for key, verdict in estate.expectations.items()}
    # A rule that the estate speaks of, it speaks of wholly; the others are the oracle's alone.
    spoken = {rule for rule, _ in expected}
    wrong = {}
    for key, (status, severity) in judged.items():
        if key[0] not in spoken:
            continue
        wanted, grade = expected.get(key, ("pass", None))
        if status != wanted or (grade is not None and grade != severity):
            wrong[key[0], key[1].rpartition("/")[2]] = ((status, severity), (wanted, grade))
    assert wrong == {}
    assert expected.keys() <= judged.keys()


def test_the_company_looks_like_one(contoso: Estate) -> None:
    failing = {
        identifier
        for (_, identifier), verdict in contoso.expectations.items()
        if verdict["status"] == "fail" and "/virtualmachines/" in identifier
    }
    total = len(contoso.machines)
    assert total >= 60
    assert 0.75 <= 1 - len(failing) / total <= 0.85
    assert len(contoso.subscriptions) == 9
    assert len(contoso.vaults) == 9
    assert len(contoso.disk_documents) >= 80
    assert len(contoso.snapshot_documents) >= 25


def test_every_rule_fails_somewhere_and_every_status_occurs(contoso: Estate) -> None:
    found = Counter((rule, verdict["status"]) for (rule, _), verdict in contoso.expectations.items())
    failing = {rule for (rule, _), (status, _) in verdicts(contoso).items() if status == "fail"}
    # Of some rules a first run only sees it begin.
    late = {"vm-initial-backup-pending", "oldest-point-younger-than-retention"}
    assert set(VM_RULES + SNAPSHOT_RULES) - failing == late
    assert {status for _, status in found} == {"fail", "not_applicable", "not_yet_due"}


def test_every_rule_on_vaults_fails_and_passes_somewhere(contoso: Estate) -> None:
    found = {(rule, status) for (rule, _), (status, _) in verdicts(contoso).items()}
    asked = set(VAULT_RULES) - {"vault-cmk-missing"}  # the default standard demands no key
    assert {(rule, status) for rule in asked for status in ("pass", "fail")} <= found


def test_governance_and_readiness_pass_somewhere_and_fail_somewhere(contoso: Estate) -> None:
    found = {(rule, status) for (rule, _), (status, _) in verdicts(contoso).items()}
    for rule in (*governance.RULES, *governance.VM_RULES, *readiness.RULES):
        assert {(rule, "pass"), (rule, "fail")} <= found, rule


def test_two_subscriptions_share_a_display_name(contoso: Estate) -> None:
    names = Counter(subscription.name for subscription in contoso.subscriptions.values())
    assert names["Pay-As-You-Go"] == 2


def test_ids_of_one_machine_are_spelt_in_several_ways(contoso: Estate) -> None:
    sources = [
        item.properties["sourceResourceId"] for vault in contoso.vaults.values() for item in vault.items.values()
    ]
    machines = {machine.id for machine in contoso.machines}
    lower = {identifier.lower() for identifier in machines}
    known = [source for source in sources if source.lower() in lower]
    assert 5 < sum(source not in machines for source in known) < len(known)
    assert any(source.startswith("/Subscriptions/") for source in sources)
    vmtest = next(source for source in sources if source.lower().endswith("/vmtest01"))
    assert vmtest.endswith("/RG-WEB-PROD-WEU/providers/Microsoft.Compute/virtualMachines/VMTEST01")


def test_a_vault_may_be_in_another_subscription_than_the_machine(company: Simulator) -> None:
    across = [
        item
        for vault in company.estate.vaults.values()
        for item in vault.items.values()
        if vault.place.subscription not in item.properties["sourceResourceId"].lower()
    ]
    assert len(across) > 20


TYPES = {
    "resources": {
        "microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets", "microsoft.compute/disks",
        "microsoft.compute/snapshots", "microsoft.compute/restorepointcollections",
        "microsoft.recoveryservices/vaults", "microsoft.dataprotection/backupvaults",
        "microsoft.dataprotection/resourceguards", "microsoft.alertsmanagement/actionrules",
        "microsoft.insights/actiongroups",
    },
    "resourcecontainers": {
        "microsoft.management/managementgroups", "microsoft.resources/subscriptions",
        "microsoft.resources/subscriptions/resourcegroups",
    },
    "recoveryservicesresources": {
        "microsoft.recoveryservices/vaults/backuppolicies", "microsoft.recoveryservices/vaults/backupjobs",
        "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems",
        "microsoft.recoveryservices/vaults/replicationfabrics/replicationprotectioncontainers/replicationprotecteditems",
        "microsoft.dataprotection/backupvaults/backuppolicies", "microsoft.dataprotection/backupvaults/backupinstances",
    },
    "policyresources": {
        "microsoft.authorization/policyassignments", "microsoft.authorization/policysetdefinitions",
        "microsoft.authorization/policyexemptions", "microsoft.policyinsights/policystates",
    },
    "authorizationresources": {"microsoft.authorization/roleassignments"},
}  # fmt: skip


@pytest.mark.parametrize("table", TYPES)
def test_every_table_has_rows_of_every_type(contoso: Estate, table: str) -> None:
    rows = list(contoso.rows(table))
    assert {row["type"] for row in rows} == TYPES[table]
    identifiers = [row["id"].lower() for row in rows]
    assert len(set(identifiers)) == len(identifiers)


def items(contoso: Estate) -> dict[str, list[tuple[str, bool]]]:
    """Name of a machine -> protection state of each of its items, and whether it is softly deleted."""
    found: dict[str, list[tuple[str, bool]]] = {}
    for vault in contoso.vaults.values():
        for item in vault.items.values():
            if item.properties["backupManagementType"] == "AzureIaasVM":
                state = (item.properties["protectionState"], item.properties["isScheduledForDeferredDelete"])
                found.setdefault(item.properties["friendlyName"], []).append(state)
    return found


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("crm-app-01", [("Protected", False)]),
        ("erp-app-03", [("IRPending", False)]),
        ("crm-print", [("ProtectionStopped", False)]),
        ("erp-test", [("ProtectionStopped", True)]),
        ("files-14", [("BackupsSuspended", False)]),
        ("sap-router", [("ProtectionError", False)]),
        ("adfs-01", [("Protected", False), ("ProtectionStopped", True)]),
        ("adfs-02", [("Protected", False), ("ProtectionStopped", False)]),
        ("crm-mail", [("Protected", False), ("ProtectionStopped", False)]),
        ("crm-edge", [("ProtectionError", False)]),
        ("erp-old", [("Protected", False)]),
    ],
)
def test_every_state_of_protection_occurs(contoso: Estate, name: str, states: list[tuple[str, bool]]) -> None:
    assert sorted(items(contoso)[name]) == states


def test_there_are_machines_that_something_else_copies_and_machines_that_cannot_be_backed_up(contoso: Estate) -> None:
    machines = {machine.name: machine for machine in contoso.machines}
    without = machines.keys() - items(contoso).keys()
    assert {"erp-web-01", "ops-db-01", "fs-clu-01", "fs-clu-02", "cache-01", "media-nas", "fab-edge-01"} <= without
    rows = list(contoso.rows("recoveryservicesresources"))
    replicated = {
        row["properties"]["friendlyName"] for row in rows if row["type"].endswith("/replicationprotecteditems")
    }
    assert replicated == {"erp-web-01", "erp-app-01"}
    copied = {row["properties"]["friendlyName"] for row in rows if row["type"].endswith("/backupinstances")}
    ops = machines["ops-db-01"]
    assert ops.os_disk
    assert {disk.name for disk in (ops.os_disk, *ops.data_disks)} <= copied
    assert machines["cache-01"].ephemeral
    assert machines["cache-01"].data_disks
    assert len(machines["media-nas"].data_disks) == 33
    assert machines["fs-clu-01"].data_disks[-1].shared == 2


def test_the_ids_of_moved_machines_are_no_machines(contoso: Estate) -> None:
    known = {machine.id.lower() for machine in contoso.machines}
    lost = {
        item.properties["friendlyName"]
        for vault in contoso.vaults.values()
        for item in vault.items.values()
        if item.properties["sourceResourceId"].lower() not in known
    }
    assert lost == {"crm-mail", "crm-edge", "erp-old"}


def test_a_customer_is_managed_too(contoso: Estate) -> None:
    tenants = {row["tenantId"] for row in contoso.rows("resources")}
    assert len(tenants) == 2
    assert contoso.tenant_id in tenants
