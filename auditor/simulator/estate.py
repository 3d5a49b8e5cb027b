"""Estate YAML + as_of -> a whole pretend Azure: ARM documents, Resource Graph rows, expected verdicts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import time, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from auditor.errors import UsageError
from auditor.simulator import backup, compute
from auditor.simulator.clock import WEEKDAYS, ZONE_MINUTES, duration, instant, ticks
from auditor.simulator.compute import Disk, Json, Machine, Place, Snapshot
from auditor.simulator.graphrows import graph_row
from auditor.simulator.naming import group_id, guid, mixed
from auditor.simulator.points import History

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

_RULE_COUNT = re.compile(r"(\d+)\s*(Days|Weeks|Months|Years)", re.IGNORECASE)
_RELATIVE_DATE = re.compile(r"\{([+-]\d+(?:d|w|mo|y))\}")
_STATUSES = frozenset({"pass", "fail", "waived", "not_yet_due", "not_applicable", "unknown"})
_BACKUP_POLICY_CHECK = "013e242c-8828-4970-87b3-ab247555486d"
"""Built-in definition "Azure Backup should be enabled for Virtual Machines"."""

_SECTIONS = frozenset({
    "estate", "location", "defaults", "templates", "management_groups", "subscriptions", "resource_groups", "vaults",
    "policies", "vms", "disks", "snapshots", "disk_backups", "policy_assignments", "jobs_days",
})  # fmt: skip
_KEYS = {
    "management group": {"name", "parent"},
    "subscription": {"name", "group", "id", "state", "tags"},
    "resource group": {"location", "tags", "managed_by"},
    "vault": {
        "location", "redundancy", "crr", "soft_delete", "soft_delete_days", "immutability", "mua", "public", "alerts",
        "tags", "bare",
    },
    "policy": {"vaults", "daily", "weekly", "hourly", "keep", "zone", "instant", "enhanced"},
    "vm": {
        "name", "names", "count", "in", "like", "location", "size", "os", "image", "tags", "age", "power", "priority",
        "ephemeral", "unmanaged", "scale_set", "security", "zone", "os_disk", "disks", "disk_sku", "backup", "sql",
        "plan", "managed_by", "deleted", "extras", "expect",
    },
    "backup": {
        "vault", "policy", "state", "since", "points", "deleted", "last_backup", "last_status", "health",
        "datasource_deleted", "excluded_luns",
    },
    "points": {
        "newest", "daily", "weekly", "monthly", "missing_days", "soft_deleted_days", "all_soft_deleted", "unvaulted",
        "instant", "archive_after", "rehydrated", "on_demand", "empty",
    },
    "disk": {
        "name", "names", "count", "in", "like", "location", "size", "sku", "age", "tags", "os", "shared", "expect",
    },
    "snapshot": {
        "name", "names", "count", "in", "like", "of", "age", "step", "size", "sku", "incremental", "create", "tags",
        "recreated", "state", "immutable_days", "location", "os", "expect",
    },
    "disk backup": {"vault", "in", "location", "of", "snapshot_group", "policy"},
    "policy assignment": {"name", "scope", "definition", "display_name", "enforced", "parameters"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription of the tenant."""

    key: str
    """Its short name in the estate file."""
    id: str
    name: str
    """Display name; two may share one."""
    groups: tuple[str, ...]
    """Ids of its management groups, nearest first, tenant root last."""
    document: Json
    """Row properties, `state` and `subscriptionPolicies` included."""


