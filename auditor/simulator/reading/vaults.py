"""Recovery Services vaults, their policies, and how VMs are protected in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from typing import TYPE_CHECKING

from auditor.simulator import backup, dataprotection, monitor, restorepoints
from auditor.simulator.clock import WEEKDAYS, ZONE_MINUTES, ticks
from auditor.simulator.naming import group_id, guid
from auditor.simulator.points import History
from auditor.simulator.reading.reader import merged
from auditor.simulator.vault import VAULT, endpoint_connection, papers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditor.simulator.compute import Json, Machine, Place
    from auditor.simulator.reading.governance import Guards
    from auditor.simulator.reading.places import Places
    from auditor.simulator.reading.reader import Reader

_RULES = frozenset({"daily", "weekly", "monthly", "yearly"})
_CONNECTIONS = frozenset({"Approved", "Pending", "Rejected", "Disconnected"})
_STATUSES = frozenset({"Completed", "CompletedWithWarnings", "Failed", "InProgress", "Cancelled"})


class Vaults:
    """All Recovery Services vaults with their policies; items come as their machines are read."""

    def __init__(self, read: Reader, places: Places, guards: Guards) -> None:
        """Read the sections `vaults` and `policies`."""
        self._read, self._places, self._guards = read, places, guards
        self.vaults: dict[tuple[str, str, str], backup.Vault] = {}
        """(subscription id, lower-cased group, lower-cased name) -> vault."""
        self.collections: list[restorepoints.Collection] = []
        """Restore point collections that Azure Backup made."""
        self.covered: set[str] = set()
        """Lower-cased ids of the machines that have an item, whatever its state."""
        for where, key, value in read.section("vaults"):
            self._vault(where, key, value)
        for where, key, value in read.section("policies"):
            self._policy(where, key, value)

    def _vault(self, where: str, key: str, value: object) -> None:
        fields = merged(self._read.defaults("vault"), self._read.fields("vault", where, value))
        place, name = self._places.placed(where, key, fields)
        fields["tags"] = self._read.tags(f"{where}.tags", fields.get("tags"))
        spec = fields | {
            "cmk": self._key(f"{where}.cmk", fields.get("cmk")),
            "endpoints": self._endpoints(f"{where}.private_endpoints", fields.get("private_endpoints"), place, name),
        }
        tenant = self._places.tenant_of(place.subscription)
        made = papers(name, place, spec, self._read.as_of, tenant)
        identifier = made.document["id"]
        guards: tuple[Json, ...] = ()
        if fields.get("mua"):
            # A guard belongs where the backup administrators can't reach it: `true` is one out of sight.
            guard = group_id(guid("guard subscription"), "rg-guards") + f"/providers/{dataprotection.GUARD}/guard"
            if fields["mua"] is not True:
                guard = self._guards.find(f"{where}.mua", str(fields["mua"]))
            updated = ticks(self._read.as_of - timedelta(days=200))
            guards = (dataprotection.guard_proxy_document(identifier, guard, updated),)
        diagnostics = self._diagnostics(f"{where}.diagnostics", fields.get("diagnostics"), place, identifier)
        vault = backup.Vault(name, place, made.document, made.config, made.storage, made.encryption, guards,
                             diagnostics, {}, {})  # fmt: skip
        self.vaults[place.subscription, place.group.lower(), name.lower()] = vault
        self._add_plan(vault, backup.Plan("DefaultPolicy", "Daily", (time(22, 30),), tuple(range(7)), "UTC",
                                          {"daily": (30, "Days")}, 2, enhanced=False))  # fmt: skip
        hours = tuple(time(hour) for hour in range(8, 21, 4))
        self._add_plan(vault, backup.Plan("EnhancedPolicy", "Hourly", hours, tuple(range(7)), "UTC",
                                          {"daily": (30, "Days")}, 2, enhanced=True, window_hours=12))  # fmt: skip
        vault.policies["hourlylogbackup"] = backup.workload_policy(vault.id)

    def _key(self, where: str, value: object) -> Json | None:
        """Read a customer-managed key: its URI, or a mapping with the identity that fetches it."""
        if value is None:
            return None
        fields = {"uri": value} if isinstance(value, str) else self._read.fields("key", where, value)
        if "uri" not in fields:
            raise self._read.wrong(f"{where}.uri", "say where the key is")
        return fields

    def _entries(self, kind: str, where: str, value: object) -> list[Json]:
        """Read a list of names or mappings with a name."""
        found = []
        for number, entry in enumerate(value if isinstance(value, list) else [value] if value else ()):
            inner = f"{where}[{number}]"
            fields = {"name": entry} if isinstance(entry, str) else self._read.fields(kind, inner, entry)
            if "name" not in fields:
                raise self._read.wrong(f"{inner}.name", "it needs a name")
            found.append(fields | {"where": inner})
        return found

    def _endpoints(self, where: str, value: object, place: Place, vault: str) -> list[Json]:
        found = []
        for fields in self._entries("private endpoint", where, value):
            inner = fields["where"]
            home = self._places.place(inner, fields) if "in" in fields else place
            endpoint = home.id_of("Microsoft.Network/privateEndpoints", str(fields["name"]))
            status = self._read.choice(f"{inner}.status", fields.get("status", "Approved"), _CONNECTIONS)
            groups = [str(group) for group in fields.get("groups") or ("AzureBackup",)]
            found.append(endpoint_connection(place.id_of(VAULT, vault), endpoint, groups, status))
        return found

    def _diagnostics(self, where: str, value: object, place: Place, identifier: str) -> tuple[Json, ...]:
        found = []
        for fields in self._entries("diagnostic setting", where, value):
            home = self._places.place(fields["where"], fields) if "in" in fields else place
            if "workspace" not in fields and "storage" not in fields:
                raise self._read.wrong(fields["where"], "say the workspace or the storage it writes to")
            found.append(monitor.diagnostic_setting_document(identifier, str(fields["name"]), home, fields))
        return tuple(found)

    @staticmethod
    def _add_plan(vault: backup.Vault, plan: backup.Plan) -> None:
        vault.policies[plan.name.lower()] = backup.policy_document(plan, vault.id, 0)
        vault.timetables[plan.name.lower()] = plan.timetable()

    def find(self, where: str, name: str) -> backup.Vault:
        """Find a vault by `name` or `subscription/.../name`."""
        parts = name.lower().split("/")
        wanted = [vault for vault in self.vaults.values() if vault.name.lower() == parts[-1]]
        if len(parts) > 1 and parts[0] in self._places.subscriptions:
            home = self._places.subscriptions[parts[0]].id
            wanted = [vault for vault in wanted if vault.place.subscription == home]
        if len(wanted) != 1:
            message = f"{len(wanted)} vaults are called {name!r}"
            raise self._read.wrong(where, message, "Write subscription/resource-group/vault.")
        return wanted[0]

    def _policy(self, where: str, name: str, value: object) -> None:
        read = self._read
        fields = merged(read.defaults("policy"), read.fields("policy", where, value))
        zone = str(fields.get("zone", "UTC"))
        if zone not in ZONE_MINUTES:
            raise read.wrong(f"{where}.zone", f"time zone {zone!r} is not known", f"Known: {', '.join(ZONE_MINUTES)}")
        keep: dict[str, tuple[int, str]] = {}
        for rule, text in (fields.get("keep") or {}).items():
            read.choice(f"{where}.keep", rule, _RULES)
            keep[rule] = read.count(f"{where}.keep.{rule}", text)
        tiering = fields.get("archive_after")
        archive: tuple[int, str] | str | None = tiering
        if tiering not in (None, "recommended"):
            archive = read.count(f"{where}.archive_after", tiering)
        weekdays, every, hours = tuple(range(7)), 4, 24
        schedules = [kind for kind in ("daily", "weekly", "hourly") if fields.get(kind) is not None]
        if len(schedules) != 1:
            raise read.wrong(where, "give exactly one of daily, weekly, hourly")
        (kind,) = schedules
        schedule = fields[kind]
        if kind == "daily":
            times: tuple[time, ...] = (read.clock(f"{where}.daily", schedule),)
        elif kind == "weekly":
            times = (read.clock(f"{where}.weekly.at", schedule.get("at", "02:00")),)
            weekdays = tuple(WEEKDAYS.index(day) for day in schedule.get("days", ["Sunday"]))
        else:
            every, hours = int(schedule.get("every", 4)), int(schedule.get("hours", 24))
            first = read.clock(f"{where}.hourly.from", schedule.get("from", "00:00"))
            stops = range(first.hour, min(first.hour + hours, 24), every)
            times = tuple(time(hour, first.minute) for hour in stops)
        enhanced = bool(fields.get("enhanced", kind == "hourly"))
        instant = int(fields.get("instant", 7 if enhanced else 2))
        plan = backup.Plan(name, kind.capitalize(), times, weekdays, zone, keep, instant, enhanced, every, hours,
                           archive)  # fmt: skip
        wanted = fields.get("vaults")
        for vault in [self.find(f"{where}.vaults", v) for v in wanted] if wanted else self.vaults.values():
            self._add_plan(vault, plan)

    @staticmethod
    def add(item: backup.Item) -> None:
        """Put an item into its vault."""
        item.vault.items[item.container.lower(), item.name.lower()] = item

    def protect(self, where: str, machine: Machine, entry: object) -> None:
        """Read one entry of a machine's `backup`."""
        read = self._read
        fields = read.fields("backup", where, entry)
        if "vault" not in fields:
            raise read.wrong(f"{where}.vault", "say which vault")
        vault = self.find(f"{where}.vault", str(fields["vault"]))
        policy = str(fields.get("policy", "DefaultPolicy"))
        if policy.lower() not in vault.timetables:
            raise read.wrong(f"{where}.policy", f"vault {vault.name} has no VM policy {policy!r}")
        state = str(fields.get("state", "Protected"))
        if state not in backup.STATES:
            raise read.wrong(f"{where}.state", f"{state!r} is no protection state")
        deleted = fields.get("deleted")
        if fields.get("old_id"):
            # A machine that was moved has another id; its item keeps the old one.
            machine = replace(machine, place=self._places.group(f"{where}.old_id", str(fields["old_id"]), {}))
        since = read.when(f"{where}.since", fields.get("since", machine.created + timedelta(hours=12)))
        history = self._history(f"{where}.points", fields.get("points"), since, pending=state == "IRPending")
        if deleted is not None and history.newest is None:
            history = replace(history, newest=read.when(f"{where}.deleted", deleted))
        if state == "ProtectionStopped" and history.newest is not None:
            history = replace(history, frozen=True)
        last = fields.get("last_backup")
        included = fields.get("included_luns")
        item = backup.protected_item(machine, backup.Protection(
            vault=vault, policy=policy, state=state, history=history,
            deleted=None if deleted is None else read.when(f"{where}.deleted", deleted),
            last_backup=None if last is None else read.when(f"{where}.last_backup", last),
            last_status=fields.get("last_status"), health=str(fields.get("health", "Passed")),
            datasource_deleted=bool(fields.get("datasource_deleted")),
            excluded_luns=tuple(fields.get("excluded_luns") or ()),
            included_luns=None if included is None else tuple(included),
            restores=tuple(self._restores(f"{where}.restores", fields.get("restores"))),
        ), read.as_of)  # fmt: skip
        self.add(item)
        self.covered.add(machine.id.lower())
        if not item.history.empty and state == "Protected" and deleted is None:
            holder = self._places.holder(where, machine.place.subscription, vault.place.location)
            self.collections.append(restorepoints.of_backup(item, machine, holder))

    def _restores(self, where: str, value: object) -> Iterator[backup.Restore]:
        """Read restores: an instant, or a mapping with status and minutes; one or a list."""
        for number, entry in enumerate(value if isinstance(value, list) else [value] if value else ()):
            inner = f"{where}[{number}]"
            fields = self._read.fields("restore", inner, entry if isinstance(entry, dict) else {"at": entry})
            yield backup.Restore(
                started=self._read.when(f"{inner}.at", fields.get("at", "-1d")),
                status=self._read.choice(f"{inner}.status", fields.get("status", "Completed"), _STATUSES),
                minutes=int(fields.get("minutes", 45)),
            )

    def _history(self, where: str, value: object, since: datetime, *, pending: bool) -> History:
        read = self._read
        if pending and value is None:
            return History(since=since, empty=True)
        fields = read.fields("points", where, value)
        limits: dict[str, int] = {rule: int(fields[rule]) for rule in ("daily", "weekly", "monthly") if rule in fields}
        unvaulted = fields.get("unvaulted")
        archive = fields.get("archive_after")
        return History(
            since=since,
            newest=read.when(f"{where}.newest", fields["newest"]) if "newest" in fields else None,
            limits=limits,
            missing_days=frozenset(fields.get("missing_days") or ()),
            soft_deleted_days=frozenset(fields.get("soft_deleted_days") or ()),
            unvaulted=None if unvaulted is None else read.span(f"{where}.unvaulted", unvaulted),
            instant=bool(fields.get("instant", True)),
            archive_after=None if archive is None else read.span(f"{where}.archive_after", archive),
            rehydrated=bool(fields.get("rehydrated")),
            on_demand=tuple(read.when(f"{where}.on_demand", when) for when in fields.get("on_demand") or ()),
            on_demand_keep=read.span(f"{where}.on_demand_keep", fields.get("on_demand_keep", "30d")),
            all_soft_deleted=bool(fields.get("all_soft_deleted")),
            empty=bool(fields.get("empty")),
        )

    def count_items(self) -> None:
        """Write into each policy how many items use it."""
        for vault in self.vaults.values():
            counts: dict[str, int] = {}
            for item in vault.items.values():
                if item.properties["policyId"]:
                    counts[item.policy.lower()] = counts.get(item.policy.lower(), 0) + 1
            for name, policy in vault.policies.items():
                policy["properties"]["protectedItemsCount"] = counts.get(name, 0)
