"""ARM documents of Azure Disk Backup: Backup vaults, their policies and instances; and of resource guards.

Shapes: payloads dataprotection_backupVaults_list (a real answer), arg_row_dataprotection_backupinstance_disk,
dataprotection_backupPolicy_disk and _weekly_tags; guards: azure-rest-api-specs, Microsoft.DataProtection 2024-04-01,
ResourceGuardCRUD/GetResourceGuardsInResourceGroup.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor.simulator.naming import group_id, guid, mixed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import time

    from auditor.simulator.compute import Json, Place

BACKUP_VAULT = "Microsoft.DataProtection/backupVaults"
GUARD = "Microsoft.DataProtection/resourceGuards"
STATES = frozenset({
    "Invalid", "NotProtected", "ConfiguringProtection", "ProtectionConfigured", "BackupSchedulesSuspended",
    "RetentionSchedulesSuspended", "ProtectionStopped", "ProtectionError", "ConfiguringProtectionFailed",
    "SoftDeleting", "SoftDeleted", "UpdatingProtection",
})  # fmt: skip
"""currentProtectionState of an instance (azure-mgmt-dataprotection 2.2.0)."""
_GUARDED = {
    "Microsoft.RecoveryServices/vaults/backupResourceGuardProxies/delete": "deleteResourceGuardProxyRequests",
    "Microsoft.RecoveryServices/vaults/backupconfig/write": "disableSoftDeleteRequests",
}
_PERIODS = {"Days": "D", "Weeks": "W", "Months": "M", "Years": "Y"}


def backup_vault_document(name: str, place: Place, spec: Mapping[str, Any], tenant: str) -> Json:
    """Body of a Backup vault.

    `spec` keys: redundancy, soft_delete (Off, On, AlwaysOn), soft_delete_days, immutability, guarded, crr, identity,
    alerts, bare (whole blocks are not sent), tags.
    """
    redundancy = spec.get("redundancy", "GeoRedundant")
    properties: Json = {
        "provisioningState": "Succeeded",
        "storageSettings": [{"datastoreType": "VaultStore", "type": redundancy}],
        "isVaultProtectedByResourceGuard": bool(spec.get("guarded")),
        "monitoringSettings": {
            "azureMonitorAlertSettings": {"alertsForAllJobFailures": spec.get("alerts", "Enabled")},
        },
        "securitySettings": {
            "softDeleteSettings": {
                "state": spec.get("soft_delete", "On"),
                # A whole number of days, and yet a float: so Azure sends it.
                "retentionDurationInDays": float(spec.get("soft_delete_days", 14)),
            },
            "immutabilitySettings": {"state": spec.get("immutability", "Disabled")},
        },
        "featureSettings": {
            "crossSubscriptionRestoreSettings": {"state": "Enabled"},
            "crossRegionRestoreSettings": {"state": "Enabled" if spec.get("crr") else "Disabled"},
        },
        "secureScore": "None" if spec.get("immutability", "Disabled") == "Disabled" else "Adequate",
        "bcdrSecurityLevel": "Good" if redundancy == "GeoRedundant" else "Poor",
        "replicatedRegions": [],
    }
    if spec.get("bare"):
        for block in ("isVaultProtectedByResourceGuard", "monitoringSettings", "securitySettings", "featureSettings"):
            del properties[block]
    identifier = place.id_of(BACKUP_VAULT, name)
    identity: Json = {"type": "None"}
    if spec.get("identity", True):
        identity = {"type": "SystemAssigned", "principalId": guid(f"identity {identifier}"), "tenantId": tenant}
    return {
        "location": place.location,
        "tags": spec.get("tags") or {},
        "identity": identity,
        "properties": properties,
        "id": identifier,
        "name": name,
        "type": BACKUP_VAULT,
    }


@dataclass(frozen=True, slots=True)
class DiskPlan:
    """A policy of Azure Disk Backup as the estate describes it."""

    name: str
    every_hours: int = 24
    at: time | None = None
    keep: tuple[int, str] = (7, "Days")
    weekly: tuple[int, str] | None = None
    """How long the first snapshot of a week is kept."""


def disk_policy_document(plan: DiskPlan, vault_id: str) -> Json:
    """Body of a Backup vault's policy for disks: snapshots in the operational store."""
    store = {"dataStoreType": "OperationalStore", "objectType": "DataStoreInfoBase"}
    clock = f"{plan.at:%H:%M:%S}" if plan.at else "19:00:00"
    interval = "P1D" if plan.every_hours == 24 else f"PT{plan.every_hours}H"  # noqa: PLR2004 - a day
    tags: list[Json] = [{"tagInfo": {"tagName": "Default", "id": "Default_"}, "taggingPriority": 99, "isDefault": True}]
    kept = {"Default": plan.keep}
    if plan.weekly:
        kept["Weekly"] = plan.weekly
        tags.append({
            "tagInfo": {"tagName": "Weekly", "id": "Weekly_"},
            "taggingPriority": 20,
            "isDefault": False,
            "criteria": [{
                "scheduleTimes": [f"2021-07-04T{clock}Z"],
                "daysOfTheWeek": ["Sunday"],
                "objectType": "ScheduleBasedBackupCriteria",
            }],
        })  # fmt: skip
    rules: list[Json] = [{
        "backupParameters": {"backupType": "Incremental", "objectType": "AzureBackupParams"},
        "trigger": {
            "schedule": {"repeatingTimeIntervals": [f"R/2021-07-01T{clock}+00:00/{interval}"]},
            "taggingCriteria": tags,
            "objectType": "ScheduleBasedTriggerContext",
        },
        "dataStore": store,
        "name": "BackupDaily" if interval == "P1D" else "BackupHourly",
        "objectType": "AzureBackupRule",
    }]  # fmt: skip
    rules += [{
        "lifecycles": [{
            "deleteAfter": {"objectType": "AbsoluteDeleteOption", "duration": f"P{count}{_PERIODS[unit]}"},
            "targetDataStoreCopySettings": [],
            "sourceDataStore": store,
        }],
        "isDefault": name == "Default",
        "name": name,
        "objectType": "AzureRetentionRule",
    } for name, (count, unit) in kept.items()]  # fmt: skip
    return {
        "id": f"{vault_id}/backupPolicies/{plan.name}",
        "name": plan.name,
        "type": f"{BACKUP_VAULT}/backupPolicies",
        "properties": {
            "policyRules": rules,
            "datasourceTypes": ["Microsoft.Compute/disks"],
            "objectType": "BackupPolicy",
        },
    }


