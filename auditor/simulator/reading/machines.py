"""VMs with their disks, loose disks, scale sets, snapshots and restore point collections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from auditor.simulator import backup, compute
from auditor.simulator.compute import Disk, Json, Machine, Place, ScaleSet, Snapshot
from auditor.simulator.naming import guid
from auditor.simulator.restorepoints import Collection

if TYPE_CHECKING:
    from auditor.simulator.reading.places import Places
    from auditor.simulator.reading.reader import Reader
    from auditor.simulator.reading.vaults import Vaults

_POWER = frozenset({"running", "deallocated", "stopped"})
_MODES = frozenset({"Uniform", "Flexible"})
_CONSISTENCY = frozenset({"ApplicationConsistent", "CrashConsistent", "FileSystemConsistent"})


class Machines:
    """All of compute. A snapshot may only name what stands above it."""

    def __init__(self, read: Reader, places: Places, vaults: Vaults) -> None:
        """Read the sections `disks`, `vms`, `scale_sets`, `snapshots` and `restore_points`."""
        self._read, self._places, self._vaults = read, places, vaults
        self.machines: list[Machine] = []
        self.machine_documents: list[Json] = []
        self.disk_documents: list[Json] = []
        self.snapshot_documents: list[Json] = []
        self.scale_set_documents: list[Json] = []
        self.collections: list[Collection] = []
        """Restore point collections that users and partners made."""
        self._by_name: dict[str, list[Machine]] = {}
        self._disks: dict[str, tuple[Disk, Place]] = {}
        self._snapshot_ids: dict[str, str] = {}
        # A VM may name a shared disk, so the loose ones come first.
        for where, name, value, _ in read.named("disks", "disk"):
            self._loose_disk(where, name, value)
        for where, name, value, _ in read.named("vms", "vm"):
            self._machine(where, name, value)
        self.disk_documents = [compute.disk_document(disk, place) for disk, place in self._disks.values()]
        for where, name, value, _ in read.named("scale_sets", "scale set"):
            self._scale_set(where, name, value)
        for where, name, value, index in read.named("snapshots", "snapshot"):
            self._snapshot(where, name, value, index)
        for where, name, value, _ in read.named("restore_points", "restore point collection"):
            self._collection(where, name, value)

    def _machine(self, where: str, name: str, fields: Json) -> None:
        read = self._read
        place = self._places.place(where, fields)
        created = read.when(f"{where}.age", fields.get("age", "900d"))
        system = str(fields.get("os", "windows"))
        if system not in ("windows", "linux"):
            raise read.wrong(f"{where}.os", f"{system!r} is neither windows nor linux")
        image = self._image(where, fields)
        power = read.choice(f"{where}.power", fields.get("power", "running"), _POWER)
        machine = Machine(
            name=name, place=place, created=created, os_type=system, image=image,
            size=str(fields.get("size", "Standard_D4s_v5")), tags=read.tags(f"{where}.tags", fields.get("tags")),
            power=power, priority=fields.get("priority"),
            ephemeral=bool(fields.get("ephemeral")), unmanaged=bool(fields.get("unmanaged")),
            scale_set=fields.get("scale_set"), security=fields.get("security"),
            zone=None if fields.get("zone") is None else str(fields["zone"]),
            plan=fields.get("plan"), managed_by=str(fields.get("managed_by", "")), extras=fields.get("extras") or {},
        )  # fmt: skip
        sku = str(fields.get("disk_sku", "Premium_LRS"))
        owner = machine.id
        os_disk = None
        # The disks of a machine that is not allocated are reserved for it.
        state = "Reserved" if power == "deallocated" else ""
        if not machine.ephemeral and not machine.unmanaged:
            size = int(fields.get("os_disk", 127 if system == "windows" else 64))
            label = f"{name}_OsDisk_1_{guid('os ' + owner).replace('-', '')}"
            os_disk = Disk(label, size, sku, created, system, owner, state=state)
        data = [
            Disk(f"{name}_DataDisk_{lun}", int(size), sku, created, None, owner, state=state)
            for lun, size in enumerate(fields.get("disks") or ())
        ]
        shared = [self._share(where, str(label), place, owner) for label in fields.get("shared_disks") or ()]
        machine = replace(machine, os_disk=os_disk, data_disks=(*data, *shared))
        if not fields.get("deleted"):
            self.machines.append(machine)
            self.machine_documents.append(compute.machine_document(machine))
            for disk in [os_disk, *data] if os_disk else data:
                self._add_disk(disk, place)
            read.expect(where, owner, fields.get("expect"))
        self._by_name.setdefault(name.lower(), []).append(machine)
        entries = fields.get("backup") or []
        for index, entry in enumerate([entries] if isinstance(entries, dict) else entries):
            self._vaults.protect(f"{where}.backup[{index}]", machine, entry)
        for database, name_of_vault in (fields.get("sql") or {}).items():
            vault = self._vaults.find(f"{where}.sql", name_of_vault)
            self._vaults.add(backup.workload_item(machine, vault, database, read.as_of))

    def _image(self, where: str, fields: Json) -> tuple[str, str, str, str] | None:
        if "image" not in fields:
            return None
        parts = str(fields["image"]).split(":")
        if len(parts) != 4:  # noqa: PLR2004 - publisher:offer:sku:version
            raise self._read.wrong(f"{where}.image", "write publisher:offer:sku:version")
        return parts[0], parts[1], parts[2], parts[3]

    def _share(self, where: str, name: str, place: Place, machine: str) -> Disk:
        """Attach a shared disk of the same group to one machine more."""
        key = place.id_of(compute.DISK, name).lower()
        disk, home = self._disks.get(key, (None, place))
        if disk is None:
            raise self._read.wrong(f"{where}.shared_disks", f"no disk {name!r} in {place.group}")
        if len(disk.sharers) >= disk.shared:
            raise self._read.wrong(f"{where}.shared_disks", f"disk {name!r} is shared by {disk.shared} at most")
        disk = replace(disk, sharers=(*disk.sharers, machine))
        self._disks[key] = (disk, home)
        return disk

    def _add_disk(self, disk: Disk, place: Place) -> None:
        self._disks[place.id_of(compute.DISK, disk.name).lower()] = (disk, place)

    def _loose_disk(self, where: str, name: str, fields: Json) -> None:
        place = self._places.place(where, fields)
        created = self._read.when(f"{where}.age", fields.get("age", "400d"))
        disk = Disk(
            name, int(fields.get("size", 128)), str(fields.get("sku", "Premium_LRS")), created, fields.get("os"),
            tags=self._read.tags(f"{where}.tags", fields.get("tags")), shared=int(fields.get("shared", 1)),
            state=str(fields.get("state", "")), network=str(fields.get("network", "AllowAll")),
            public=str(fields.get("public", "Enabled")),
        )  # fmt: skip
        self._add_disk(disk, place)
        self._read.expect(where, place.id_of(compute.DISK, name), fields.get("expect"))

    def find(self, where: str, text: str) -> Machine:
        """Find a machine by `name` or `subscription/group/name`, deleted ones too."""
        *head, name = text.split("/")
        found = self._by_name.get(name.lower(), [])
        if head:
            wanted = self._places.group(where, "/".join(head), {})
            found = [m for m in found if (m.place.subscription, m.place.group) == (wanted.subscription, wanted.group)]
        if len(found) != 1:
            raise self._read.wrong(where, f"{len(found)} VMs are called {text!r}", "Write subscription/group/name.")
        return found[0]

    def source(self, where: str, text: str, place: Place) -> tuple[str, str | None, int, str | None]:
        """Resolve `vm`, `vm:0`, `disk:name`, `snapshot:name`, `gone:name`, `/subscriptions/...`.

        Gives id, unique id, size and operating system of the source.
        """
        kind, _, rest = text.partition(":")
        if text.startswith("/"):
            return text, guid(text), 128, None
        if kind == "gone":
            identifier = place.id_of(compute.DISK, rest)
            return identifier, guid(f"gone {identifier}"), 128, None
        if kind == "snapshot":
            if rest.lower() not in self._snapshot_ids:
                raise self._read.wrong(where, f"no snapshot {rest!r} above this line")
            return self._snapshot_ids[rest.lower()], None, 128, None
        if kind == "disk":
            identifier = place.id_of(compute.DISK, rest)
            if identifier.lower() not in self._disks:
                raise self._read.wrong(where, f"no disk {rest!r} in {place.group}")
            disk, home = self._disks[identifier.lower()]
        else:
            machine = self.find(where, kind)
            home = machine.place
            disks = [machine.os_disk, *machine.data_disks] if machine.os_disk else list(machine.data_disks)
            lun = int(rest) + 1 if rest else 0
            if lun >= len(disks) or disks[lun] is None:
                raise self._read.wrong(where, f"VM {kind} has no disk {rest or 'os'}")
            disk = disks[lun]
        identifier = home.id_of(compute.DISK, disk.name)
        return identifier, disk.unique_id or guid(f"disk {identifier.lower()}"), disk.size, disk.os_type

    def _snapshot(self, where: str, name: str, fields: Json, index: int) -> None:
        read = self._read
        place = self._places.place(where, fields)
        option = str(fields.get("create", "Copy"))
        source: str | None = None
        unique: str | None = None
        size, system = 128, None
        if fields.get("of") is not None:
            source, unique, size, system = self.source(f"{where}.of", str(fields["of"]), place)
        if fields.get("recreated"):
            unique = guid(f"former {source}")
        age = read.span(f"{where}.age", fields.get("age", "3d"))
        created = read.as_of - age - index * read.span(f"{where}.step", fields.get("step", "1d"))
        days = int(fields.get("immutable_days", 0))
        until = created + read.span(where, f"{days}d") if days else None
        access = fields.get("access")
        # Only a copy into another region takes its time.
        percent = fields.get("completion", 100.0 if option == "CopyStart" else None)
        snapshot = Snapshot(
            name=name, place=place, created=created, source=source, source_unique_id=unique,
            size=int(fields.get("size", size)), create_option=option, incremental=bool(fields.get("incremental", True)),
            sku=str(fields.get("sku", "Standard_LRS")), os_type=fields.get("os", system),
            tags=read.tags(f"{where}.tags", fields.get("tags")), state=str(fields.get("state", "Unattached")),
            immutable_until=until, immutable_days=days, expired=until is not None and until <= read.as_of,
            network=str(fields.get("network", "AllowAll")), public=str(fields.get("public", "Enabled")),
            access=place.id_of("Microsoft.Compute/diskAccesses", str(access)) if access else None,
            auth_mode=fields.get("auth_mode"), completion=None if percent is None else float(percent),
        )  # fmt: skip
        self.snapshot_documents.append(compute.snapshot_document(snapshot))
        identifier = place.id_of(compute.SNAPSHOT, name)
        self._snapshot_ids[name.lower()] = identifier
        read.expect(where, identifier, fields.get("expect"))

    def _scale_set(self, where: str, name: str, fields: Json) -> None:
        read = self._read
        place = self._places.place(where, fields)
        mode = fields.get("mode")
        scale_set = ScaleSet(
            name=name, place=place, created=read.when(f"{where}.age", fields.get("age", "300d")),
            capacity=int(fields.get("capacity", 2)),
            mode=None if mode is None else read.choice(f"{where}.mode", mode, _MODES),
            size=str(fields.get("size", "Standard_D2s_v5")), os_type=str(fields.get("os", "linux")),
            image=self._image(where, fields), priority=str(fields.get("priority", "Regular")),
            zones=tuple(map(str, fields.get("zones") or ())), tags=read.tags(f"{where}.tags", fields.get("tags")),
        )  # fmt: skip
        self.scale_set_documents.append(compute.scale_set_document(scale_set))
        read.expect(where, place.id_of(compute.SCALE_SET, name), fields.get("expect"))

    def _collection(self, where: str, name: str, fields: Json) -> None:
        read = self._read
        place = self._places.place(where, fields)
        if "of" not in fields:
            raise read.wrong(f"{where}.of", "say of which VM")
        collection = Collection(
            name=name, place=place, machine=self.find(f"{where}.of", str(fields["of"])),
            made=tuple(read.when(f"{where}.points", moment) for moment in fields.get("points") or ("-1d",)),
            consistency=read.choice(f"{where}.consistency", fields.get("consistency", "CrashConsistent"), _CONSISTENCY),
            excluded_luns=tuple(fields.get("excluded_luns") or ()),
            tags=read.tags(f"{where}.tags", fields.get("tags")),
        )  # fmt: skip
        self.collections.append(collection)
        read.expect(where, collection.id, fields.get("expect"))