class _Reader:
    """Reads a YAML tree and says where it is when something is wrong."""

    def __init__(self, source: str, as_of: datetime) -> None:
        self.source, self.as_of = source, as_of

    def wrong(self, where: str, message: str, hint: str = "") -> UsageError:
        return UsageError(f"{self.source}: {where}: {message}", hint or "Correct the estate file.")

    def fields(self, kind: str, where: str, value: object) -> Json:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong(where, f"a {kind} is a mapping, not {type(value).__name__}")
        for key in value:
            if key not in _KEYS[kind]:
                raise self.wrong(
                    f"{where}.{key}", f"a {kind} has no such key", f"Known: {', '.join(sorted(_KEYS[kind]))}"
                )
        return value

    def when(self, where: str, value: object) -> datetime:
        try:
            return instant(value, self.as_of)
        except ValueError as error:
            raise self.wrong(where, str(error)) from error

    def span(self, where: str, value: object) -> timedelta:
        try:
            return duration(str(value))
        except ValueError as error:
            raise self.wrong(where, str(error)) from error

    def clock(self, where: str, value: object) -> time:
        # YAML 1.1 reads an unquoted 22:30 as the sexagesimal number 1350.
        if isinstance(value, int):
            return time(value // 60 % 24, value % 60)
        try:
            return time.fromisoformat(str(value))
        except ValueError as error:
            raise self.wrong(where, f"{value!r} is not a time of day such as '22:30'") from error

    def tags(self, where: str, value: object) -> Json | None:
        """Read tags; `{+10d}` inside a value becomes that date; null takes a template's tag away."""
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(where, "tags are a mapping")

        def dated(found: re.Match[str]) -> str:
            return f"{self.when(where, found[1]):%Y-%m-%d}"

        return {str(key): _RELATIVE_DATE.sub(dated, str(text)) for key, text in value.items() if text is not None}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Json:
    """Lay `over` upon `base`, mappings key by key."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


class Estate:
    """A whole pretend Azure at one instant."""

    def __init__(self, document: Mapping[str, Any], as_of: datetime, source: str) -> None:
        """Use `load` or `from_dict`."""
        if as_of.tzinfo is None:
            message = "as_of needs a time zone"
            raise ValueError(message)
        self.as_of = as_of
        self.source = source
        self._read = _Reader(source, as_of)
        if not isinstance(document, dict):
            raise self._read.wrong("estate", "the file is not a mapping")
        for key in document:
            if key not in _SECTIONS:
                raise self._read.wrong(str(key), "no such section", f"Known: {', '.join(sorted(_SECTIONS))}")
        self._document = document
        self.name = str(document.get("estate", "estate"))
        self.tenant_id = guid(f"tenant {self.name}")
        self.jobs_days = int(document.get("jobs_days", 2))
        self._location = str(document.get("location", "westeurope"))
        self._defaults: Json = document.get("defaults") or {}
        self._templates: Json = document.get("templates") or {}
        self.management_groups: dict[str, Json] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.groups: dict[tuple[str, str], Json] = {}
        self.vaults: dict[tuple[str, str, str], backup.Vault] = {}
        self.machines: list[Machine] = []
        self.machine_documents: list[Json] = []
        self.disk_documents: list[Json] = []
        self.snapshot_documents: list[Json] = []
        self.other_documents: list[Json] = []
        self.disk_backup_documents: list[Json] = []
        self.assignments: list[Json] = []
        self.expectations: dict[tuple[str, str], Json] = {}
        """(rule id, lower-cased resource id) -> {status, severity?, reason?}; without an entry: pass."""
        self._machine_by_name: dict[str, list[Machine]] = {}
        self._disk_places: dict[str, tuple[Disk, Place]] = {}
        self._snapshot_ids: dict[str, str] = {}
        self._covered: set[str] = set()
        self._build()

    @classmethod
    def load(cls, path: Path | str, as_of: datetime) -> Estate:
        """Read an estate file; UsageError names the file and the key that is wrong."""
        try:
            document = yaml.load(Path(path).read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise UsageError(message, "Give the path of an estate file.") from error
        except yaml.YAMLError as error:
            message = f"{path}: not YAML: {error}"
            raise UsageError(message, "Correct the estate file.") from error
        return cls(document, as_of, str(path))

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], as_of: datetime, source: str = "estate") -> Estate:
        """Build an estate from the same tree a file would hold."""
        return cls(document, as_of, source)

    # --- what the server asks ---------------------------------------------------------------------------------

    def subscription_id(self, key: str) -> str:
        """Id of a subscription, given its short name in the file or its id; KeyError where there is none."""
        return self._subscription(key).id

    def _subscription(self, key: str) -> Subscription:
        if key in self.subscriptions:
            return self.subscriptions[key]
        return next(found for found in self.subscriptions.values() if found.id == key.lower())

    def rows(self, table: str) -> Iterator[Json]:
        """Give the rows of a Resource Graph table (lower-case name) that somebody who may read everything sees."""
        give = {
            "resources": self._resource_rows,
            "resourcecontainers": self._container_rows,
            "recoveryservicesresources": self._backup_rows,
            "policyresources": self._policy_rows,
        }.get(table)
        return give() if give else iter(())

    def ancestors(self, subscription: str) -> tuple[str, ...]:
        """Management groups of a subscription id, nearest first."""
        return next((s.groups for s in self.subscriptions.values() if s.id == subscription), ())

    def _resource_rows(self) -> Iterator[Json]:
        by_id = {machine.id: machine for machine in self.machines}
        for document in self.machine_documents:
            row = graph_row(document, self.tenant_id)
            row["properties"] = document["properties"] | {"extended": compute.power_state(by_id[document["id"]])}
            yield row
        vaults = (vault.document for vault in self.vaults.values())
        for document in chain(self.disk_documents, self.snapshot_documents, vaults, self.other_documents):
            yield graph_row(document, self.tenant_id)

    def _container_rows(self) -> Iterator[Json]:
        for name, group in self.management_groups.items():
            yield graph_row({
                "id": f"/providers/Microsoft.Management/managementGroups/{name}",
                "name": name,
                "type": "Microsoft.Management/managementGroups",
                "properties": {
                    "tenantId": self.tenant_id,
                    "displayName": group["name"],
                    "details": {
                        "version": 1,
                        "managementGroupAncestorsChain": self._chain(group["ancestors"]),
                        "parent": group["parent"],
                    },
                },
            }, self.tenant_id, table="resourcecontainers")  # fmt: skip
        for subscription in self.subscriptions.values():
            yield graph_row({
                "id": f"/subscriptions/{subscription.id}",
                "name": subscription.name,
                "type": "Microsoft.Resources/subscriptions",
                "tags": subscription.document.get("tags"),
                "properties": {
                    "managedByTenants": [],
                    "managementGroupAncestorsChain": self._chain(subscription.groups),
                    "state": subscription.document["state"],
                    "subscriptionPolicies": subscription.document["subscriptionPolicies"],
                },
            }, self.tenant_id, table="resourcecontainers")  # fmt: skip
        for document in self.groups.values():
            yield graph_row(document, self.tenant_id, table="resourcecontainers")

    def _chain(self, names: tuple[str, ...]) -> list[Json]:
        return [{"displayName": self.management_groups[name]["name"], "name": name} for name in names]

    def _backup_rows(self) -> Iterator[Json]:
        for vault in self.vaults.values():
            for policy in vault.policies.values():
                yield graph_row(policy, self.tenant_id, table="recoveryservicesresources")
            for item in vault.items.values():
                document = backup.item_document(item, self.as_of)
                document["properties"] |= item.extended
                yield graph_row(document, self.tenant_id, table="recoveryservicesresources")
                for job in backup.job_documents(item, self.as_of, min(self.jobs_days, 14)):
                    # The table keeps fourteen days, and says of which item a job is.
                    properties = job["properties"] | {
                        "backupInstanceId": item.id,
                        "dataSourceId": item.properties["sourceResourceId"],
                        "dataSourceLocation": vault.place.location,
                    }
                    yield graph_row(job | {"properties": properties}, self.tenant_id, table="recoveryservicesresources")
        for document in self.disk_backup_documents:
            yield graph_row(document, self.tenant_id, table="recoveryservicesresources")

    def _policy_rows(self) -> Iterator[Json]:
        for assignment in self.assignments:
            yield graph_row(assignment, self.tenant_id, table="policyresources")
        for subscription in self.subscriptions.values():
            for state in self.policy_states(subscription.id):
                identifier = f"{state['resourceId']}/providers/microsoft.policyinsights/policystates/{guid(str(state))}"
                yield graph_row({
                    "id": identifier.lower(),
                    "name": guid(str(state)),
                    "type": "Microsoft.PolicyInsights/policyStates",
                    "properties": {key: value for key, value in state.items() if not key.startswith("@")},
                }, self.tenant_id, table="policyresources")  # fmt: skip

    def policy_states(self, subscription: str) -> list[Json]:
        """Azure Policy's own opinion on each VM of a subscription id.

        The built-in definition only asks whether an item exists: a stopped one is compliant to it.
        """
        groups = self.ancestors(subscription)
        states = []
        for assignment in self.assignments:
            scope = assignment["properties"]["scope"].lower()
            definition = assignment["properties"]["policyDefinitionId"]
            covers = scope == f"/subscriptions/{subscription}" or scope.rpartition("/")[2] in map(str.lower, groups)
            if not covers or not definition.endswith(_BACKUP_POLICY_CHECK):
                continue
            for machine in self.machines:
                if machine.place.subscription != subscription:
                    continue
                compliant = machine.id.lower() in self._covered
                states.append({
                    "@odata.id": None,
                    "@odata.context": f"https://management.azure.com/subscriptions/{subscription}"
                    "/providers/Microsoft.PolicyInsights/policyStates/$metadata#latest/$entity",
                    "timestamp": ticks(self.as_of - timedelta(hours=9)),
                    "resourceId": machine.id,
                    "policyAssignmentId": assignment["id"],
                    "policyDefinitionId": definition,
                    "effectiveParameters": None,
                    "isCompliant": compliant,
                    "subscriptionId": subscription,
                    "resourceType": "Microsoft.Compute/virtualMachines",
                    "resourceLocation": machine.place.location,
                    "resourceGroup": machine.place.group,
                    "resourceTags": "tbd",
                    "policyAssignmentName": assignment["name"],
                    "policyAssignmentOwner": "tbd",
                    "policyAssignmentParameters": "{}",
                    "policyAssignmentScope": assignment["properties"]["scope"],
                    "policyDefinitionName": definition.rpartition("/")[2],
                    "policyDefinitionAction": "auditifnotexists",
                    "policyDefinitionCategory": "tbd",
                    "policySetDefinitionId": None,
                    "policySetDefinitionName": None,
                    "policySetDefinitionOwner": None,
                    "policySetDefinitionCategory": None,
                    "policySetDefinitionParameters": None,
                    "managementGroupIds": ",".join(groups),
                    "policyDefinitionReferenceId": None,
                    "complianceState": "Compliant" if compliant else "NonCompliant",
                    "policyDefinitionGroupNames": None,
                })  # fmt: skip
        return states

    # --- how it is built --------------------------------------------------------------------------------------

    def _section(self, name: str) -> Json:
        value = self._document.get(name) or {}
        if not isinstance(value, dict):
            raise self._read.wrong(name, "this section is a mapping")
        return value

    def _build(self) -> None:
        self._management_groups()
        self._subscriptions()
        for key, value in self._section("resource_groups").items():
            where = f"resource_groups.{key}"
            self._group(where, key, self._read.fields("resource group", where, value))
        for key, value in self._section("vaults").items():
            self._vault(f"vaults.{key}", key, value)
        for key, value in self._section("policies").items():
            self._policy(f"policies.{key}", str(key), value)
        self._resources()
        self._count_items()

    def _resources(self) -> None:
        """Build what is listed: a snapshot may only name what stands above it."""
        for where, name, value, _ in self._entries("vms", "vm"):
            self._machine(where, name, value)
        for where, name, value, _ in self._entries("disks", "disk"):
            self._loose_disk(where, name, value)
        for where, name, value, index in self._entries("snapshots", "snapshot"):
            self._snapshot(where, name, value, index)
        for index, value in enumerate(self._document.get("disk_backups") or ()):
            self._disk_backup(f"disk_backups[{index}]", value)
        for index, value in enumerate(self._document.get("policy_assignments") or ()):
            self._assignment(f"policy_assignments[{index}]", value)

    def _count_items(self) -> None:
        """Write into each policy how many items use it."""
        for vault in self.vaults.values():
            counts: dict[str, int] = {}
            for item in vault.items.values():
                if item.properties["policyId"]:
                    counts[item.policy.lower()] = counts.get(item.policy.lower(), 0) + 1
            for name, policy in vault.policies.items():
                policy["properties"]["protectedItemsCount"] = counts.get(name, 0)

    def _management_groups(self) -> None:
        root = self.tenant_id
        self.management_groups[root] = {"name": "Tenant Root Group", "parent": None, "ancestors": ()}
        for key, value in self._section("management_groups").items():
            where = f"management_groups.{key}"
            fields = self._read.fields("management group", where, value)
            parent = str(fields.get("parent", root))
            if parent not in self.management_groups:
                raise self._read.wrong(f"{where}.parent", f"no management group {parent!r} above this line")
            above = self.management_groups[parent]
            self.management_groups[str(key)] = {
                "name": str(fields.get("name", key)),
                "ancestors": (parent, *above["ancestors"]),
                "parent": {
                    "id": f"/providers/Microsoft.Management/managementGroups/{parent}",
                    "name": parent,
                    "displayName": above["name"],
                },
            }

    def _subscriptions(self) -> None:
        for key, value in self._section("subscriptions").items():
            where = f"subscriptions.{key}"
            fields = self._read.fields("subscription", where, value)
            group = str(fields.get("group", self.tenant_id))
            if group not in self.management_groups:
                raise self._read.wrong(f"{where}.group", f"no management group {group!r}")
            self.subscriptions[str(key)] = Subscription(
                key=str(key),
                id=str(fields.get("id", guid(f"subscription {self.name} {key}"))).lower(),
                name=str(fields.get("name", key)),
                groups=(group, *self.management_groups[group]["ancestors"]),
                document={
                    "state": str(fields.get("state", "Enabled")),
                    "tags": self._read.tags(f"{where}.tags", fields.get("tags")),
                    "subscriptionPolicies": {
                        "locationPlacementId": "Public_2014-09-01",
                        "quotaId": "EnterpriseAgreement_2014-09-01",
                        "spendingLimit": "Off",
                    },
                },
            )
        if not self.subscriptions:
            raise self._read.wrong("subscriptions", "an estate needs at least one subscription")

    def _group(self, where: str, key: str, fields: Json) -> Place:
        subscription, _, group = str(key).partition("/")
        if subscription not in self.subscriptions or not group or "/" in group:
            message = f"{key!r} is not subscription/resource-group of a subscription in this file"
            raise self._read.wrong(where, message, f"Known subscriptions: {', '.join(self.subscriptions)}")
        identity = self.subscriptions[subscription].id
        found = self.groups.get((identity, group.lower()))
        if found is None:
            found = {
                "id": group_id(identity, group),
                "name": group,
                "type": "Microsoft.Resources/subscriptions/resourceGroups",
                "location": str(fields.get("location", self._location)),
                "tags": self._read.tags(f"{where}.tags", fields.get("tags")),
                "properties": {"provisioningState": "Succeeded"},
            }
            if fields.get("managed_by"):
                found["managedBy"] = str(fields["managed_by"])
            self.groups[identity, group.lower()] = found
        return Place(identity, found["name"], found["location"])

    def _place(self, where: str, fields: Json) -> Place:
        if "in" not in fields:
            raise self._read.wrong(f"{where}.in", "say where it is: subscription/resource-group")
        place = self._group(f"{where}.in", fields["in"], {})
        return replace(place, location=str(fields["location"])) if "location" in fields else place

    def _vault(self, where: str, key: str, value: object) -> None:
        fields = _merged(self._defaults.get("vault") or {}, self._read.fields("vault", where, value))
        group, _, name = str(key).rpartition("/")
        place = self._group(where, group, fields)
        if "location" in fields:
            place = replace(place, location=str(fields["location"]))
        fields["tags"] = self._read.tags(f"{where}.tags", fields.get("tags"))
        document, config, storage = backup.vault_documents(name, place, fields, self.as_of)
        guards: tuple[Json, ...] = ()
        if fields.get("mua"):
            guard = {
                "id": f"{document['id']}/backupResourceGuardProxies/VaultProxy",
                "name": "VaultProxy",
                "type": f"{backup.VAULT}/backupResourceGuardProxies",
                "properties": {
                    "resourceGuardResourceId": group_id(guid("guard subscription"), "rg-guards")
                    + "/providers/Microsoft.DataProtection/resourceGuards/guard",
                    "description": "Operations guarded by the security team",
                },
            }
            guards = (guard,)
        vault = backup.Vault(name, place, document, config, storage, guards, {}, {})
        self.vaults[place.subscription, place.group.lower(), name.lower()] = vault
        self._add_plan(vault, backup.Plan("DefaultPolicy", "Daily", (time(22, 30),), tuple(range(7)), "UTC",
                                          {"daily": (30, "Days")}, 2, enhanced=False))  # fmt: skip
        hours = tuple(time(hour) for hour in range(8, 21, 4))
        self._add_plan(vault, backup.Plan("EnhancedPolicy", "Hourly", hours, tuple(range(7)), "UTC",
                                          {"daily": (30, "Days")}, 2, enhanced=True, window_hours=12))  # fmt: skip
        vault.policies["hourlylogbackup"] = backup.workload_policy(vault.id)

    @staticmethod
    def _add_plan(vault: backup.Vault, plan: backup.Plan) -> None:
        vault.policies[plan.name.lower()] = backup.policy_document(plan, vault.id, 0)
        vault.timetables[plan.name.lower()] = plan.timetable()

    def _find_vault(self, where: str, name: str) -> backup.Vault:
        parts = name.lower().split("/")
        wanted = [vault for vault in self.vaults.values() if vault.name.lower() == parts[-1]]
        if len(parts) > 1 and parts[0] in self.subscriptions:
            wanted = [vault for vault in wanted if vault.place.subscription == self.subscriptions[parts[0]].id]
        if len(wanted) != 1:
            message = f"{len(wanted)} vaults are called {name!r}"
            raise self._read.wrong(where, message, "Write subscription/resource-group/vault.")
        return wanted[0]

    def _policy(self, where: str, name: str, value: object) -> None:
        fields = _merged(self._defaults.get("policy") or {}, self._read.fields("policy", where, value))
        zone = str(fields.get("zone", "UTC"))
        if zone not in ZONE_MINUTES:
            raise self._read.wrong(
                f"{where}.zone", f"time zone {zone!r} is not known", f"Known: {', '.join(ZONE_MINUTES)}"
            )
        keep: dict[str, tuple[int, str]] = {}
        for rule, text in (fields.get("keep") or {}).items():
            found = _RULE_COUNT.fullmatch(str(text))
            if not found or rule not in ("daily", "weekly", "monthly", "yearly"):
                raise self._read.wrong(f"{where}.keep.{rule}", f"{text!r} is not such as '30 Days' or '84 Months'")
            keep[rule] = (int(found[1]), found[2].capitalize())
        weekdays, every, hours = tuple(range(7)), 4, 24
        schedules = [kind for kind in ("daily", "weekly", "hourly") if fields.get(kind) is not None]
        if len(schedules) != 1:
            raise self._read.wrong(where, "give exactly one of daily, weekly, hourly")
        (kind,) = schedules
        schedule = fields[kind]
        if kind == "daily":
            times: tuple[time, ...] = (self._read.clock(f"{where}.daily", schedule),)
        elif kind == "weekly":
            times = (self._read.clock(f"{where}.weekly.at", schedule.get("at", "02:00")),)
            weekdays = tuple(WEEKDAYS.index(day) for day in schedule.get("days", ["Sunday"]))
        else:
            every, hours = int(schedule.get("every", 4)), int(schedule.get("hours", 24))
            first = self._read.clock(f"{where}.hourly.from", schedule.get("from", "00:00"))
            stops = range(first.hour, min(first.hour + hours, 24), every)
            times = tuple(time(hour, first.minute) for hour in stops)
        enhanced = bool(fields.get("enhanced", kind == "hourly"))
        plan = backup.Plan(name, kind.capitalize(), times, weekdays, zone, keep,
                           int(fields.get("instant", 7 if enhanced else 2)), enhanced, every, hours)  # fmt: skip
        wanted = fields.get("vaults")
        for vault in [self._find_vault(f"{where}.vaults", v) for v in wanted] if wanted else self.vaults.values():
            self._add_plan(vault, plan)

    def _entries(self, section: str, kind: str) -> Iterator[tuple[str, str, Json, int]]:
        """Give (where, name, fields, index) for each resource of a list, with defaults, `like`, `names` and `count`."""
        entries = self._document.get(section) or []
        if not isinstance(entries, list):
            raise self._read.wrong(section, "this section is a list")
        for number, entry in enumerate(entries):
            where = f"{section}[{number}]"
            fields = self._read.fields(kind, where, entry)
            base = self._defaults.get(kind) or {}
            likes = fields.get("like") or []
            for like in [likes] if isinstance(likes, str) else likes:
                if like not in self._templates:
                    raise self._read.wrong(f"{where}.like", f"no template {like!r}")
                base = _merged(base, self._read.fields(kind, f"templates.{like}", self._templates[like]))
            merged = _merged(base, fields)
            if "name" not in merged and "names" not in merged:
                raise self._read.wrong(f"{where}.name", "it needs a name")
            if "count" in merged:
                names = [str(merged["name"]).format(n=n) for n in range(1, int(merged["count"]) + 1)]
            else:
                names = [str(name) for name in merged.get("names") or [merged["name"]]]
            for index, name in enumerate(names):
                if "/" in name:
                    raise self._read.wrong(f"{where}.name", "a resource's name has no slash")
                yield f"{where} ({name})", name, merged, index

    def _expect(self, where: str, identifier: str, value: object) -> None:
        if value is None:
            return
        if not isinstance(value, dict):
            raise self._read.wrong(f"{where}.expect", "expectations are a mapping rule: status")
        for rule, verdict in value.items():
            fields = {"status": verdict} if isinstance(verdict, str) else dict(verdict or {})
            if fields.get("status") not in _STATUSES or set(fields) - {"status", "severity", "reason"}:
                raise self._read.wrong(f"{where}.expect.{rule}", f"{verdict!r} is not a status")
            if fields["status"] != "pass":
                self.expectations[str(rule), identifier.lower()] = fields

    def _machine(self, where: str, name: str, fields: Json) -> None:
        place = self._place(where, fields)
        created = self._read.when(f"{where}.age", fields.get("age", "900d"))
        system = str(fields.get("os", "windows"))
        if system not in ("windows", "linux"):
            raise self._read.wrong(f"{where}.os", f"{system!r} is neither windows nor linux")
        image = None
        if "image" in fields:
            parts = str(fields["image"]).split(":")
            if len(parts) != 4:  # noqa: PLR2004 - publisher:offer:sku:version
                raise self._read.wrong(f"{where}.image", "write publisher:offer:sku:version")
            image = (parts[0], parts[1], parts[2], parts[3])
        machine = Machine(
            name=name, place=place, created=created, os_type=system, image=image,
            size=str(fields.get("size", "Standard_D4s_v5")), tags=self._read.tags(f"{where}.tags", fields.get("tags")),
            power=str(fields.get("power", "running")), priority=fields.get("priority"),
            ephemeral=bool(fields.get("ephemeral")), unmanaged=bool(fields.get("unmanaged")),
            scale_set=fields.get("scale_set"), security=fields.get("security"),
            zone=None if fields.get("zone") is None else str(fields["zone"]),
            plan=fields.get("plan"), managed_by=str(fields.get("managed_by", "")), extras=fields.get("extras") or {},
        )  # fmt: skip
        sku = str(fields.get("disk_sku", "Premium_LRS"))
        owner = machine.id
        os_disk = None
        if not machine.ephemeral and not machine.unmanaged:
            size = int(fields.get("os_disk", 127 if system == "windows" else 64))
            os_disk = Disk(f"{name}_OsDisk_1_{guid('os ' + owner).replace('-', '')}", size, sku, created, system, owner)
        data = [
            Disk(f"{name}_DataDisk_{lun}", int(size), sku, created, None, owner)
            for lun, size in enumerate(fields.get("disks") or ())
        ]
        machine = replace(machine, os_disk=os_disk, data_disks=tuple(data))
        if not fields.get("deleted"):
            self.machines.append(machine)
            self.machine_documents.append(compute.machine_document(machine))
            for disk in [os_disk, *data] if os_disk else data:
                self._add_disk(disk, place)
            self._expect(where, owner, fields.get("expect"))
        self._machine_by_name.setdefault(name.lower(), []).append(machine)
        entries = fields.get("backup") or []
        for index, entry in enumerate([entries] if isinstance(entries, dict) else entries):
            self._protect(f"{where}.backup[{index}]", machine, entry)
        for database, vault in (fields.get("sql") or {}).items():
            self._add_item(backup.workload_item(machine, self._find_vault(f"{where}.sql", vault), database, self.as_of))

    def _add_disk(self, disk: Disk, place: Place) -> None:
        self.disk_documents.append(compute.disk_document(disk, place))
        self._disk_places[place.id_of(compute.DISK, disk.name).lower()] = (disk, place)

    @staticmethod
    def _add_item(item: backup.Item) -> None:
        item.vault.items[item.container.lower(), item.name.lower()] = item

    def _protect(self, where: str, machine: Machine, entry: object) -> None:
        fields = self._read.fields("backup", where, entry)
        if "vault" not in fields:
            raise self._read.wrong(f"{where}.vault", "say which vault")
        vault = self._find_vault(f"{where}.vault", str(fields["vault"]))
        policy = str(fields.get("policy", "DefaultPolicy"))
        if policy.lower() not in vault.timetables:
            raise self._read.wrong(f"{where}.policy", f"vault {vault.name} has no VM policy {policy!r}")
        state = str(fields.get("state", "Protected"))
        if state not in backup.STATES:
            raise self._read.wrong(f"{where}.state", f"{state!r} is no protection state")
        deleted = fields.get("deleted")
        since = self._read.when(f"{where}.since", fields.get("since", machine.created + timedelta(hours=12)))
        history = self._history(f"{where}.points", fields.get("points"), since, pending=state == "IRPending")
        if deleted is not None and history.newest is None:
            history = replace(history, newest=self._read.when(f"{where}.deleted", deleted))
        if state == "ProtectionStopped" and history.newest is not None:
            history = replace(history, frozen=True)
        last = fields.get("last_backup")
        item = backup.protected_item(machine, backup.Protection(
            vault=vault, policy=policy, state=state, history=history,
            deleted=None if deleted is None else self._read.when(f"{where}.deleted", deleted),
            last_backup=None if last is None else self._read.when(f"{where}.last_backup", last),
            last_status=fields.get("last_status"), health=str(fields.get("health", "Passed")),
            datasource_deleted=bool(fields.get("datasource_deleted")),
            excluded_luns=tuple(fields.get("excluded_luns") or ()),
        ), self.as_of)  # fmt: skip
        self._add_item(item)
        self._covered.add(machine.id.lower())
        if not item.history.empty and state == "Protected" and deleted is None:
            region = vault.place.location
            holder = self._group(where, self._holder(machine.place.subscription, region), {
                "location": region,
                # Azure marks the group as its own with an id that leads nowhere.
                "managed_by": "subscriptions/00000000-0000-0000-0000-000000000000/",
            })  # fmt: skip
            self.other_documents.append(compute.restore_points_document(machine, holder))

    def _holder(self, subscription: str, region: str) -> str:
        key = next(s.key for s in self.subscriptions.values() if s.id == subscription)
        return f"{key}/AzureBackupRG_{region}_1"

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
            all_soft_deleted=bool(fields.get("all_soft_deleted")),
            empty=bool(fields.get("empty")),
        )

    def _loose_disk(self, where: str, name: str, fields: Json) -> None:
        place = self._place(where, fields)
        created = self._read.when(f"{where}.age", fields.get("age", "400d"))
        disk = Disk(
            name, int(fields.get("size", 128)), str(fields.get("sku", "Premium_LRS")), created, fields.get("os"),
            tags=self._read.tags(f"{where}.tags", fields.get("tags")), shared=int(fields.get("shared", 1)),
        )  # fmt: skip
        self._add_disk(disk, place)
        self._expect(where, place.id_of(compute.DISK, name), fields.get("expect"))

    def _find_machine(self, where: str, text: str) -> Machine:
        *head, name = text.split("/")
        found = self._machine_by_name.get(name.lower(), [])
        if head:
            wanted = self._group(where, "/".join(head), {})
            found = [m for m in found if (m.place.subscription, m.place.group) == (wanted.subscription, wanted.group)]
        if len(found) != 1:
            raise self._read.wrong(where, f"{len(found)} VMs are called {text!r}", "Write subscription/group/name.")
        return found[0]

    def _source(self, where: str, text: str, place: Place) -> tuple[str, str | None, int, str | None]:
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
            if identifier.lower() not in self._disk_places:
                raise self._read.wrong(where, f"no disk {rest!r} in {place.group}")
            disk, home = self._disk_places[identifier.lower()]
        else:
            machine, home = self._find_machine(where, kind), self._find_machine(where, kind).place
            disks = [machine.os_disk, *machine.data_disks] if machine.os_disk else list(machine.data_disks)
            lun = int(rest) + 1 if rest else 0
            if lun >= len(disks) or disks[lun] is None:
                raise self._read.wrong(where, f"VM {kind} has no disk {rest or 'os'}")
            disk = disks[lun]
        identifier = home.id_of(compute.DISK, disk.name)
        return identifier, disk.unique_id or guid(f"disk {identifier.lower()}"), disk.size, disk.os_type

    def _snapshot(self, where: str, name: str, fields: Json, index: int) -> None:
        place = self._place(where, fields)
        option = str(fields.get("create", "Copy"))
        source: str | None = None
        unique: str | None = None
        size, system = 128, None
        if fields.get("of") is not None:
            source, unique, size, system = self._source(f"{where}.of", str(fields["of"]), place)
        if fields.get("recreated"):
            unique = guid(f"former {source}")
        age = self._read.span(f"{where}.age", fields.get("age", "3d"))
        created = self.as_of - age - index * self._read.span(f"{where}.step", fields.get("step", "1d"))
        days = int(fields.get("immutable_days", 0))
        until = created + timedelta(days=days) if days else None
        snapshot = Snapshot(
            name=name, place=place, created=created, source=source, source_unique_id=unique,
            size=int(fields.get("size", size)), create_option=option, incremental=bool(fields.get("incremental", True)),
            sku=str(fields.get("sku", "Standard_LRS")), os_type=fields.get("os", system),
            tags=self._read.tags(f"{where}.tags", fields.get("tags")), state=str(fields.get("state", "Unattached")),
            immutable_until=until, immutable_days=days, expired=until is not None and until <= self.as_of,
        )  # fmt: skip
        self.snapshot_documents.append(compute.snapshot_document(snapshot))
        identifier = place.id_of(compute.SNAPSHOT, name)
        self._snapshot_ids[name.lower()] = identifier
        self._expect(where, identifier, fields.get("expect"))

    def _disk_backup(self, where: str, value: object) -> None:
        """Add an Azure Disk Backup instance (and its Backup vault), which writes snapshots into a group."""
        fields = self._read.fields("disk backup", where, value)
        place = self._place(where, fields)
        vault = str(fields.get("vault", "bvault"))
        kind = "Microsoft.DataProtection/backupVaults"
        vault_id = place.id_of(kind, vault)
        if all(document["id"] != vault_id for document in self.other_documents):
            self.other_documents.append({
                "id": vault_id, "name": vault, "type": kind, "location": place.location,
                "properties": {
                    "provisioningState": "Succeeded",
                    "storageSettings": [{"datastoreType": "VaultStore", "type": "GeoRedundant"}],
                    "isVaultProtectedByResourceGuard": False,
                    "securitySettings": {"softDeleteSettings": {"state": "On", "retentionDurationInDays": 14.0}},
                },
            })  # fmt: skip
        disk_id, _, _, _ = self._source(f"{where}.of", str(fields.get("of")), place)
        group = self._group(f"{where}.snapshot_group", str(fields.get("snapshot_group")), {})
        disk = disk_id.rpartition("/")[2]
        name = f"{place.group}-{disk}-{guid(disk_id)}"
        spelled = mixed(disk_id, "instance")
        self.disk_backup_documents.append({
            "id": f"{vault_id}/backupInstances/{name}",
            "name": name,
            "type": f"{kind}/backupInstances",
            "properties": {
                "currentProtectionState": "ProtectionConfigured",
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
                    "policyId": f"{vault_id}/backupPolicies/{fields.get('policy', 'disk-daily')}",
                    "policyParameters": {
                        "dataStoreParametersList": [
                            {
                                "dataStoreType": "OperationalStore",
                                "objectType": "AzureOperationalStoreParameters",
                                "resourceGroupId": group_id(group.subscription, group.group),
                            }
                        ]
                    },
                    "policyVersion": None,
                },
                "protectionErrorDetails": None,
                "protectionStatus": {"errorDetails": None, "status": "ProtectionConfigured"},
                "provisioningState": "Succeeded",
            },
        })  # fmt: skip

    def _assignment(self, where: str, value: object) -> None:
        fields = self._read.fields("policy assignment", where, value)
        scope = str(fields.get("scope", self.tenant_id))
        if scope in self.subscriptions:
            path = f"/subscriptions/{self.subscriptions[scope].id}"
        elif scope in self.management_groups:
            path = f"/providers/Microsoft.Management/managementGroups/{scope}"
        else:
            raise self._read.wrong(f"{where}.scope", f"{scope!r} is neither a subscription nor a management group")
        name = str(fields.get("name", "backup-vms"))
        definition = str(fields.get("definition", _BACKUP_POLICY_CHECK))
        self.assignments.append({
            "id": f"{path}/providers/Microsoft.Authorization/policyAssignments/{name}",
            "name": name,
            "type": "Microsoft.Authorization/policyAssignments",
            "location": "",
            "properties": {
                "displayName": str(fields.get("display_name", name)),
                "policyDefinitionId": f"/providers/Microsoft.Authorization/policyDefinitions/{definition}",
                "scope": path,
                "notScopes": [],
                "parameters": fields.get("parameters") or {},
                "enforcementMode": "Default" if fields.get("enforced", True) else "DoNotEnforce",
                "metadata": {"assignedBy": "Platform team"},
            },
        })  # fmt: skip
