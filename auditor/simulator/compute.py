"""ARM documents of VMs, scale sets, disks and snapshots.

Shapes: payloads arm_virtualmachines_list, arm_vmss_list, arm_disks_list, arm_snapshots_list; networkAccessPolicy,
publicNetworkAccess, dataAccessAuthMode, diskAccessId, completionPercent, maxShares and managedByExtended: models of
azure-mgmt-compute 39.0.0 (Disk, Snapshot).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from auditor.simulator.clock import seed, ticks
from auditor.simulator.naming import group_cased, guid, mixed, resource_id

if TYPE_CHECKING:
    from datetime import datetime

Json = dict[str, Any]
"""A JSON object as Azure would send it."""

VM = "Microsoft.Compute/virtualMachines"
SCALE_SET = "Microsoft.Compute/virtualMachineScaleSets"
DISK = "Microsoft.Compute/disks"
SNAPSHOT = "Microsoft.Compute/snapshots"
_IMAGES = {
    "windows": ("MicrosoftWindowsServer", "WindowsServer", "2022-datacenter-azure-edition", "20348.2700.240905"),
    "linux": ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "22.04.202411030"),
}


@dataclass(frozen=True, slots=True)
class Disk:
    """A managed disk, attached or not."""

    name: str
    size: int
    """GiB, provisioned."""
    sku: str
    created: datetime
    os_type: str | None = None
    owner: str | None = None
    """Id of the VM it is attached to."""
    tags: Json | None = None
    shared: int = 1
    """How many VMs may attach it at a time."""
    sharers: tuple[str, ...] = ()
    """Ids of the VMs that have it attached, where it is shared."""
    state: str = ""
    """diskState; empty: what follows from its VM."""
    network: str = "AllowAll"
    public: str = "Enabled"
    unique_id: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is."""

    subscription: str
    group: str
    location: str

    def id_of(self, kind: str, name: str) -> str:
        """ARM id of a resource of this kind and name here."""
        return resource_id(self.subscription, self.group, kind, name)


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM as the estate describes it."""

    name: str
    place: Place
    created: datetime
    os_type: str = "windows"
    image: tuple[str, str, str, str] | None = None
    """Publisher, offer, sku, exact version."""
    size: str = "Standard_D4s_v5"
    tags: Json | None = None
    power: str = "running"
    priority: str | None = None
    ephemeral: bool = False
    unmanaged: bool = False
    scale_set: str | None = None
    security: str | None = None
    zone: str | None = None
    os_disk: Disk | None = None
    data_disks: tuple[Disk, ...] = ()
    plan: Json | None = None
    managed_by: str = ""
    extras: Json = field(default_factory=dict)
    """Properties laid over the generated ones."""

    @property
    def id(self) -> str:
        """ARM id, in the case of the estate file."""
        return self.place.id_of(VM, self.name)


def machine_document(machine: Machine) -> Json:
    """Body of a VM as `GET .../virtualMachines` lists it."""
    windows = machine.os_type == "windows"
    place = machine.place
    nic = place.id_of("Microsoft.Network/networkInterfaces", f"{machine.name}-nic")
    properties: Json = {
        "hardwareProfile": {"vmSize": machine.size},
        "provisioningState": "Succeeded",
        "vmId": guid(f"vm {machine.id.lower()}"),
        "storageProfile": _storage_profile(machine, windows=windows),
        "osProfile": _os_profile(machine, windows=windows),
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        "timeCreated": ticks(machine.created, "+00:00"),
    }
    if machine.priority:
        properties |= {"priority": machine.priority, "evictionPolicy": "Deallocate"}
    if machine.security:
        properties["securityProfile"] = {"securityType": machine.security}
    if machine.scale_set:
        scale_set = place.id_of("Microsoft.Compute/virtualMachineScaleSets", machine.scale_set)
        properties["virtualMachineScaleSet"] = {"id": scale_set}
    document: Json = {
        "name": machine.name,
        "id": machine.id,
        "type": VM,
        "location": place.location,
        "properties": properties | machine.extras,
        "etag": f'"{seed(machine.id) % 90 + 1}"',
        "resources": [{"id": f"{machine.id}/extensions/{'MDE.Windows' if windows else 'AzureMonitorLinuxAgent'}"}],
    }
    if machine.tags is not None:
        document["tags"] = machine.tags
    optional = {
        "zones": [machine.zone] if machine.zone else None,
        "plan": machine.plan,
        "managedBy": machine.managed_by,
    }
    return document | {key: value for key, value in optional.items() if value}


def _storage_profile(machine: Machine, *, windows: bool) -> Json:
    publisher, offer, sku, version = machine.image or _IMAGES[machine.os_type]
    place = machine.place
    os_disk: Json = {
        "osType": "Windows" if windows else "Linux",
        "name": machine.os_disk.name if machine.os_disk else f"{machine.name}_OsDisk",
        "createOption": "FromImage",
        "caching": "ReadOnly" if machine.ephemeral else "ReadWrite",
    }
    if machine.unmanaged:
        os_disk["vhd"] = {"uri": f"https://st{seed(machine.id)}.blob.core.windows.net/vhds/{machine.name}.vhd"}
    elif machine.os_disk:
        # Azure itself spells the group of a VM's disks differently from the VM's own.
        disk_id = group_cased(place.id_of(DISK, machine.os_disk.name), "lower" if seed(machine.id) % 2 else "plain")
        os_disk["managedDisk"] = {"storageAccountType": machine.os_disk.sku, "id": disk_id}
    if machine.ephemeral:
        os_disk["diffDiskSettings"] = {"option": "Local", "placement": "CacheDisk"}
    os_disk |= {"deleteOption": "Detach", "diskSizeGB": machine.os_disk.size if machine.os_disk else 127}
    image = {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest", "exactVersion": version}
    data_disks = [
        {
            "lun": lun,
            "name": disk.name,
            "createOption": "Attach",
            "caching": "None",
            "managedDisk": {"storageAccountType": disk.sku, "id": place.id_of(DISK, disk.name)},
            "deleteOption": "Detach",
            "diskSizeGB": disk.size,
            "toBeDetached": False,
        }
        for lun, disk in enumerate(machine.data_disks)
    ]
    return {"imageReference": image, "osDisk": os_disk, "dataDisks": data_disks, "diskControllerType": "SCSI"}


def _os_profile(machine: Machine, *, windows: bool) -> Json:
    profile: Json = {"computerName": machine.name[:15], "adminUsername": "azureadmin", "secrets": []}
    if windows:
        profile["windowsConfiguration"] = {
            "provisionVMAgent": True,
            "enableAutomaticUpdates": True,
            "patchSettings": {"patchMode": "AutomaticByOS", "assessmentMode": "ImageDefault"},
        }
    else:
        profile["linuxConfiguration"] = {
            "disablePasswordAuthentication": True,
            "patchSettings": {"patchMode": "ImageDefault", "assessmentMode": "ImageDefault"},
        }
    return profile | {"allowExtensionOperations": True, "requireGuestProvisionSignal": True}


def power_state(machine: Machine) -> Json:
    """Give what Resource Graph adds to a VM's properties under `extended`."""
    display = {"running": "VM running", "deallocated": "VM deallocated", "stopped": "VM stopped"}[machine.power]
    status = {"code": f"PowerState/{machine.power}", "displayStatus": display, "level": "Info"}
    view: Json = {"powerState": status, "hyperVGeneration": "V2", "computerName": machine.name[:15]}
    return {"instanceView": view}


