"""Response bodies of a large pretend tenant, as fast as they can be written: for measuring, not for judging."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditor.inventory.store import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AS_OF = datetime(2026, 11, 22, 6, tzinfo=UTC)
PAGE = 1000
VMS_PER_SUBSCRIPTION = 1000
VMS_PER_VAULT = 500
POINTS = 33
"""Recovery points of an item: 30 daily and 3 weekly ones."""


def _sub(vm: int) -> str:
    return f"00000000-0000-4000-8000-{vm // VMS_PER_SUBSCRIPTION:012d}"


def _vm(vm: int) -> str:
    group = f"/subscriptions/{_sub(vm)}/resourceGroups/RG-App-{vm // 50:05d}"
    return f"{group}/providers/Microsoft.Compute/virtualMachines/vm-{vm:06d}"


def _disk(vm: int, number: int) -> str:
    return _vm(vm).replace("virtualMachines", "disks") + f"_disk{number}"


def _vault(vm: int) -> str:
    group = f"/subscriptions/{_sub(vm)}/resourceGroups/rg-backup"
    return f"{group}/providers/Microsoft.RecoveryServices/vaults/rsv-{vm // VMS_PER_VAULT:04d}"


def item(vm: int) -> str:
    """Give the id of a VM's protected item."""
    native = f"iaasvmcontainerv2;rg-app-{vm // 50:05d};vm-{vm:06d}"
    return f"{_vault(vm)}/backupFabrics/Azure/protectionContainers/IaasVMContainer;{native}/protectedItems/VM;{native}"


def _pages(rows: Iterator[dict[str, Any]], total: int) -> Iterator[Page]:
    batch: list[str] = []
    for row in rows:
        batch.append(json.dumps(row, separators=(",", ":")))
        if len(batch) == PAGE:
            yield _page(batch, total)
            batch = []
    if batch:
        yield _page(batch, total)


def _page(rows: list[str], total: int) -> Page:
    head = f'{{"totalRecords":{total},"count":{len(rows)},"resultTruncated":"false","facets":[],"data":['
    return Page(None, f"{head}{','.join(rows)}]}}".encode())


def _common(resource_id: str, kind: str) -> dict[str, Any]:
    parts = resource_id.split("/")
    return {
        "id": resource_id,
        "name": parts[-1],
        "type": kind,
        "location": "westeurope",
        "resourceGroup": parts[4].lower() if len(parts) > 4 else "",
        "subscriptionId": parts[2],
        "tenantId": "11111111-1111-4111-8111-111111111111",
        "tags": {"environment": "prod", "owner": "team-a@example.com", "cost-center": "4711"},
    }


def _machines(vms: int) -> Iterator[dict[str, Any]]:
    for vm in range(vms):
        data = [{"lun": n, "name": f"d{n}", "managedDisk": {"id": _disk(vm, n)}, "diskSizeGB": 256} for n in (1, 2)]
        yield _common(_vm(vm), "microsoft.compute/virtualmachines") | {
            "properties": {
                "vmId": f"22222222-2222-4222-8222-{vm:012d}",
                "timeCreated": "2024-03-01T08:00:00.1234567+00:00",
                "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
                "storageProfile": {
                    "imageReference": {"publisher": "Canonical", "offer": "ubuntu", "sku": "22_04-lts"},
                    "osDisk": {"osType": "Linux", "managedDisk": {"id": _disk(vm, 0)}},
                    "dataDisks": data,
                },
                "networkProfile": {"networkInterfaces": [{"id": _vm(vm) + "-nic"}]},
                "extended": {"instanceView": {"powerState": {"code": "PowerState/running"}}},
            }
        }


def _disks(vms: int) -> Iterator[dict[str, Any]]:
    for vm in range(vms):
        for number in range(3):
            yield _common(_disk(vm, number), "microsoft.compute/disks") | {
                "managedBy": _vm(vm),
                "sku": {"name": "Premium_LRS"},
                "properties": {
                    "uniqueId": f"33333333-3333-4333-8{number:03d}-{vm:012d}",
                    "diskState": "Attached",
                    "diskSizeGB": 256,
                    "timeCreated": "2024-03-01T08:00:00.1234567+00:00",
                },
            }


def _snapshots(vms: int) -> Iterator[dict[str, Any]]:
    for vm in range(vms):
        for number in range(5):
            made = AS_OF - timedelta(days=number * 3 + vm % 7)
            yield _common(_disk(vm, number % 3) + f"-snap{number}", "microsoft.compute/snapshots") | {
                "sku": {"name": "Standard_LRS"},
                "properties": {
                    "incremental": True,
                    "diskSizeGB": 256,
                    "timeCreated": made.isoformat(),
                    "creationData": {
                        "createOption": "Copy",
                        "sourceResourceId": _disk(vm, number % 3),
                        "sourceUniqueId": f"33333333-3333-4333-8{number % 3:03d}-{vm:012d}",
                    },
                },
            }


