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


def rows(company: Simulator, kind: str, table: str = "resources") -> Any:
    """All rows of a type."""
    return ask(company, f"{table} | where type =~ '{kind}' | order by id asc").body["data"]


def test_a_restore_point_collection_has_the_shape_of_azures(company: Simulator) -> None:
    row = rows(company, "microsoft.compute/restorepointcollections")[0]
    sample = payload("arm_restorePointCollection_with_points_2024-03-01.spec")
    # Restore points are children that Resource Graph does not show.
    assert lacking(sample, row, [".properties.restorePoints", ".tags"]) == []
    assert "restorePoints" not in row["properties"]
    (partner,) = (c for c in company.estate.collections if c.name == "rpc-partner-etl-02")
    assert lacking(sample, send(company, "GET", f"{partner.id}?api-version=2024-03-01&$expand=restorePoints").body, [
        ".properties.restorePoints[].properties.sourceMetadata.osProfile.windowsConfiguration",     # this one is Linux
        ".properties.restorePoints[].properties.sourceMetadata.storageProfile.dataDisks[]",  # the only one is left out
    ]) == []  # fmt: skip
    kept = next(c for c in company.estate.collections if "crm-sql-01" in c.name)
    body = send(company, "GET", f"{kept.id}?api-version=2024-03-01&$expand=restorePoints").body
    assert lacking(sample, body, [".tags", ".properties.restorePoints[].properties.excludeDisks"]) == []


def test_scale_sets_have_the_shape_of_azures(company: Simulator) -> None:
    sample = payload("arm_vmss_list_2019-03-01.c7n")
    assert lacking(sample, compute(company, "virtualMachineScaleSets")) == []
    modes = {row["name"]: row["properties"].get("orchestrationMode") for row in
             rows(company, "microsoft.compute/virtualmachinescalesets")}  # fmt: skip
    assert modes == {"vmss-shop": "Flexible", "aks-user": "Flexible", "vmss-render": None, "vmss-ci": "Uniform"}


def test_vaults_have_the_shape_of_azures(company: Simulator) -> None:
    bare = get(company, vault(company, "vault935").id).body
    assert lacking(payload("rs_vaults_list_2023-01-01.c7n")["value"][0], bare) == []
    assert bare["properties"].keys() == {"provisioningState", "publicNetworkAccess"}
    # Scanning is off, and the identity is the user's.
    scan = ".properties.securitySettings.sourceScanConfiguration.sourceScanIdentity"
    exceptions = [scan, ".identity.principalId", ".identity.tenantId"]
    guarded = vault(company, "rsv-backup-weu-01").document
    assert lacking(payload("rs_vault_get_2025-02-01.spec"), guarded, exceptions) == []
    with_key = payload("rs_vault_with_cmk_2025-08-01.spec")
    for found in (with_key, guarded := json.loads(json.dumps(guarded))):
        # The keys of this object are ids.
        found["identity"]["userAssignedIdentities"] = list(found["identity"]["userAssignedIdentities"].values())
    assert lacking(with_key, guarded) == []
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
    rows = [policy(company, "rsv-backup-weu-01", name) for name in ("DefaultPolicy", "std-daily")]
    assert lacking(sample, {"value": rows}) == []
    weekly = payload("rsb_backupPolicy_v1_weekly_no_daily.spec")
    ours = policy(company, "rsv-backup-weu-02", "weekly-52w")
    assert lacking(weekly, ours, [".properties.retentionPolicy.yearlySchedule"]) == []
    assert "dailySchedule" not in ours["properties"]["retentionPolicy"]
    assert "policyType" not in ours["properties"]
    tiering = policy(company, "rsv-backup-weu-01", "std-archive")["properties"]["tieringPolicy"]
    assert tiering == {"ArchivedRP": {"tieringMode": "TierAfter", "duration": 4, "durationType": "Months"}}
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


def test_vault_counters_keys_and_guards_have_the_shape_of_azures(company: Simulator) -> None:
    home = vault(company, "rsv-backup-weu-01").id
    for path, name in {
        "/usages": "rs_vault_usages_2026-02-01.spec",
        "/backupUsageSummaries": "rsb_backupUsageSummaries_items_2024-10-01.spec",
        "/backupEncryptionConfigs/backupResourceEncryptionConfig": "rsb_encryptionConfig_get_2024-04-01.spec",
    }.items():
        assert lacking(payload(name), get(company, home + path).body) == [], path
    containers = get(company, f"{home}/backupUsageSummaries", filter="type eq 'BackupProtectionContainerCountSummary'")
    sample = payload("rsb_backupUsageSummaries_containers_2025-02-01.spec")
    assert lacking(sample, containers.body) == []
    counters = [counter["name"] for counter in payload("rs_vault_usages_2026-02-01.spec")["value"]]
    assert [counter["name"] for counter in get(company, f"{home}/usages").body["value"]] == counters
    (proxy,) = get(company, f"{home}/backupResourceGuardProxies").body["value"]
    assert lacking(payload("rsb_resourceGuardProxy_get_2024-04-01.spec"), proxy) == []
    guards = rows(company, "microsoft.dataprotection/resourceguards")
    assert lacking(payload("dataprotection_resourceGuards_list_2024-04-01.spec")["value"], guards) == []
    assert proxy["properties"]["resourceGuardResourceId"] in {guard["id"] for guard in company.estate.guards}