def instance_document(vault_id: str, disk_id: str, place: Place, *, snapshots: Place, policy: str, state: str) -> Json:
    """Row of a disk's backup instance; `place` is the vault's, `snapshots` where its snapshots are written."""
    disk = disk_id.rpartition("/")[2]
    name = f"{place.group}-{disk}-{guid(disk_id)}"
    spelled = mixed(disk_id, "instance")
    broken = state in ("ProtectionError", "ConfiguringProtectionFailed")
    fault: Json = {
        # The missing role of the vault's identity: by far the commonest reason.
        "code": "UserErrorInsufficientPermissions",
        "message": "Appropriate permissions to perform the operation is missing.",
    }
    return {
        "id": f"{vault_id}/backupInstances/{name}",
        "name": name,
        "type": f"{BACKUP_VAULT}/backupInstances",
        "properties": {
            "currentProtectionState": state,
            "dataSourceInfo": {
                "baseUri": None,
                "datasourceType": "Microsoft.Compute/disks",
                "objectType": "Datasource",
                "resourceID": spelled,
                "resourceLocation": place.location,
                "resourceName": disk,
                "resourceType": "Microsoft.Compute/disks",
                "resourceUri": spelled,
            },
            "dataSourceProperties": None,
            "dataSourceSetInfo": None,
            "datasourceAuthCredentials": None,
            "friendlyName": disk,
            "objectType": "BackupInstance",
            "policyInfo": {
                "policyId": f"{vault_id}/backupPolicies/{policy}",
                "policyParameters": {
                    "dataStoreParametersList": [
                        {
                            "dataStoreType": "OperationalStore",
                            "objectType": "AzureOperationalStoreParameters",
                            "resourceGroupId": group_id(snapshots.subscription, snapshots.group),
                        }
                    ]
                },
                "policyVersion": None,
            },
            "protectionErrorDetails": fault if broken else None,
            "protectionStatus": {"errorDetails": fault if broken else None, "status": state},
            "provisioningState": "Succeeded",
        },
    }


def guard_document(name: str, place: Place, tags: Json | None, excluded: tuple[str, ...]) -> Json:
    """Body of a resource guard; `excluded`: critical operations that it leaves unguarded."""
    operations = [
        {"vaultCriticalOperation": operation, "requestResourceType": f"{GUARD}/{request}"}
        for operation, request in _GUARDED.items()
    ]
    return {
        "location": place.location,
        "tags": tags or {},
        "id": place.id_of(GUARD, name),
        "name": name,
        "type": GUARD,
        "properties": {
            "provisioningState": "Succeeded",
            "allowAutoApprovals": True,
            "resourceGuardOperations": operations,
            "description": "Operations guarded by the security team",
            "vaultCriticalOperationExclusionList": list(excluded),
        },
    }


def guard_proxy_document(vault_id: str, guard_id: str, updated: str) -> Json:
    """Body of a Recovery Services vault's tie to a guard, as .../backupResourceGuardProxies lists it.

    Shape: recoveryservicesbackup 2024-04-01, ResourceGuardProxyCRUD/GetResourceGuardProxy.json.
    """
    return {
        "id": f"{vault_id}/backupResourceGuardProxies/VaultProxy",
        "name": "VaultProxy",
        "type": "Microsoft.RecoveryServices/vaults/backupResourceGuardProxies",
        "properties": {
            "resourceGuardResourceId": guard_id,
            "resourceGuardOperationDetails": [
                {
                    "vaultCriticalOperation": f"{GUARD}/{request}",
                    "defaultResourceRequest": f"{guard_id}/{request}/default",
                }
                for request in _GUARDED.values()
            ],
            "lastUpdatedTime": updated,
            "description": "Operations guarded by the security team",
        },
    }
