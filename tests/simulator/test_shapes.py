"""The simulator's answers against real and documented ones: every path, every type, the same envelopes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditor.simulator import Estate, Quota, Simulator
from tests.simulator.shapes import lacking
from tests.simulator.wire import AS_OF, MACHINES, ask, get, send, small

if TYPE_CHECKING:
    from auditor.simulator.backup import Vault

PAYLOADS = Path(__file__).parent / "payloads"


def payload(name: str) -> Any:
    """Read a payload; unwrap it where it is wrapped."""
    document = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
    return document.get("body", document) if isinstance(document, dict) else document


def vault(company: Simulator, name: str) -> Vault:
    return next(vault for vault in company.estate.vaults.values() if vault.name == name)


def compute(company: Simulator, kind: str) -> Any:
    """All rows of a compute list over all subscriptions, in one envelope."""
    rows: list[Any] = []
    for subscription in company.estate.subscriptions.values():
        rows += get(company, f"/subscriptions/{subscription.id}/providers/Microsoft.Compute/{kind}").body["value"]
    return {"value": rows}


LISTS = {
    "arm_virtualmachines_list_2019-03-01.c7n": ("virtualMachines", [
        ".value[].properties.diagnosticsProfile.bootDiagnostics.storageUri",  # managed boot diagnostics have none
    ]),
    "arm_virtualmachines_list_2024-11-01.c7n": ("virtualMachines", [
        ".value[].identity",                                                 # no machine here has an identity
        ".value[].properties.diagnosticsProfile.bootDiagnostics.storageUri",
        ".value[].properties.osProfile.windowsConfiguration.enableVMAgentPlatformUpdates",
    ]),
    "arm_disks_list_2018-09-30.c7n": ("disks", []),
    "arm_snapshots_list_2020-09-30.c7n": ("snapshots", [
        ".value[].properties.encryption.diskEncryptionSetId",                # platform keys everywhere
    ]),
    "arm_snapshots_list_2023-10-02.spec": ("snapshots", [
        ".value[].properties.encryptionSettingsCollection",                  # no Azure Disk Encryption here
        ".value[].properties.creationData.storageAccountId",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_compute_lists_have_the_shape_of_azures(company: Simulator, name: str) -> None:
    kind, exceptions = LISTS[name]
    sample = payload(name)
    ours = compute(company, kind)
    assert lacking(sample, ours, exceptions) == []
    assert sample.keys() == ours.keys()


def test_an_incremental_snapshot_has_the_shape_of_azures(company: Simulator) -> None:
    rows = [row for row in compute(company, "snapshots")["value"] if row["properties"]["incremental"]]
    exceptions = [
        ".properties.purchasePlan",  # marketplace images only
        ".properties.supportedCapabilities",
        ".properties.supportsHibernation",
    ]
    sample = payload("arm_snapshot_incremental_get_2023-10-02.spec")
    merged = {"value": rows}
    assert lacking({"value": [sample]}, merged, [f".value[]{path}" for path in exceptions]) == []


def test_a_restore_point_collection_has_the_shape_of_azures(company: Simulator) -> None:
    query = "resources | where type =~ 'microsoft.compute/restorepointcollections' | order by id asc"
    row = ask(company, query).body["data"][0]
    sample = payload("arm_restorePointCollection_with_points_2024-03-01.spec")
    sample["type"] = sample["type"].lower()
    # Restore points are children that Resource Graph does not show.
    assert lacking(sample, row, [".properties.restorePoints", ".tags"]) == []


def test_vaults_have_the_shape_of_azures(company: Simulator) -> None:
    bare = get(company, vault(company, "vault935").id).body
    assert lacking(payload("rs_vaults_list_2023-01-01.c7n")["value"][0], bare) == []
    assert bare["properties"].keys() == {"provisioningState", "publicNetworkAccess"}
    exceptions = [
        ".properties.privateEndpointConnections[]",  # no private endpoints here
        ".properties.securitySettings.sourceScanConfiguration.sourceScanIdentity",  # scanning is off
    ]
    assert lacking(payload("rs_vault_get_2025-02-01.spec"), vault(company, "rsv-sap-weu").document, exceptions) == []
    listed = get(
        company,
        f"/subscriptions/{company.estate.subscription_id('spare')}/providers/Microsoft.RecoveryServices/vaults",
    ).body
    assert listed.keys() == payload("rs_vaults_list_2023-01-01.c7n").keys()


def test_items_have_the_shape_of_azures(company: Simulator) -> None:
    home = vault(company, "rsv-backup-weu-01").id
    listed = get(company, f"{home}/backupProtectedItems", filter="backupManagementType eq 'AzureIaasVM'").body
    sample = payload("rsb_backupProtectedItems_list.spec")
    assert lacking(sample, listed) == []
    assert sample.keys() == listed.keys()
    one = get(company, listed["value"][0]["id"]).body
    assert lacking(payload("rsb_protectedItem_get_compute.spec"), one) == []


def test_an_item_that_never_ran_is_told_as_azure_tells_it(company: Simulator) -> None:
    home = vault(company, "rsv-backup-weu-01").id
    rows = get(company, f"{home}/backupProtectedItems", filter="friendlyName eq 'erp-app-03'").body["value"]
    ours = get(company, rows[0]["id"], filter="expand eq 'extendedinfo'").body
    sample = payload("rsb_protectedItem_never_backed_up_IRPending.docs")
    assert lacking(sample, ours) == []
    for key in ("protectionState", "lastBackupStatus", "lastBackupTime"):
        assert ours["properties"][key] == sample["properties"][key]
    assert "lastRecoveryPoint" not in ours["properties"]


def test_recovery_points_have_the_shape_of_azures(company: Simulator) -> None:
    rows: list[Any] = []
    for name in ("erp-archive", "crm-sql-01"):
        home = vault(company, "rsv-backup-weu-01").id
        found = get(company, f"{home}/backupProtectedItems", filter=f"friendlyName eq '{name}'").body["value"]
        answer = get(company, f"{found[0]['id']}/recoveryPoints").body
        rows += answer["value"]
    sample = payload("rsb_recoveryPoints_list.spec")
    exceptions = [
        ".value[].properties.extendedLocation",  # no edge zones here
        ".value[].properties.recoveryPointMoveReadinessInfo.Archive",  # the example contradicts itself: ArchivedRP
        ".value[].properties.recoveryPointTierDetails[].extendedInfo",
    ]
    assert lacking(sample, {"value": rows, "nextLink": None}, exceptions) == []
    assert sample.keys() == answer.keys()
    statuses = {
        (tier["type"], tier["status"]) for row in rows for tier in row["properties"]["recoveryPointTierDetails"]
    }
    assert statuses >= {
        ("InstantRP", "Valid"), ("InstantRP", "Deleted"), ("HardenedRP", "Valid"), ("HardenedRP", "Deleted"),
        ("ArchivedRP", "Rehydrated"),
    }  # fmt: skip


def policy(company: Simulator, home: str, name: str) -> Any:
    return get(company, f"{vault(company, home).id}/backupPolicies/{name}").body


def test_policies_have_the_shape_of_azures(company: Simulator) -> None:
    sample = payload("rsb_backupPolicies_list_v1_and_v2.spec")
    rows = [policy(company, "rsv-backup-weu-01", name) for name in ("std-daily", "long-daily")]
    assert lacking(sample, {"value": rows}) == []
    weekly = payload("rsb_backupPolicy_v1_weekly_no_daily.spec")
    ours = policy(company, "rsv-backup-weu-02", "weekly-52w")
    assert lacking(weekly, ours, [".properties.retentionPolicy.yearlySchedule"]) == []
    assert "dailySchedule" not in ours["properties"]["retentionPolicy"]
    assert "policyType" not in ours["properties"]
    hourly = payload("rsb_backupPolicy_v2_hourly_ltr.spec")
    assert lacking(hourly, policy(company, "rsv-sap-weu", "tier0-hourly")) == []


def test_jobs_have_the_shape_of_azures(company: Simulator) -> None:
    ours = get(company, f"{vault(company, 'rsv-backup-weu-01').id}/backupJobs").body
    sample = payload("rsb_backupJobs_list.spec")
    assert lacking(sample, ours) == []
    timespan = payload("rsb_backupJob_dotnet_timespan_duration.fog")
    assert lacking({"value": [timespan]}, ours, [".value[].properties.extendedInfo"]) == []
    assert ours["value"][0]["properties"]["duration"].count(":") == 2


def test_vault_configurations_have_the_shape_of_azures(company: Simulator) -> None:
    home = vault(company, "rsv-dev-weu").id
    config = get(company, f"{home}/backupconfig/vaultconfig").body
    assert lacking(payload("rsb_vaultconfig_get.spec"), config) == []
    storage = get(company, f"{home}/backupstorageconfig/vaultstorageconfig").body
    assert lacking(payload("rsb_vaultstorageconfig_get_2024-10-01.spec"), storage) == []


def test_policy_states_have_the_shape_of_azures(company: Simulator) -> None:
    scope = f"/subscriptions/{company.estate.subscription_id('prod-eu')}"
    path = f"{scope}/providers/Microsoft.PolicyInsights/policyStates/latest/queryResults?api-version=2019-10-01"
    ours = send(company, "POST", path).body
    sample = payload("policyStates_queryResults_subscription.spec")
    # The assignment is of a definition, not of an initiative: it has no groups.
    assert lacking(sample, ours, [".value[].policyDefinitionGroupNames"]) == []
    assert sample.keys() == ours.keys()


def test_the_graphs_table_form_is_the_recorded_one(company: Simulator) -> None:
    sample = payload("arg_query_resources_virtualmachines_table_format.c7n")
    names = [column["name"] for column in sample["data"]["columns"]]
    query = f"resources | where type =~ 'microsoft.compute/virtualmachines' | project {', '.join(names)}"
    ours = ask(company, query, resultFormat="table").body
    assert ours.keys() == sample.keys()
    assert ours["data"]["columns"] == sample["data"]["columns"]
    key = {name: position for position, name in enumerate(names)}

    def rows(body: Any) -> Any:
        return {"rows": [{name: row[at] for name, at in key.items()} for row in body["data"]["rows"]]}

    exceptions = [".rows[].properties.diagnosticsProfile.bootDiagnostics.storageUri"]
    assert lacking(rows(sample), rows(ours), exceptions) == []


@pytest.mark.parametrize(
    ("name", "query", "top"),
    [
        ("arg_query_next_page.spec", "resources | project id, name, type, location | order by id asc", 3),
        ("arg_query_management_group.spec", "Resources | project id, name, type, location, tags | limit 3", 1000),
    ],
)
def test_the_graphs_envelope_has_exactly_azures_keys(company: Simulator, name: str, query: str, top: int) -> None:
    sample, ours = payload(name), ask(company, query, top=top).body
    assert ours.keys() == sample.keys()
    assert lacking(sample, ours) == []


def test_subscription_rows_have_the_shape_of_azures(company: Simulator) -> None:
    query = "resourcecontainers | where type =~ 'microsoft.resources/subscriptions' | order by id asc"
    rows = ask(company, query).body["data"]
    sample = payload("arg_row_subscription.public16435633901")
    # Nobody from another tenant manages these subscriptions.
    assert lacking([sample], rows, ["[].properties.managedByTenants[]"]) == []
    above = payload("arg_query_mg_ancestors.demisto503136018")["data"][0]
    chain = above["properties_managementGroupAncestorsChain"]
    ours = rows[0]["properties"]["managementGroupAncestorsChain"]
    assert lacking(chain, ours) == []
    assert ours[-1]["displayName"] == chain[-1]["displayName"] == "Tenant Root Group"


def test_a_disk_backup_instance_has_the_shape_of_azures(company: Simulator) -> None:
    query = "recoveryservicesresources | where type =~ 'microsoft.dataprotection/backupvaults/backupinstances'"
    row = ask(company, query).body["data"][0]
    # These three are columns that the command line tool of the sample's page adds.
    exceptions = [".datasourceId", ".protectionState", ".vaultName"]
    assert lacking(payload("arg_row_dataprotection_backupinstance_disk.docs"), row, exceptions) == []


def test_throttling_has_azures_envelope() -> None:
    sample = payload("arg_error_429_rate_limiting.issue3325")
    with Simulator(Estate.from_dict(small(), AS_OF), quota=Quota(queries=0)) as simulator:
        ours = ask(simulator, MACHINES).body
    assert lacking(sample, ours) == []
    assert ours["error"]["details"] == sample["error"]["details"]


def test_a_payload_too_large_has_azures_envelope() -> None:
    sample = {"error": payload("arg_error_response_payload_too_large.issue199")["error"]}
    with Simulator(Estate.from_dict(small(), AS_OF), quota=None, payload_limit=10) as simulator:
        ours = ask(simulator, MACHINES).body
    assert lacking(sample, ours) == []
    assert ours["error"].keys() == sample["error"].keys()


ITEM_KEYS = {
    "backupManagementType", "protectedItemType", "workloadType", "friendlyName", "containerName", "sourceResourceId",
    "dataSourceId", "virtualMachineId", "dataSourceInfo", "vaultId", "policyId", "policyName", "policyInfo",
    "protectionState", "currentProtectionState", "protectionStatus", "healthStatus", "lastBackupStatus",
    "lastBackupTime", "lastRecoveryPoint", "configuredMaximumRetention", "configuredRPGenerationFrequency",
    "extendedInfo", "isScheduledForDeferredDelete", "isRehydrate", "isArchiveEnabled", "isDatasourceDeleted",
    "softDeleteRetentionPeriod", "policyType", "protectedItemDataId",
}  # fmt: skip
"""No real row could be found; these are the properties that two public scripts list from live rows."""


def test_graph_rows_of_items_have_the_properties_seen_in_the_field(company: Simulator) -> None:
    query = (
        "recoveryservicesresources | where type =~ "
        "'microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems' "
        "| where properties.backupManagementType =~ 'AzureIaasVM' | project id, properties | order by id asc"
    )
    rows = ask(company, query).body["data"]
    assert set().union(*(row["properties"] for row in rows)) >= ITEM_KEYS
    gone = [row["properties"] for row in rows if row["properties"]["isScheduledForDeferredDelete"]]
    assert {(p["protectionState"], p["currentProtectionState"]) for p in gone} == {("ProtectionStopped", "SoftDeleted")}
    stopped = [row["properties"] for row in rows if row["properties"]["protectionState"] == "ProtectionStopped"]
    assert {p["policyId"] for p in stopped} == {""}
