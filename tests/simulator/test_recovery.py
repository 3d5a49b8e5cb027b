"""What there is about recovery beside items and points: jobs, restore points, counters, keys, other tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditor.simulator import Estate, Simulator
from tests.simulator.wire import AS_OF, ask, everything, get, send, small, vault

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS = (
    "recoveryservicesresources | where type =~ 'microsoft.recoveryservices/vaults/backupjobs' "
    "| project id, name, properties | order by id asc"
)

REPLICAS = (
    "microsoft.recoveryservices/vaults/replicationfabrics/replicationprotectioncontainers/replicationprotecteditems"
)


def whole() -> dict[str, Any]:
    """Make an estate with something of every section."""
    protected = {"vault": "rsv-1", "policy": "std"}
    return small(2) | {
        "jobs_days": 40,
        "subscriptions": {"a": {"name": "Sub A", "group": "mg-a"}, "b": {"name": "Sub B", "group": "mg-b"},
                          "c": {"tenant": "customer"}},
        "resource_guards": {"c/rg-guards/guard": {}},
        "vaults": {
            "b/rg-backup/rsv-1": {
                "mua": "c/rg-guards/guard", "cmk": "https://kv.vault.azure.net/keys/k/1",
                "private_endpoints": ["pe-1", {"name": "pe-2", "in": "a/rg-net", "status": "Pending"}],
                "immutability": "Locked", "immutability_days": 400,
                "diagnostics": {"name": "to-log", "workspace": "log"},
            },
            "b/rg-backup/rsv-2": {"immutability": "Disabled"},
        },
        "backup_vaults": {"a/rg-bv/bv": {"soft_delete": "Off", "guarded": True}},
        "disk_policies": {"four": {"every": "4h", "weekly": "4 Weeks"}},
        "disks": [{"name": "quorum", "in": "a/rg-app", "shared": 2}],
        "vms": [
            {"name": "full", "in": "a/rg-app", "disks": [64, 64],
             "backup": protected | {"restores": ["-3d", {"at": "-100d", "status": "Failed"}], "since": "-20d"}},
            {"name": "partly", "in": "a/rg-app", "disks": [64, 64], "backup": protected | {"excluded_luns": [1]}},
            {"name": "alone", "in": "a/rg-app", "disks": [64, 64], "backup": protected | {"included_luns": []}},
            {"name": "moved", "in": "a/rg-app", "backup": protected | {"old_id": "a/rg-old"}},
            {"names": ["node1", "node2"], "in": "a/rg-app", "shared_disks": ["quorum"], "power": "deallocated"},
            {"name": "theirs", "in": "c/rg-c", "sql": {"db": "rsv-1"}},
        ],
        "scale_sets": [{"name": "old", "in": "a/rg-app", "capacity": 3},
                       {"name": "flex", "in": "a/rg-app", "mode": "Flexible", "capacity": 0}],
        "snapshots": [{"name": "far", "in": "a/rg-app", "of": "full", "create": "CopyStart", "completion": 40,
                       "network": "AllowPrivate", "access": "da", "auth_mode": "AzureActiveDirectory"}],
        "restore_points": [{"name": "mine", "in": "a/rg-app", "of": "full", "points": ["1d", "3d"]}],
        "disk_backups": [{"vault": "bv", "in": "a/rg-bv", "of": "full:0", "snapshot_group": "a/rg-s",
                          "policy": "four"}],
        "replications": [{"vault": "rsv-2", "of": "full", "to": "b/rg-dr", "location": "northeurope", "rpo": "6min"}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[Simulator]:
    with Simulator(Estate.from_dict(whole(), AS_OF), quota=None, page_size=25) as simulator:
        yield simulator


def rows(simulator: Simulator, kind: str, table: str = "resources") -> dict[str, Any]:
    """Rows of a type by name."""
    body = ask(simulator, f"{table} | where type =~ '{kind}' | order by id asc").body
    return {row["name"]: row for row in body["data"]}


def test_a_vault_remembers_jobs_for_longer_than_resource_graph(served: Simulator) -> None:
    listed = {job["name"]: job for job in everything(served, f"{vault(served)}/backupJobs")}
    shown = {row["name"]: row for row in ask(served, JOBS).body["data"]}
    assert shown.keys() < listed.keys()
    assert min(row["properties"]["startTime"] for row in shown.values()) > "2026-11-08"
    assert {row["properties"]["operation"] for row in shown.values()} == {"Backup", "Restore"}
    for name, row in shown.items():
        assert row["properties"]["dataSourceId"]
        assert listed[name]["properties"].items() <= row["properties"].items()


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("operation eq 'Restore'", ["Restore", "Restore"]),
        ("operation eq 'Restore' and status eq 'Failed'", ["Restore"]),
        ("operation eq 'ConfigureBackup'", ["ConfigureBackup"]),
        ("operation eq 'Restore' and startTime eq '2026-11-01 12:00:00 AM'", ["Restore"]),
        ("operation eq 'Restore' and endTime eq '2026-11-01 12:00:00 AM' and backupManagementType eq 'AzureIaasVM'",
         ["Restore"]),
        ("backupManagementType eq 'AzureWorkload'", []),
    ],
)  # fmt: skip
def test_jobs_are_filtered_as_documented(served: Simulator, text: str, operations: list[str]) -> None:
    found = everything(served, f"{vault(served)}/backupJobs", filter=text)
    assert [job["properties"]["operation"] for job in found] == operations


def test_one_job_can_be_asked_for_by_its_id(served: Simulator) -> None:
    (job,) = everything(served, f"{vault(served)}/backupJobs", filter="operation eq 'ConfigureBackup'")
    assert everything(served, f"{vault(served)}/backupJobs", filter=f"jobId eq '{job['name']}'") == [job]
    assert (
        get(served, f"{vault(served)}/backupJobs/{job['name']}").body["properties"].items() > job["properties"].items()
    )
    assert get(served, f"{vault(served)}/backupJobs/none").code == "BMSUserErrorObjectNotFound"
    assert get(served, f"{vault(served)}/backupJobs", filter="colour eq 'red'").status == 400


def test_counters_count_what_is_listed(served: Simulator) -> None:
    usages = {u["name"]["value"]: u["currentValue"] for u in get(served, f"{vault(served)}/usages").body["value"]}
    items = everything(served, f"{vault(served)}/backupProtectedItems")
    machines = [item for item in items if item["properties"]["backupManagementType"] == "AzureIaasVM"]
    assert usages["ProtectedItemCount"] == len(items) == 5
    assert usages["IaaSVMProtectedItemCount"] == len(machines) == 4
    summary = get(served, f"{vault(served)}/backupUsageSummaries").body["value"]
    assert {u["name"]["value"]: u["currentValue"] for u in summary}["AzureIaasVM"] == 4
    containers = get(served, f"{vault(served)}/backupUsageSummaries",
                     filter="type eq 'BackupProtectionContainerCountSummary'").body["value"]  # fmt: skip
    assert {u["name"]["value"]: u["currentValue"] for u in containers}["AzureWorkload"] == 1
    assert get(served, f"{vault(served)}/backupUsageSummaries", filter="type eq 'Invalid'").status == 400


def test_a_key_of_ones_own_shows_in_the_vault_and_in_its_configuration(served: Simulator) -> None:
    path = "backupEncryptionConfigs/backupResourceEncryptionConfig"
    own = get(served, f"{vault(served)}/{path}").body["properties"]
    body = get(served, vault(served)).body["properties"]
    assert own["encryptionAtRestType"] == "CustomerManaged"
    assert own["keyUri"] == body["encryption"]["keyVaultProperties"]["keyUri"]
    assert own["useSystemAssignedIdentity"] is body["encryption"]["kekIdentity"]["useSystemAssignedIdentity"] is True
    other = get(served, f"{vault(served, 'rsv-2')}/{path}").body["properties"]
    assert other["encryptionAtRestType"] == "MicrosoftManaged"
    assert "encryption" not in get(served, vault(served, "rsv-2")).body["properties"]


def test_private_endpoints_immutability_and_guard_show_in_the_vault(served: Simulator) -> None:
    body = get(served, vault(served)).body["properties"]
    connections = body["privateEndpointConnections"]
    statuses = [c["properties"]["privateLinkServiceConnectionState"]["status"] for c in connections]
    assert statuses == ["Approved", "Pending"]
    assert "/rg-net/" in connections[1]["properties"]["privateEndpoint"]["id"]
    assert body["privateEndpointStateForBackup"] == "Enabled"
    settings = body["securitySettings"]
    assert settings["immutabilitySettings"] == {
        "state": "Locked", "configuration": {"type": "TimeBased", "durationInDays": 400},
    }  # fmt: skip
    assert settings["multiUserAuthorization"] == "Enabled"
    other = get(served, vault(served, "rsv-2")).body["properties"]["securitySettings"]
    assert other["immutabilitySettings"] == {"state": "Disabled"}
    (proxy,) = everything(served, f"{vault(served)}/backupResourceGuardProxies")
    (guard,) = rows(served, "microsoft.dataprotection/resourceguards").values()
    assert proxy["properties"]["resourceGuardResourceId"].lower() == guard["id"].lower()


def test_diagnostic_settings_hang_on_their_vault(served: Simulator) -> None:
    path = "providers/Microsoft.Insights/diagnosticSettings"
    (setting,) = everything(served, f"{vault(served)}/{path}")
    assert setting["properties"]["workspaceId"].endswith("/workspaces/log")
    assert everything(served, f"{vault(served, 'rsv-2')}/{path}") == []


def test_restore_points_come_only_when_they_are_asked_for(served: Simulator) -> None:
    subscription = served.estate.subscription_id("a")
    path = f"/subscriptions/{subscription}/providers/Microsoft.Compute/restorePointCollections"
    listed = {row["name"]: row for row in everything(served, path)}
    assert listed.keys() == rows(served, "microsoft.compute/restorepointcollections").keys()
    mine = listed.pop("mine")
    assert get(served, mine["id"]).body == mine
    body = send(served, "GET", f"{mine['id'].upper()}?api-version=2024-03-01&$expand=restorePoints").body
    times = [point["properties"]["timeCreated"][:10] for point in body["properties"]["restorePoints"]]
    assert times == ["2026-11-21", "2026-11-19"]
    partly = next(row for name, row in listed.items() if name.startswith("AzureBackup_partly_"))
    assert "/AzureBackupRG_westeurope_1/" in partly["id"]
    points = send(served, "GET", f"{partly['id']}?api-version=2024-03-01&$expand=restorePoints").body
    points = points["properties"]["restorePoints"]
    assert len(points) == 5
    assert all(point["properties"]["excludeDisks"][0]["id"].endswith("/partly_DataDisk_1") for point in points)
    refused = get(served, f"{path.replace('/providers', '/resourceGroups/rg-app/providers')}/none")
    assert (refused.status, refused.code) == (404, "ResourceNotFound")


def test_disks_are_left_out_by_list_in_both_directions(served: Simulator) -> None:
    listed = everything(served, f"{vault(served)}/backupProtectedItems")
    properties = {item["properties"]["friendlyName"]: item["properties"] for item in listed}
    key = "diskExclusionProperties"
    assert properties["partly"]["extendedProperties"][key] == {"diskLunList": [1], "isInclusionList": False}
    assert properties["alone"]["extendedProperties"][key] == {"diskLunList": [], "isInclusionList": True}
    assert "extendedProperties" not in properties["full"]
    identifier = next(i["id"] for i in listed if i["properties"]["friendlyName"] == "alone")
    point = get(served, f"{identifier}/recoveryPoints").body["value"][0]["properties"]
    assert point["recoveryPointDiskConfiguration"] == {
        "numberOfDisksIncludedInBackup": 1, "numberOfDisksAttachedToVm": 3,
    }  # fmt: skip


def test_the_item_of_a_moved_machine_keeps_the_old_id(served: Simulator) -> None:
    listed = everything(served, f"{vault(served)}/backupProtectedItems", filter="friendlyName eq 'moved'")
    assert "/resourcegroups/rg-old/" in listed[0]["properties"]["sourceResourceId"].lower()
    assert "/resourcegroups/rg-app/" in rows(served, "microsoft.compute/virtualmachines")["moved"]["id"].lower()


def test_a_shared_disk_names_all_its_machines(served: Simulator) -> None:
    subscription = served.estate.subscription_id("a")
    disks = everything(served, f"/subscriptions/{subscription}/providers/Microsoft.Compute/disks")
    quorum = next(disk for disk in disks if disk["name"] == "quorum")
    assert [owner.rpartition("/")[2] for owner in quorum["managedByExtended"]] == ["node1", "node2"]
    assert (quorum["properties"]["maxShares"], quorum["properties"]["diskState"]) == (2, "Attached")
    machine = rows(served, "microsoft.compute/virtualmachines")["node2"]
    attached = machine["properties"]["storageProfile"]["dataDisks"]
    assert [disk["managedDisk"]["id"] for disk in attached] == [quorum["id"]]
    # The disks of a deallocated machine are reserved for it.
    assert {d["properties"]["diskState"] for d in disks if d["name"].startswith("node")} == {"Reserved"}


def test_a_copy_into_another_region_says_how_far_it_is(served: Simulator) -> None:
    properties = rows(served, "microsoft.compute/snapshots")["far"]["properties"]
    assert properties["completionPercent"] == 40
    assert (properties["networkAccessPolicy"], properties["dataAccessAuthMode"]) == (
        "AllowPrivate", "AzureActiveDirectory",
    )  # fmt: skip
    assert properties["diskAccessId"].endswith("/diskAccesses/da")


def test_scale_sets_say_how_many_and_which_kind(served: Simulator) -> None:
    found = rows(served, "microsoft.compute/virtualmachinescalesets")
    assert {name: row["sku"]["capacity"] for name, row in found.items()} == {"old": 3, "flex": 0}
    assert "orchestrationMode" not in found["old"]["properties"]
    assert found["flex"]["properties"]["orchestrationMode"] == "Flexible"
    subscription = served.estate.subscription_id("a")
    path = f"/subscriptions/{subscription}/providers/Microsoft.Compute/virtualMachineScaleSets"
    assert {row["name"] for row in everything(served, path)} == {"old", "flex"}


def test_disk_backup_has_vault_policy_and_instance(served: Simulator) -> None:
    (row,) = rows(served, "microsoft.dataprotection/backupvaults").values()
    assert row["properties"]["isVaultProtectedByResourceGuard"] is True
    kind = "microsoft.dataprotection/backupvaults"
    (policy,) = rows(served, f"{kind}/backuppolicies", "recoveryservicesresources").values()
    backup, default, weekly = policy["properties"]["policyRules"]
    assert backup["trigger"]["schedule"]["repeatingTimeIntervals"] == ["R/2021-07-01T19:00:00+00:00/PT4H"]
    assert [rule["lifecycles"][0]["deleteAfter"]["duration"] for rule in (default, weekly)] == ["P7D", "P4W"]
    (instance,) = rows(served, f"{kind}/backupinstances", "recoveryservicesresources").values()
    assert instance["properties"]["policyInfo"]["policyId"] == policy["id"]


def test_a_replica_is_of_a_machine_and_in_another_region(served: Simulator) -> None:
    kind = (
        "microsoft.recoveryservices/vaults/replicationfabrics/replicationprotectioncontainers/replicationprotecteditems"
    )
    (row,) = rows(served, kind, "recoveryservicesresources").values()
    details = row["properties"]["providerSpecificDetails"]
    assert (details["rpoInSeconds"], details["recoveryFabricLocation"]) == (360, "northeurope")
    assert details["fabricObjectId"].lower().endswith("/virtualmachines/full")
    assert row["properties"]["currentScenario"]["startTime"] == "1753-01-01T01:01:01Z"
    assert len(details["protectedDisks"]) == 3


def test_a_delegated_subscription_belongs_to_another_tenant(served: Simulator) -> None:
    mine, theirs = served.estate.tenant_id, rows(served, "microsoft.compute/virtualmachines")["theirs"]["tenantId"]
    assert theirs != mine
    subscriptions = rows(served, "microsoft.resources/subscriptions", "resourcecontainers")
    assert subscriptions["c"]["tenantId"] == theirs
    assert subscriptions["c"]["properties"]["managedByTenants"] == [{"tenantId": mine}]
    assert subscriptions["c"]["properties"]["managementGroupAncestorsChain"] == []
    assert subscriptions["Sub A"]["tenantId"] == mine
    listed = {row["displayName"]: row for row in everything(served, "/subscriptions")}
    assert (listed["c"]["tenantId"], listed["Sub A"]["tenantId"]) == (theirs, mine)
    query = "resourcecontainers | where type =~ 'microsoft.resources/subscriptions'"
    ours = ask(served, query, scope={"managementGroups": [mine]}).body["data"]
    assert {row["name"] for row in ours} == {"Sub A", "Sub B"}