def disk_document(disk: Disk, place: Place) -> Json:
    """Body of a disk as `GET .../disks` lists it."""
    creation: Json = {"createOption": "FromImage" if disk.os_type else "Empty"}
    if disk.os_type:
        publisher, offer, sku, version = _IMAGES[disk.os_type]
        creation["imageReference"] = {
            "id": f"/Subscriptions/{place.subscription}/Providers/Microsoft.Compute/Locations/{place.location}"
            f"/Publishers/{publisher}/ArtifactTypes/VMImage/Offers/{offer}/Skus/{sku}/Versions/{version}"
        }
    document: Json = {
        "name": disk.name,
        "id": place.id_of(DISK, disk.name),
        "type": DISK,
        "location": place.location,
        "sku": {"name": disk.sku, "tier": disk.sku.split("_")[0]},
        "properties": {
            "creationData": creation,
            "diskSizeGB": disk.size,
            "diskIOPSReadWrite": 500,
            "diskMBpsReadWrite": 60,
            "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
            "networkAccessPolicy": disk.network,
            "publicNetworkAccess": disk.public,
            "timeCreated": ticks(disk.created, "+00:00"),
            "provisioningState": "Succeeded",
            "diskState": disk.state or ("Attached" if disk.owner or disk.sharers else "Unattached"),
            "diskSizeBytes": disk.size * 1024**3,
            "uniqueId": disk.unique_id or guid(f"disk {place.id_of(DISK, disk.name).lower()}"),
        },
    }
    if disk.os_type:
        document["properties"]["osType"] = disk.os_type.capitalize()
    if disk.shared > 1:
        document["properties"]["maxShares"] = disk.shared
    if disk.sharers:
        document["managedBy"] = disk.sharers[0]
        document["managedByExtended"] = list(disk.sharers)
    if disk.owner:
        document["managedBy"] = group_cased(disk.owner, "lower" if seed(disk.owner) % 2 else "upper")
    if disk.tags is not None:
        document["tags"] = disk.tags
    return document


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A managed-disk snapshot as the estate describes it."""

    name: str
    place: Place
    created: datetime
    source: str | None
    """ARM id of a disk or another snapshot; None for an import."""
    source_unique_id: str | None
    size: int
    create_option: str = "Copy"
    incremental: bool = True
    sku: str = "Standard_LRS"
    os_type: str | None = None
    tags: Json | None = None
    state: str = "Unattached"
    immutable_until: datetime | None = None
    immutable_days: int = 0
    expired: bool = False
    network: str = "AllowAll"
    public: str = "Enabled"
    access: str | None = None
    """Id of the disk access through which alone it can be exported (network AllowPrivate)."""
    auth_mode: str | None = None
    """AzureActiveDirectory: an export needs a signed-in user, too."""
    completion: float | None = None
    """Per cent of a CopyStart that has arrived."""


def snapshot_document(snapshot: Snapshot) -> Json:
    """Body of a snapshot as `GET .../snapshots` lists it."""
    identifier = snapshot.place.id_of(SNAPSHOT, snapshot.name)
    creation: Json = {"createOption": snapshot.create_option}
    if snapshot.source:
        creation["sourceResourceId"] = mixed(snapshot.source, "snapshot")
        if snapshot.source_unique_id:
            creation["sourceUniqueId"] = snapshot.source_unique_id
    else:
        creation["sourceUri"] = "https://stcontosoimport.blob.core.windows.net/vhds/import.vhd"
    properties: Json = {
        "creationData": creation,
        "diskSizeGB": snapshot.size,
        "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
        "incremental": snapshot.incremental,
        "networkAccessPolicy": snapshot.network,
        "publicNetworkAccess": snapshot.public,
        "timeCreated": ticks(snapshot.created, "+00:00"),
        "provisioningState": "Succeeded",
        "diskState": snapshot.state,
        "diskSizeBytes": snapshot.size * 1024**3,
        "uniqueId": guid(f"snapshot {identifier.lower()}"),
    }
    if snapshot.os_type:
        properties |= {"osType": snapshot.os_type.capitalize(), "hyperVGeneration": "V2"}
    if snapshot.incremental:
        properties["incrementalSnapshotFamilyId"] = guid(f"family {snapshot.source}")
    optional = {
        "diskAccessId": snapshot.access,
        "dataAccessAuthMode": snapshot.auth_mode,
        "completionPercent": snapshot.completion,
    }
    properties |= {key: value for key, value in optional.items() if value is not None}
    if snapshot.immutable_until:
        properties["immutabilityPolicy"] = {
            "immutabilityDurationDays": snapshot.immutable_days,
            "type": "Locked",
            "policyExpirationTime": ticks(snapshot.immutable_until, "+00:00"),
            "isPolicyExpired": snapshot.expired,
        }
    document: Json = {
        "name": snapshot.name,
        "id": identifier,
        "type": SNAPSHOT,
        "location": snapshot.place.location,
        "tags": snapshot.tags or {},
        "sku": {"name": snapshot.sku, "tier": snapshot.sku.split("_")[0]},
        "properties": properties,
    }
    return document


@dataclass(frozen=True, slots=True)
class ScaleSet:
    """A scale set as the estate describes it."""

    name: str
    place: Place
    created: datetime
    capacity: int
    mode: str | None = None
    """Uniform or Flexible; None as sets of old are shown, which are uniform."""
    size: str = "Standard_D2s_v5"
    os_type: str = "linux"
    image: tuple[str, str, str, str] | None = None
    priority: str = "Regular"
    zones: tuple[str, ...] = ()
    tags: Json | None = None


def scale_set_document(scale_set: ScaleSet) -> Json:
    """Body of a scale set as `GET .../virtualMachineScaleSets` lists it."""
    place, name = scale_set.place, scale_set.name
    publisher, offer, sku, _ = scale_set.image or _IMAGES[scale_set.os_type]
    network = place.id_of("Microsoft.Network/virtualNetworks", f"{name}-vnet")
    address = {
        "name": f"{name}-ip",
        "properties": {"subnet": {"id": f"{network}/subnets/default"}, "privateIPAddressVersion": "IPv4"},
    }
    interface = {
        "name": f"{name}-nic",
        "properties": {
            "primary": True,
            "enableAcceleratedNetworking": False,
            "dnsSettings": {"dnsServers": []},
            "enableIPForwarding": False,
            "ipConfigurations": [address],
        },
    }
    system: Json = {"computerNamePrefix": name[:9], "adminUsername": "azureadmin", "secrets": []}
    if scale_set.os_type == "linux":
        key = {"path": "/home/azureadmin/.ssh/authorized_keys", "keyData": "ssh-rsa AAAA pretended"}
        system["linuxConfiguration"] = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    else:
        system["windowsConfiguration"] = {"provisionVMAgent": True, "enableAutomaticUpdates": True}
    properties: Json = {
        "singlePlacementGroup": scale_set.mode != "Flexible",
        "virtualMachineProfile": {
            "osProfile": system,
            "storageProfile": {
                "osDisk": {
                    "osType": scale_set.os_type.capitalize(),
                    "createOption": "FromImage",
                    "caching": "ReadWrite",
                    "managedDisk": {"storageAccountType": "Premium_LRS"},
                },
                "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
            },
            "networkProfile": {"networkInterfaceConfigurations": [interface]},
            "priority": scale_set.priority,
        },
        "provisioningState": "Succeeded",
        "uniqueId": guid(f"scale set {place.id_of(SCALE_SET, name).lower()}"),
        "timeCreated": ticks(scale_set.created, "+00:00"),
    }
    if scale_set.mode:
        properties["orchestrationMode"] = scale_set.mode
    if scale_set.mode == "Flexible":
        properties["platformFaultDomainCount"] = 1
    else:
        properties |= {
            "overprovision": True,
            "upgradePolicy": {
                "mode": "Manual",
                "automaticOSUpgradePolicy": {"enableAutomaticOSUpgrade": False, "disableAutomaticRollback": False},
            },
        }
    document: Json = {
        "sku": {"name": scale_set.size, "tier": "Standard", "capacity": scale_set.capacity},
        "properties": properties,
        "type": SCALE_SET,
        "location": place.location,
        "id": place.id_of(SCALE_SET, name),
        "name": name,
    }
    if scale_set.zones:
        document["zones"] = list(scale_set.zones)
    return document | {"tags": scale_set.tags} if scale_set.tags is not None else document
