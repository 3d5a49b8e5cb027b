"""ARM documents of Azure Site Recovery: VMs replicated to another region. A replica is no backup.

Shape: payload asr_replicationProtectedItems_list_2024-04-01 (of Hyper-V); what Azure-to-Azure says beyond it:
A2AReplicationDetails and A2AProtectedDiskDetails of azure-mgmt-recoveryservicessiterecovery 2.0.0. Fabrics and
containers are named as the portal's defaults in Microsoft's pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from auditor.simulator import compute
from auditor.simulator.clock import ticks
from auditor.simulator.naming import group_id, guid, mixed

if TYPE_CHECKING:
    from datetime import datetime

    from auditor.simulator.compute import Json, Machine, Place

NEVER = "1753-01-01T01:01:01Z"
"""What Azure sends as the start of a scenario that isn't running."""
_VAULT = "Microsoft.RecoveryServices/vaults"


@dataclass(frozen=True, slots=True)
class Replication:
    """How a VM is replicated, as the estate describes it."""

    machine: Machine
    vault_id: str
    target: Place
    """Resource group and region of the replica."""
    state: str = "Protected"
    health: str = "Normal"
    rpo_seconds: int | None = 300
    last_test: datetime | None = None
    """Last successful test failover; None: never."""
    test_state: str = "None"
    policy: str = "24-hour-retention-policy"


def replicated_item_document(replication: Replication, as_of: datetime) -> Json:
    """Body of a replicated VM."""
    machine, target, vault = replication.machine, replication.target, replication.vault_id
    home = machine.place.location
    fabric, far = f"asr-a2a-default-{home}", f"asr-a2a-default-{target.location}"
    container = f"{vault}/replicationFabrics/{fabric}/replicationProtectionContainers/{fabric}-container"
    name = guid(f"replica {machine.id} {vault}")
    disks = [machine.os_disk, *machine.data_disks] if machine.os_disk else list(machine.data_disks)
    target_group = group_id(target.subscription, target.group)
    details: Json = {
        "instanceType": "A2A",
        "fabricObjectId": mixed(machine.id, "replica"),
        "primaryFabricLocation": home,
        "recoveryFabricLocation": target.location,
        "osType": machine.os_type.capitalize(),
        "recoveryAzureVMSize": machine.size,
        "recoveryAzureVMName": machine.name,
        "recoveryAzureResourceGroupId": target_group,
        "vmProtectionState": replication.state,
        "vmProtectionStateDescription": replication.state,
        "agentVersion": "9.63.7187.1",
        "isReplicationAgentUpdateRequired": False,
        "autoProtectionOfDataDisk": "Disabled",
        "protectedDisks": [
            {
                "diskUri": machine.place.id_of(compute.DISK, disk.name),
                "recoveryDiskUri": f"{target_group}/providers/{compute.DISK}/{disk.name}-ASRReplica",
                "diskName": disk.name,
                "diskCapacityInBytes": disk.size * 1024**3,
                "diskType": disk.sku,
                "resyncRequired": False,
            }
            for disk in disks
        ],
        "unprotectedDisks": [],
    }
    if replication.rpo_seconds is not None:
        details |= {
            "rpoInSeconds": replication.rpo_seconds,
            "lastRpoCalculatedTime": ticks(as_of - timedelta(minutes=1)),
            "lastHeartbeat": ticks(as_of - timedelta(minutes=1)),
        }
    properties: Json = {
        "friendlyName": machine.name,
        "protectedItemType": "AzureVirtualMachine",
        "protectableItemId": f"{container}/replicationProtectableItems/{name}",
        "recoveryServicesProviderId": f"{vault}/replicationFabrics/{fabric}"
        f"/replicationRecoveryServicesProviders/{guid(fabric)}",
        "primaryFabricFriendlyName": home,
        "recoveryFabricFriendlyName": target.location,
        "recoveryFabricId": f"{vault}/replicationFabrics/{far}",
        "primaryProtectionContainerFriendlyName": f"{fabric}-container",
        "recoveryProtectionContainerFriendlyName": f"{far}-container",
        "protectionState": replication.state,
        "protectionStateDescription": replication.state,
        "activeLocation": "Primary",
        "testFailoverState": replication.test_state,
        "testFailoverStateDescription": replication.test_state,
        "allowedOperations": ["UnplannedFailover", "DisableProtection", "TestFailover"],
        "replicationHealth": replication.health,
        "failoverHealth": replication.health,
        "policyId": f"{vault}/replicationPolicies/{replication.policy}",
        "policyFriendlyName": replication.policy,
        "currentScenario": {
            "scenarioName": "None",
            "jobId": f"{vault}/replicationJobs/None",
            "startTime": NEVER,
        },
        "providerSpecificDetails": details,
        "recoveryContainerId": f"{vault}/replicationFabrics/{far}/replicationProtectionContainers/{far}-container",
    }
    if replication.last_test is not None:
        properties["lastSuccessfulTestFailoverTime"] = ticks(replication.last_test)
    return {
        "id": f"{container}/replicationProtectedItems/{name}",
        "name": name,
        "type": f"{_VAULT}/replicationFabrics/replicationProtectionContainers/replicationProtectedItems",
        "properties": properties,
    }
