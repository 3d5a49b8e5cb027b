"""Copies beside Azure VM backup: Azure Disk Backup and Site Recovery."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from typing import TYPE_CHECKING

from auditor.simulator import dataprotection, replication

if TYPE_CHECKING:
    from auditor.simulator.compute import Json, Place
    from auditor.simulator.reading.machines import Machines
    from auditor.simulator.reading.places import Places
    from auditor.simulator.reading.reader import Reader
    from auditor.simulator.reading.vaults import Vaults

_DEFAULT = dataprotection.DiskPlan("disk-daily", at=time(19))


class Copies:
    """Backup vaults with their policies and instances, and replicated VMs."""

    def __init__(self, read: Reader, places: Places, vaults: Vaults, machines: Machines) -> None:
        """Read the sections `backup_vaults`, `disk_policies`, `disk_backups` and `replications`."""
        self._read, self._places, self._vaults, self._machines = read, places, vaults, machines
        self.backup_vaults: dict[str, Json] = {}
        """Id -> Backup vault."""
        self.policies: dict[str, Json] = {}
        """Id -> policy of a Backup vault."""
        self.instances: list[Json] = []
        self.replicas: list[Json] = []
        self._plans = {_DEFAULT.name: _DEFAULT}
        for where, key, value in read.section("backup_vaults"):
            fields = read.fields("backup vault", where, value)
            place, name = places.placed(where, key, fields)
            self._add_vault(place, name, fields | {"tags": read.tags(f"{where}.tags", fields.get("tags"))})
        for where, key, value in read.section("disk_policies"):
            self._plan(where, key, read.fields("disk policy", where, value))
        for where, fields in read.listed("disk_backups", "disk backup"):
            self._disk_backup(where, fields)
        for where, fields in read.listed("replications", "replication"):
            self._replication(where, fields)

    def _add_vault(self, place: Place, name: str, spec: Json) -> str:
        identifier = place.id_of(dataprotection.BACKUP_VAULT, name)
        if identifier not in self.backup_vaults:
            tenant = self._places.tenant_of(place.subscription)
            self.backup_vaults[identifier] = dataprotection.backup_vault_document(name, place, spec, tenant)
        return identifier

    def _plan(self, where: str, name: str, fields: Json) -> None:
        read = self._read
        weekly = fields.get("weekly")
        hours = read.span(f"{where}.every", fields.get("every", "24h")).total_seconds() / 3600
        plan = dataprotection.DiskPlan(
            name=name,
            every_hours=int(hours),
            at=read.clock(f"{where}.at", fields.get("at", "19:00")),
            keep=read.count(f"{where}.keep", fields.get("keep", "7 Days")),
            weekly=None if weekly is None else read.count(f"{where}.weekly", weekly),
        )
        self._plans[name] = plan
        for vault in fields.get("vaults") or ():
            place, short = self._places.placed(f"{where}.vaults", str(vault), {})
            identifier = place.id_of(dataprotection.BACKUP_VAULT, short)
            if identifier not in self.backup_vaults:
                raise read.wrong(f"{where}.vaults", f"no Backup vault {vault!r}")
            self._add_policy(identifier, plan)

    def _add_policy(self, vault_id: str, plan: dataprotection.DiskPlan) -> None:
        document = dataprotection.disk_policy_document(plan, vault_id)
        self.policies[document["id"]] = document

    def _disk_backup(self, where: str, fields: Json) -> None:
        """Add a disk's instance in a Backup vault, which writes snapshots into a group; the vault comes with it."""
        read = self._read
        place = self._places.place(where, fields)
        vault_id = self._add_vault(place, str(fields.get("vault", "bvault")), {})
        name = str(fields.get("policy", _DEFAULT.name))
        if name not in self._plans:
            raise read.wrong(f"{where}.policy", f"no disk policy {name!r}", f"Known: {', '.join(self._plans)}")
        self._add_policy(vault_id, self._plans[name])
        disk_id, _, _, _ = self._machines.source(f"{where}.of", str(fields.get("of")), place)
        snapshots = self._places.group(f"{where}.snapshot_group", str(fields.get("snapshot_group")), {})
        state = read.choice(f"{where}.state", fields.get("state", "ProtectionConfigured"), dataprotection.STATES)
        self.instances.append(
            dataprotection.instance_document(vault_id, disk_id, place, snapshots=snapshots, policy=name, state=state)
        )

    def _replication(self, where: str, fields: Json) -> None:
        read = self._read
        for key in ("vault", "of", "to"):
            if key not in fields:
                raise read.wrong(f"{where}.{key}", f"say its {key}")
        target = self._places.group(f"{where}.to", str(fields["to"]), {})
        if "location" in fields:
            target = replace(target, location=str(fields["location"]))
        rpo, test = fields.get("rpo", "5min"), fields.get("last_test")
        self.replicas.append(replication.replicated_item_document(replication.Replication(
            machine=self._machines.find(f"{where}.of", str(fields["of"])),
            vault_id=self._vaults.find(f"{where}.vault", str(fields["vault"])).id,
            target=target,
            state=str(fields.get("state", "Protected")),
            health=str(fields.get("health", "Normal")),
            rpo_seconds=None if rpo is None else int(read.span(f"{where}.rpo", rpo).total_seconds()),
            last_test=None if test is None else read.when(f"{where}.last_test", test),
            test_state=str(fields.get("test_state", "None")),
            policy=str(fields.get("policy", "24-hour-retention-policy")),
        ), read.as_of))  # fmt: skip