def _items(vms: int) -> Iterator[dict[str, Any]]:
    for vm in range(vms):
        if vm % 10 == 0:
            continue
        yield _common(
            item(vm), "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems"
        ) | {
            "properties": {
                "friendlyName": f"vm-{vm:06d}",
                "sourceResourceId": _vm(vm).lower(),
                "virtualMachineId": _vm(vm),
                "policyId": f"{_vault(vm)}/backupPolicies/DefaultPolicy",
                "backupManagementType": "AzureIaasVM",
                "workloadType": "VM",
                "protectionState": "ProtectionStopped" if vm % 97 == 1 else "Protected",
                "lastBackupStatus": "Completed",
                "lastBackupTime": (AS_OF - timedelta(hours=8)).isoformat(),
                "lastRecoveryPoint": (AS_OF - timedelta(hours=8)).isoformat(),
            }
        }


def _vaults(vms: int) -> Iterator[dict[str, Any]]:
    for vm in range(0, vms, VMS_PER_VAULT):
        yield _common(_vault(vm), "microsoft.recoveryservices/vaults") | {
            "properties": {"provisioningState": "Succeeded"}
        }


def _policies(vms: int) -> Iterator[dict[str, Any]]:
    def kept(count: int, unit: str) -> dict[str, Any]:
        return {"retentionDuration": {"count": count, "durationType": unit}}

    for vm in range(0, vms, VMS_PER_VAULT):
        yield _common(
            f"{_vault(vm)}/backupPolicies/DefaultPolicy", "microsoft.recoveryservices/vaults/backuppolicies"
        ) | {
            "properties": {
                "backupManagementType": "AzureIaasVM",
                "timeZone": "W. Europe Standard Time",
                "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily"},
                "retentionPolicy": {
                    "retentionPolicyType": "LongTermRetentionPolicy",
                    "dailySchedule": kept(30, "Days"),
                    "weeklySchedule": kept(12, "Weeks"),
                    "monthlySchedule": kept(84, "Months"),
                },
            }
        }


def _points(vms: int) -> Iterator[Page]:
    times = [(AS_OF - timedelta(days=d, hours=8)).strftime("%Y-%m-%dT%H:%M:%S.1234567Z") for d in range(30)]
    times += [
        (AS_OF - timedelta(days=35 + 7 * w, hours=8)).strftime("%Y-%m-%dT%H:%M:%S.1234567Z") for w in range(POINTS - 30)
    ]
    for vm in range(vms):
        if vm % 10 == 0:
            continue
        item_id = item(vm)
        rows = [
            f'{{"id":"{item_id}/recoveryPoints/{vm:06d}{n:04d}","name":"{vm:06d}{n:04d}",'
            '"type":"Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints",'
            '"properties":{"objectType":"IaasVMRecoveryPoint","recoveryPointType":"CrashConsistent",'
            f'"recoveryPointTime":"{when}","recoveryPointAdditionalInfo":"","sourceVMStorageType":"NormalStorage",'
            '"isSourceVMEncrypted":false,"isInstantIlrSessionActive":false,"recoveryPointTierDetails":'
            '[{"type":"InstantRP","status":"Deleted"},{"type":"HardenedRP","status":"Valid"}],"isManagedVirtualMachine":true,'
            '"virtualMachineSize":"Standard_D4s_v5","originalStorageAccountOption":false,"osType":"Linux"}}'
            for n, when in enumerate(times)
            if not (vm % 40 == 3 and n in (5, 6))
        ]
        yield Page(item_id.lower(), f'{{"value":[{",".join(rows)}],"nextLink":null}}'.encode())


def pages(vms: int) -> Callable[[str], Iterator[Page]]:
    """Give what `store.build` asks for: table -> its response bodies."""
    subscriptions = (
        {
            "id": f"/subscriptions/{_sub(vm)}",
            "name": f"Sub {vm}",
            "subscriptionId": _sub(vm),
            "properties": {"state": "Enabled"},
        }
        for vm in range(0, vms, VMS_PER_SUBSCRIPTION)
    )
    made: dict[str, Callable[[], Iterator[Page]]] = {
        "subscription": lambda: _pages(subscriptions, vms // VMS_PER_SUBSCRIPTION),
        "vm": lambda: _pages(_machines(vms), vms),
        "disk": lambda: _pages(_disks(vms), vms * 3),
        "snapshot": lambda: _pages(_snapshots(vms), vms * 5),
        "vault": lambda: _pages(_vaults(vms), vms // VMS_PER_VAULT),
        "backup_policy": lambda: _pages(_policies(vms), vms // VMS_PER_VAULT),
        "protected_item": lambda: _pages(_items(vms), vms),
        "recovery_point": lambda: _points(vms),
    }
    return lambda table: made.get(table, lambda: iter(()))()
