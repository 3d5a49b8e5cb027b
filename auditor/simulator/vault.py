"""ARM documents of a Recovery Services vault: itself, its configurations, its counters.

Shapes: payloads rs_vault_get_2025-02-01, rs_vaults_list (a real, old vault), rsb_vaultconfig_get,
rsb_vaultstorageconfig_get; azure-rest-api-specs: recoveryservices 2025-08-01 PUTVault_WithCMK.json and 2026-02-01
ListUsages.json, recoveryservicesbackup 2024-04-01 BackupResourceEncryptionConfig_Get.json and 2024-10-01
BackupProtectedItem_UsageSummary_Get.json, BackupProtectionContainers_UsageSummary_Get.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from auditor.simulator.naming import guid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from auditor.simulator.compute import Json, Place

VAULT = "Microsoft.RecoveryServices/vaults"


@dataclass(frozen=True, slots=True)
class Papers:
    """The documents of a vault that its own settings make."""

    document: Json
    config: Json
    storage: Json
    encryption: Json


def papers(name: str, place: Place, spec: Mapping[str, Any], as_of: datetime, tenant: str) -> Papers:
    """Make a vault's body, vaultconfig, vaultstorageconfig and backupResourceEncryptionConfig.

    `spec` keys: redundancy, crr, soft_delete, soft_delete_days, immutability, immutability_days, mua, public, alerts,
    classic_alerts, cmk {uri, identity, infrastructure}, endpoints (private endpoint connections), tags, bare (True: as
    old vaults answer, with whole blocks absent).
    """
    redundancy = spec.get("redundancy", "GeoRedundant")
    state, days = spec.get("soft_delete", "AlwaysON"), spec.get("soft_delete_days", 14)
    identifier = place.id_of(VAULT, name)
    key: Mapping[str, Any] | None = spec.get("cmk")
    properties: Json = {"provisioningState": "Succeeded", "publicNetworkAccess": spec.get("public", "Enabled")}
    if not spec.get("bare"):
        properties |= _settings(spec, redundancy, state, days)
    document: Json = {
        "location": place.location,
        "name": name,
        "etag": f"W/\"datetime'{as_of - timedelta(days=40):%Y-%m-%dT%H%%3A%M%%3A%S}.1234567Z'\"",
        "tags": spec.get("tags") or {},
        "identity": {"tenantId": tenant, "principalId": guid(f"identity {identifier}"), "type": "SystemAssigned"},
        "properties": properties,
        "id": identifier,
        "type": VAULT,
        "sku": {"name": "RS0", "tier": "Standard"},
    }
    if spec.get("bare"):
        del document["identity"]
    if key and key.get("identity"):
        document["identity"] = {
            "type": "UserAssigned",
            "userAssignedIdentities": {
                key["identity"]: {
                    "clientId": guid(f"client {key['identity']}"),
                    "principalId": guid(f"principal {key['identity']}"),
                }
            },
        }
    config: Json = {
        "name": "vaultconfig",
        "type": f"{VAULT}/backupconfig",
        "id": f"{identifier}/backupconfig/vaultconfig",
        "properties": {
            "enhancedSecurityState": "Enabled" if state != "Disabled" else "Disabled",
            "softDeleteFeatureState": state,
            "softDeleteRetentionPeriodInDays": days,
            "isSoftDeleteFeatureStateEditable": state != "AlwaysON",
        },
    }
    storage: Json = {
        "id": f"{identifier}/backupstorageconfig/vaultstorageconfig",
        "name": "vaultstorageconfig",
        "type": f"{VAULT}/backupstorageconfig",
        "properties": {"storageModelType": redundancy, "storageType": redundancy, "storageTypeState": "Locked"},
    }
    return Papers(document, config, storage, _encryption(identifier, place, key))


def _settings(spec: Mapping[str, Any], redundancy: str, state: str, days: int) -> Json:
    alerts = spec.get("alerts", "Enabled")
    endpoints = list(spec.get("endpoints") or ())
    immutability: Json = {"state": spec.get("immutability", "Unlocked")}
    if spec.get("immutability_days"):
        immutability["configuration"] = {"type": "TimeBased", "durationInDays": int(spec["immutability_days"])}
    elif immutability["state"] != "Disabled":
        immutability["configuration"] = {"type": "AsPerPolicy"}
    settings: Json = {
        "privateEndpointStateForBackup": "Enabled" if endpoints else "None",
        "privateEndpointStateForSiteRecovery": "None",
        "privateEndpointConnections": endpoints,
        "monitoringSettings": {
            "azureMonitorAlertSettings": {
                "alertsForAllJobFailures": alerts,
                "alertsForAllReplicationIssues": alerts,
                "alertsForAllFailoverIssues": alerts,
            },
            "classicAlertSettings": {
                "alertsForCriticalOperations": spec.get("classic_alerts", "Disabled"),
                "emailNotificationsForSiteRecovery": spec.get("classic_alerts", "Disabled"),
            },
        },
        "securitySettings": {
            "immutabilitySettings": immutability,
            "softDeleteSettings": {
                "softDeleteRetentionPeriodInDays": days,
                "softDeleteState": state,
                "enhancedSecurityState": "Enabled" if state != "Disabled" else "Disabled",
            },
            "multiUserAuthorization": "Enabled" if spec.get("mua") else "Disabled",
            "sourceScanConfiguration": {"state": "Disabled"},
        },
        "redundancySettings": {
            "standardTierStorageRedundancy": redundancy,
            "crossRegionRestore": "Enabled" if spec.get("crr", redundancy == "GeoRedundant") else "Disabled",
        },
        "restoreSettings": {"crossSubscriptionRestoreSettings": {"crossSubscriptionRestoreState": "Enabled"}},
        "secureScore": "Adequate" if state == "AlwaysON" else "Minimum",
        "bcdrSecurityLevel": "Good" if redundancy == "GeoRedundant" else "Fair",
    }
    key = spec.get("cmk")
    if key:
        identity: Json = {"useSystemAssignedIdentity": not key.get("identity")}
        if key.get("identity"):
            identity["userAssignedIdentity"] = key["identity"]
        settings["encryption"] = {
            "infrastructureEncryption": "Enabled" if key.get("infrastructure") else "Disabled",
            "kekIdentity": identity,
            "keyVaultProperties": {"keyUri": key["uri"]},
        }
    return settings


def _encryption(identifier: str, place: Place, key: Mapping[str, Any] | None) -> Json:
    properties: Json = {
        "encryptionAtRestType": "CustomerManaged" if key else "MicrosoftManaged",
        "lastUpdateStatus": "Succeeded" if key else "NotEnabled",
        "infrastructureEncryptionState": "Enabled" if key and key.get("infrastructure") else "Disabled",
    }
    if key:
        properties |= {
            "keyUri": key["uri"],
            "subscriptionId": place.subscription,
            "useSystemAssignedIdentity": not key.get("identity"),
        }
        if key.get("identity"):
            properties["userAssignedIdentity"] = key["identity"]
    return {
        "id": f"{identifier}/backupEncryptionConfigs/backupResourceEncryptionConfig",
        "name": "backupResourceEncryptionConfig",
        "type": f"{VAULT}/backupEncryptionConfigs",
        "properties": properties,
    }


def endpoint_connection(vault_id: str, endpoint_id: str, groups: Iterable[str], status: str) -> Json:
    """Give an entry of privateEndpointConnections; `status`: Approved, Pending, Rejected, Disconnected."""
    name = (
        f"{endpoint_id.rpartition('/')[2]}.{int(guid(endpoint_id)[:8], 16)}.backup.{guid(f'connection {endpoint_id}')}"
    )
    return {
        "id": f"{vault_id}/privateEndpointConnections/{name}",
        "properties": {
            "provisioningState": "Succeeded",
            "privateEndpoint": {"id": endpoint_id},
            "groupIds": list(groups),
            "privateLinkServiceConnectionState": {"status": status, "description": "None", "actionsRequired": "None"},
        },
    }


def _usage(value: str, title: str, count: int, unit: str = "Count", **more: str) -> Json:
    return {"name": {"localizedValue": title, "value": value}, "currentValue": count, "limit": -1, "unit": unit, **more}


def usages(counts: Mapping[str, int], unhealthy: int, jobs: Mapping[str, int], storage: str) -> list[Json]:
    """Give the counters of .../usages.

    `counts`: items by backupManagementType, softly deleted ones included; `unhealthy`: VM items that need action;
    `jobs`: of the last day, by status. Counter names as in ListUsages.json.
    """
    machines, every = counts.get("AzureIaasVM", 0), sum(counts.values())
    local, geo = ("LRSStorageUsage", "GRSStorageUsage")
    # Nobody can check what is billed; twenty GiB an item is believable.
    size = every * 20 * 1024**3
    return [
        _usage("MABContainersCount", "Backup management servers", 0),
        _usage("ProtectedItemCount", "Backup items/Azure virtual machine backup", every),
        _usage("ProtectedItemCriticalCount", "Critical", unhealthy),
        _usage("ProtectedItemWarningCount", "Warning", 0),
        _usage("IaaSVMProtectedItemCount", "Azure Virtual Machines", machines),
        _usage("IaaSVMProtectedItemCriticalCount", "Critical", unhealthy),
        _usage("IaaSVMProtectedItemWarningCount", "Warning", 0),
        _usage("MABProtectedItemCount", "File-Folders", 0),
        _usage("DPMProtectedItemCount", "DPM Protected Items Count", 0),
        _usage("AzureBackupServerProtectedItemCount", "Azure Backup Server Protected Items Count", 0),
        _usage("InProgressJobsCount", "In progress", jobs.get("InProgress", 0), quotaPeriod="P1D"),
        _usage("FailedJobsCount", "Failed", jobs.get("Failed", 0), quotaPeriod="P1D"),
        _usage(geo, "Cloud - GRS", size if storage == "GeoRedundant" else 0, "Bytes"),
        _usage(local, "Cloud - LRS", 0 if storage == "GeoRedundant" else size, "Bytes"),
        _usage("ManagedInstances", "Protected Instances", every),
        _usage("GRSDedupStorageUsage", "Dedup - GRS", 0, "Bytes"),
        _usage("LRSDedupStorageUsage", "Dedup - LRS", 0, "Bytes"),
        _usage("UsedDiskSize", "Backup Engines' Disk Used", 0, "Bytes"),
    ]


def item_summary(counts: Mapping[str, int]) -> list[Json]:
    """Give .../backupUsageSummaries of items, by backupManagementType."""
    titles = {
        "AzureIaasVM": "Azure Virtual Machine", "MAB": "Azure Backup Agent", "AzureBackupServer": "Azure Backup Server",
        "AzureStorage": "Azure Storage (Azure Files)", "AzureWorkload": "SQL in Azure VM",
    }  # fmt: skip
    return [_usage(kind, title, counts.get(kind, 0)) for kind, title in titles.items()]


def container_summary(workloads: int) -> list[Json]:
    """Give .../backupUsageSummaries of containers; those of VMs are not among them."""
    return [
        _usage("AzureBackupServer", "Azure Backup Server", 0),
        _usage("MAB", "Azure Backup Agent", 0),
        _usage("AzureWorkload", "SQL in Azure VM", workloads),
    ]
