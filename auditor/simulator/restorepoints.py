"""Restore point collections of VMs and the restore points in them, which only Compute's REST shows.

Shape: payload arm_restorePointCollection_with_points_2024-03-01. Azure Backup keeps its instant-restore snapshots in
such collections, `AzureBackup_<vm>_<digits>` in the hidden group `AzureBackupRG_<region>_<n>`, with restore points
named `AzureBackup_<date>_<time>` (ids in public terraform states).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.simulator.clock import seed, ticks
from auditor.simulator.compute import DISK, machine_document
from auditor.simulator.naming import guid, mixed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditor.simulator.backup import Item
    from auditor.simulator.compute import Json, Machine, Place

COLLECTION = "Microsoft.Compute/restorePointCollections"


@dataclass(frozen=True, slots=True)
class Collection:
    """A restore point collection of one VM."""

    name: str
    place: Place
    machine: Machine
    made: tuple[datetime, ...] = ()
    """When its points were taken, where a user or a partner made them."""
    item: Item | None = None
    """Where Azure Backup made it: its points are the item's that still have their snapshot."""
    consistency: str = "ApplicationConsistent"
    excluded_luns: tuple[int, ...] = ()
    tags: Json | None = None

    @property
    def id(self) -> str:
        """ARM id."""
        return self.place.id_of(COLLECTION, self.name)

    def document(self, as_of: datetime, *, points: bool = False) -> Json:
        """Body of the collection; `points` as with `$expand=restorePoints`."""
        properties: Json = {
            "source": {"id": mixed(self.machine.id, "rpc"), "location": self.machine.place.location},
            "restorePointCollectionId": guid(f"rpc {self.id.lower()}"),
            "provisioningState": "Succeeded",
        }
        if points:
            properties["restorePoints"] = [self._point(moment) for moment in self.taken(as_of)]
        document: Json = {
            "name": self.name,
            "id": self.id,
            "type": COLLECTION,
            "location": self.place.location,
            "properties": properties,
        }
        return document | {"tags": self.tags} if self.tags is not None else document

    def taken(self, as_of: datetime) -> Iterator[datetime]:
        """Give the instants of its points, newest first."""
        if self.item is None:
            yield from sorted(self.made, reverse=True)
            return
        for point in self.item.points(as_of):
            if ("InstantRP", "Valid") in point.tiers:
                yield point.taken

    def _point(self, taken: datetime) -> Json:
        name = f"AzureBackup_{taken:%Y%m%d_%H%M%S}" if self.item else f"rp-{taken:%Y%m%d-%H%M%S}"
        identifier = f"{self.id}/restorePoints/{name}"
        machine = self.machine
        body = machine_document(machine)["properties"]
        profile = body["storageProfile"]

        def copied(disk: Json) -> Json:
            kept = {key: disk[key] for key in ("lun", "osType", "name", "caching", "managedDisk") if key in disk}
            copy = f"{identifier}/diskRestorePoints/{disk['name']}_{guid(identifier + disk['name'])}"
            return kept | {"diskRestorePoint": {"id": copy}}

        left_out = [disk for disk in profile["dataDisks"] if disk["lun"] in self.excluded_luns]
        properties: Json = {
            "sourceMetadata": {
                "vmId": body["vmId"],
                "hardwareProfile": body["hardwareProfile"],
                "storageProfile": {
                    "osDisk": copied(profile["osDisk"]),
                    "dataDisks": [copied(disk) for disk in profile["dataDisks"] if disk not in left_out],
                    "diskControllerType": profile["diskControllerType"],
                },
                "osProfile": body["osProfile"],
                "diagnosticsProfile": body["diagnosticsProfile"],
                "location": machine.place.location,
            },
            "provisioningState": "Succeeded",
            "consistencyMode": self.consistency,
            "timeCreated": ticks(taken, "+00:00"),
        }
        if left_out:
            properties["excludeDisks"] = [{"id": machine.place.id_of(DISK, disk["name"])} for disk in left_out]
        return {"name": name, "id": identifier, "properties": properties}


def of_backup(item: Item, machine: Machine, holder: Place) -> Collection:
    """Make the collection in which Azure Backup keeps the snapshots of an item."""
    name = f"AzureBackup_{machine.name}_{seed(item.id) % 10**12}"
    return Collection(
        name, holder, machine, item=item, excluded_luns=tuple(item.facts["excluded"]),
        consistency="ApplicationConsistent" if machine.os_type == "windows" else "FileSystemConsistent",
    )  # fmt: skip