def test_the_details_of_a_job_have_the_shape_of_azures(company: Simulator) -> None:
    home = vault(company, "rsv-backup-weu-01").id
    (job, *_) = get(company, f"{home}/backupJobs", filter="operation eq 'Backup'").body["value"]
    ours = get(company, f"{home}/backupJobs/{job['name']}").body
    assert lacking(payload("rsb_jobDetails_get_2025-02-01.spec"), ours) == []


def test_diagnostic_settings_have_the_shape_of_azures(company: Simulator) -> None:
    path = f"{vault(company, 'rsv-backup-weu-01').id}/providers/Microsoft.Insights/diagnosticSettings"
    ours = get(company, path).body
    assert lacking(payload("monitor_diagnosticSettings_list_2021-05-01-preview.spec"), ours) == []
    assert ours.keys() == {"value"}


def test_alert_rules_and_action_groups_have_the_shape_of_azures(company: Simulator) -> None:
    sample = payload("alertProcessingRules_list_2021-08-08.spec")["value"]
    exceptions = ["[].properties.schedule.effectiveUntil", "[].properties.schedule.recurrences[].startTime",
                  "[].properties.schedule.recurrences[].endTime"]  # fmt: skip
    assert lacking(sample, rows(company, "microsoft.alertsmanagement/actionrules"), exceptions) == []
    sample = payload("monitor_actionGroups_list_2023-01-01.spec")["value"]
    # Nobody is called on the telephone.
    ours = rows(company, "microsoft.insights/actiongroups")
    assert lacking(sample, ours, ["[].properties.smsReceivers[]"]) == []


def test_backup_vaults_and_their_policies_have_the_shape_of_azures(company: Simulator) -> None:
    vaults = rows(company, "microsoft.dataprotection/backupvaults")
    real = payload("dataprotection_backupVaults_list_2024-04-01.c7n")["value"]
    assert lacking(real, vaults) == []
    assert lacking([payload("dataprotection_backupVault_get_2024-04-01.spec")], vaults) == []
    days = [row["properties"]["securitySettings"]["softDeleteSettings"]["retentionDurationInDays"] for row in vaults]
    assert {type(value) for value in days} == {float}
    policies = rows(company, "microsoft.dataprotection/backupvaults/backuppolicies", "recoveryservicesresources")
    assert lacking([payload("dataprotection_backupPolicy_disk.docs")], policies) == []
    assert lacking([payload("dataprotection_backupPolicy_weekly_tags_2024-04-01.spec")], policies) == []


def test_replicated_machines_have_the_shape_of_azures(company: Simulator) -> None:
    kind = (
        "microsoft.recoveryservices/vaults/replicationfabrics/replicationprotectioncontainers/replicationprotecteditems"
    )
    ours = rows(company, kind, "recoveryservicesresources")
    assert lacking(payload("asr_replicationProtectedItems_list_2024-04-01.spec")["value"], ours) == []
    details = [row["properties"]["providerSpecificDetails"] for row in ours]
    assert {entry["instanceType"] for entry in details} == {"A2A"}
    machines = {machine.id.lower() for machine in company.estate.machines}
    assert all(entry["fabricObjectId"].lower() in machines for entry in details)
    assert sorted("lastSuccessfulTestFailoverTime" in row["properties"] for row in ours) == [False, True]


def test_assignments_initiatives_and_exemptions_have_the_shape_of_azures(company: Simulator) -> None:
    assignments = rows(company, "microsoft.authorization/policyassignments", "policyresources")
    # Azure wrote these before there was an enforcement mode, with a SKU that is gone, and parameters of another policy.
    exceptions = ["[].sku", "[].properties.parameters", "[].properties.metadata"]
    assert lacking(payload("policyAssignments_list_2018-03-01.c7n")["value"], assignments, exceptions) == []
    sample = payload("policyAssignment_withIdentity_get_2023-04-01.spec")
    tagged = next(row for row in assignments if row["name"] == "backup-tagged")
    assert lacking(sample, tagged, [".properties.parameters"]) == []
    exemptions = rows(company, "microsoft.authorization/policyexemptions", "policyresources")
    sample = payload("policyExemption_get_2022-07-01-preview.spec")
    assert lacking([sample], exemptions, ["[].properties.metadata.reason"]) == []
    initiatives = rows(company, "microsoft.authorization/policysetdefinitions", "policyresources")
    sample = payload("policySetDefinition_managementGroup_get_2023-04-01.spec")
    assert lacking([sample], initiatives, ["[].properties.policyDefinitions[].parameters"]) == []
    built_in = payload("policySetDefinition_builtIn_get_2023-04-01.spec")
    ours = get(company, f"/providers/Microsoft.Authorization/policySetDefinitions/{built_in['name']}").body
    assert lacking(built_in, ours) == []
    assert built_in["id"] == ours["id"]


def test_role_assignments_have_the_shape_of_azures(company: Simulator) -> None:
    ours = rows(company, "microsoft.authorization/roleassignments", "authorizationresources")
    assert lacking(payload("roleAssignments_list_2022-04-01.spec")["value"], ours) == []


def test_policy_states_have_the_shape_of_azures(company: Simulator) -> None:
    scope = f"/subscriptions/{company.estate.subscription_id('prod-eu')}"
    path = f"{scope}/providers/Microsoft.PolicyInsights/policyStates/latest/queryResults?api-version=2019-10-01"
    ours = send(company, "POST", path).body
    sample = payload("policyStates_queryResults_subscription.spec")
    assert lacking(sample, ours) == []
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
    assert lacking([sample], rows) == []
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
