"""Recovery Services vaults as they are served, and the ARM documents of policies, protected items, recovery points."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from auditor.simulator.clock import WEEKDAYS, ZONE_MINUTES, seed, ticks, timespan
from auditor.simulator.naming import group_cased, mixed, number
from auditor.simulator.points import History, Point, Timetable, expand
from auditor.simulator.vault import VAULT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditor.simulator.compute import Json, Machine, Place

NEVER = "2001-01-01T00:00:00Z"
"""What Azure sends as lastBackupTime of an item that was never backed up."""
_UNITS = {"Days": 1.0, "Weeks": 7.0, "Months": 30.4375, "Years": 365.25}


@dataclass(frozen=True, slots=True)
class Vault:
    """A Recovery Services vault with everything under it."""

    name: str
    place: Place
    document: Json
    config: Json
    storage: Json
    encryption: Json
    guards: tuple[Json, ...]
    """Ties to resource guards."""
    diagnostics: tuple[Json, ...]
    policies: dict[str, Json]
    """Lower-cased policy name -> ProtectionPolicyResource."""
    timetables: dict[str, Timetable]
    """Lower-cased policy name -> when it runs; only for Azure VM policies."""
    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    """(lower-cased container, lower-cased item) -> item."""

    @property
    def id(self) -> str:
        """ARM id."""
        return self.place.id_of(VAULT, self.name)


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore that somebody started."""

    started: datetime
    status: str = "Completed"
    minutes: int = 45


@dataclass(frozen=True, slots=True)
class Item:
    """A protected item: what Azure says of it and how to give its points."""

    vault: Vault
    container: str
    name: str
    properties: Json
    """As REST sends it, without extendedInfo."""
    extended: Json
    """What Resource Graph adds or spells otherwise."""
    policy: str
    timetable: Timetable
    history: History
    facts: Mapping[str, Any]
    """size, os_type, disks, zone of the VM."""
    restores: tuple[Restore, ...] = ()

    @property
    def id(self) -> str:
        """ARM id, fabric included."""
        return f"{self.vault.id}/backupFabrics/Azure/protectionContainers/{self.container}/protectedItems/{self.name}"

    def points(self, as_of: datetime) -> Iterator[Point]:
        """Give its recovery points, newest first."""
        return expand(self.timetable, self.history, as_of, self.id)


@dataclass(frozen=True, slots=True)
class Plan:
    """A backup policy as the estate describes it."""

    name: str
    frequency: str
    times: tuple[time, ...]
    weekdays: tuple[int, ...]
    zone: str
    keep: Mapping[str, tuple[int, str]]
    """daily, weekly, monthly, yearly -> (84, Months)."""
    instant_days: int
    enhanced: bool
    every: int = 4
    window_hours: int = 24
    archive: tuple[int, str] | str | None = None
    """(3, Months): points move to the archive after that; "recommended": where Azure advises it; None: never."""

    def timetable(self) -> Timetable:
        """Give what decides about points."""
        return Timetable(
            frequency=self.frequency,
            times=self.times,
            weekdays=frozenset(self.weekdays if self.frequency == "Weekly" else range(7)),
            offset=timedelta(minutes=ZONE_MINUTES[self.zone]),
            instant_days=self.instant_days,
            keep={rule: timedelta(days=count * _UNITS[unit]) for rule, (count, unit) in self.keep.items()},
            weekly_day=self.weekdays[0] if self.frequency == "Weekly" else 6,
        )


def policy_document(plan: Plan, vault_id: str, count: int) -> Json:
    """Body of an Azure VM backup policy."""
    # Only the time of day counts, in the policy's own zone; the date is when someone saved the policy.
    times = [f"2024-03-01T{clock:%H:%M:%S}Z" for clock in plan.times]
    run, days = times[-1:], [WEEKDAYS[day] for day in plan.weekdays]
    schedule: Json
    if plan.enhanced:
        schedule = {"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": plan.frequency}
        if plan.frequency == "Hourly":
            schedule["hourlySchedule"] = {
                "interval": plan.every,
                "scheduleWindowStartTime": times[0],
                "scheduleWindowDuration": plan.window_hours,
            }
        elif plan.frequency == "Daily":
            schedule["dailySchedule"] = {"scheduleRunTimes": run}
        else:
            schedule["weeklySchedule"] = {"scheduleRunDays": days, "scheduleRunTimes": run}
    else:
        schedule = {
            "schedulePolicyType": "SimpleSchedulePolicy",
            "scheduleRunFrequency": plan.frequency,
            "scheduleRunTimes": run,
            "scheduleWeeklyFrequency": 0,
        }
        if plan.frequency == "Weekly":
            schedule["scheduleRunDays"] = days
    day = days[0] if plan.frequency == "Weekly" else "Sunday"
    retention: Json = {"retentionPolicyType": "LongTermRetentionPolicy"}
    for rule, (amount, unit) in plan.keep.items():
        span: Json = {"retentionTimes": run, "retentionDuration": {"count": amount, "durationType": unit}}
        if rule == "weekly":
            span["daysOfTheWeek"] = [day]
        if rule in ("monthly", "yearly"):
            span |= {
                "retentionScheduleFormatType": "Weekly",
                "retentionScheduleDaily": None,
                "retentionScheduleWeekly": {"daysOfTheWeek": [day], "weeksOfTheMonth": ["First"]},
            }
        if rule == "yearly":
            span["monthsOfYear"] = ["January"]
        retention[f"{rule}Schedule"] = span
    properties: Json = {
        "backupManagementType": "AzureIaasVM",
        "protectedItemsCount": count,
        "retentionPolicy": retention,
        "schedulePolicy": schedule,
        "timeZone": plan.zone,
        "instantRpRetentionRangeInDays": plan.instant_days,
        "instantRPDetails": {},
        "tieringPolicy": {"ArchivedRP": _tiering(plan.archive)},
        "resourceGuardOperationRequests": None,
    }
    if plan.enhanced:
        # Standard policies of older vaults carry no policyType at all.
        properties |= {"policyType": "V2", "snapshotConsistencyType": ""}
    return _policy(plan.name, vault_id, properties)


def _tiering(archive: tuple[int, str] | str | None) -> Json:
    if isinstance(archive, tuple):
        return {"tieringMode": "TierAfter", "duration": archive[0], "durationType": archive[1]}
    mode = "TierRecommended" if archive else "DoNotTier"
    return {"tieringMode": mode, "duration": 0, "durationType": "Invalid"}


def workload_policy(vault_id: str) -> Json:
    """Body of the SQL policy every vault is born with: no schedule or retention at the top level."""
    log: Json = {
        "policyType": "Log",
        "schedulePolicy": {"schedulePolicyType": "LogSchedulePolicy", "scheduleFrequencyInMins": 60},
        "retentionPolicy": {
            "retentionPolicyType": "SimpleRetentionPolicy",
            "retentionDuration": {"count": 30, "durationType": "Days"},
        },
    }
    properties: Json = {
        "backupManagementType": "AzureWorkload",
        "workLoadType": "SQLDataBase",
        "settings": {"timeZone": "UTC", "issqlcompression": False, "isCompression": False},
        "subProtectionPolicy": [log],
        "protectedItemsCount": 0,
    }
    return _policy("HourlyLogBackup", vault_id, properties)


def _policy(name: str, vault_id: str, properties: Json) -> Json:
    return {
        "id": f"{vault_id}/backupPolicies/{name}",
        "name": name,
        "type": f"{VAULT}/backupPolicies",
        "properties": properties,
    }


@dataclass(frozen=True, slots=True)
class Protection:
    """How a VM is protected by one item, as the estate describes it."""

    vault: Vault
    policy: str
    state: str = "Protected"
    history: History = field(default_factory=lambda: History(since=datetime(2001, 1, 1, tzinfo=UTC)))
    deleted: datetime | None = None
    """Soft-deleted since."""
    last_backup: datetime | None = None
    last_status: str | None = None
    health: str = "Passed"
    datasource_deleted: bool = False
    excluded_luns: tuple[int, ...] = ()
    included_luns: tuple[int, ...] | None = None
    """The only data disks that are backed up; an empty list: the OS disk alone."""
    restores: tuple[Restore, ...] = ()


_CURRENT = {
    "IRPending": "ConfiguringProtection",
    "Protected": "ProtectionConfigured",
    "ProtectionError": "ProtectionError",
    "ProtectionStopped": "ProtectionStopped",
    "ProtectionPaused": "ProtectionPaused",
    "BackupsSuspended": "BackupsSuspended",
    "Invalid": "Invalid",
}
STATES = frozenset(_CURRENT)
"""protectionState values an estate may use."""


def protected_item(machine: Machine, protection: Protection, as_of: datetime) -> Item:
    """Build the Azure VM item of a machine in a vault."""
    vault, place = protection.vault, machine.place
    container = f"iaasvmcontainerv2;{place.group};{machine.name}".lower()
    stopped = protection.deleted is not None or protection.state == "ProtectionStopped"
    source = mixed(machine.id, "item")
    policy = vault.policies[protection.policy.lower()]
    timetable = vault.timetables[protection.policy.lower()]
    soft_days = vault.config["properties"]["softDeleteRetentionPeriodInDays"]
    properties: Json = {
        "friendlyName": machine.name,
        "virtualMachineId": source,
        "protectionStatus": "Healthy" if protection.health == "Passed" else "Unhealthy",
        "protectionState": "ProtectionStopped" if stopped else protection.state,
        "healthStatus": protection.health,
        "healthDetails": [],
        "kpisHealths": {},
        "lastBackupStatus": "",
        "lastBackupTime": NEVER,
        "protectedItemDataId": number(f"data {machine.id} {vault.id}"),
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "backupManagementType": "AzureIaasVM",
        "workloadType": "VM",
        "containerName": container,
        "sourceResourceId": source,
        # After "stop protection, retain data" Azure sends an empty text, not null.
        "policyId": "" if stopped else mixed(policy["id"], f"policy of {machine.id}"),
        "policyName": "" if stopped else policy["name"],
        "policyType": "V2" if policy["properties"].get("policyType") == "V2" else "V1",
        "vaultId": group_cased(vault.id, "lower" if seed(vault.id) % 2 else "plain"),
        "isScheduledForDeferredDelete": protection.deleted is not None,
        "isDeferredDeleteScheduleUpcoming": False,
        "isRehydrate": False,
        "isArchiveEnabled": False,
        "softDeleteRetentionPeriodInDays": soft_days,
    }
    if protection.deleted is not None:
        gone = protection.deleted + timedelta(days=soft_days)
        properties["deferredDeleteTimeInUTC"] = ticks(gone)
        properties["deferredDeleteTimeRemaining"] = timespan(gone - as_of)
    excluded = protection.excluded_luns
    if protection.included_luns is not None:
        excluded = tuple(lun for lun in range(len(machine.data_disks)) if lun not in protection.included_luns)
        luns: Json = {"diskLunList": list(protection.included_luns), "isInclusionList": True}
        properties["extendedProperties"] = {"diskExclusionProperties": luns}
    elif excluded:
        properties["extendedProperties"] = {
            "diskExclusionProperties": {"diskLunList": list(excluded), "isInclusionList": False}
        }
    facts = {
        "size": machine.size,
        "os_type": machine.os_type.capitalize(),
        "disks": 1 + len(machine.data_disks),
        "excluded": excluded,
        "zone": machine.zone,
        "security": machine.security or "None",
    }
    prefix = f"VM;iaasvmcontainerv2;{place.group};{machine.name}"
    item = Item(
        vault, f"IaasVMContainer;{prefix.removeprefix('VM;')}", prefix, properties, {}, protection.policy, timetable,
        protection.history, facts, protection.restores,
    )  # fmt: skip
    newest = next((point for point in item.points(as_of) if not point.soft_deleted), None)
    if newest is not None:
        properties["lastRecoveryPoint"] = ticks(newest.taken)
        properties["lastBackupTime"] = ticks(newest.taken + timedelta(minutes=1 + seed(item.id) % 40))
        properties["lastBackupStatus"] = "Completed"
    if protection.last_backup is not None:
        properties["lastBackupTime"] = ticks(protection.last_backup)
    if protection.last_status is not None:
        properties["lastBackupStatus"] = protection.last_status
    item.extended.update(_graph_only(item, machine, protection, source))
    return item


def _graph_only(item: Item, machine: Machine, protection: Protection, source: str) -> Json:
    """Properties that only Resource Graph's row of an item has."""
    current = "SoftDeleted" if protection.deleted is not None else _CURRENT[protection.state]
    soft_days = item.properties["softDeleteRetentionPeriodInDays"]
    source_info = {
        "datasourceType": "Microsoft.Compute/virtualMachines",
        "objectType": "Datasource",
        "resourceID": source,
        "resourceLocation": machine.place.location,
        "resourceName": machine.name,
        "resourceType": "Microsoft.Compute/virtualMachines",
    }
    longest = max(item.timetable.keep.values(), default=timedelta())
    return {
        "currentProtectionState": current,
        "dataSourceId": source,
        "dataSourceInfo": source_info,
        "policyInfo": {"policyId": item.properties["policyId"], "policyVersion": None},
        "configuredMaximumRetention": timespan(longest),
        "configuredRPGenerationFrequency": timespan(timedelta(days=7 if item.timetable.frequency == "Weekly" else 1)),
        "extendedInfo": {},
        "isDatasourceDeleted": protection.datasource_deleted,
        "softDeleteRetentionPeriod": soft_days,
        "allowedOperations": [],
    }


def workload_item(machine: Machine, vault: Vault, database: str, as_of: datetime) -> Item:
    """Build the item of a SQL database inside a VM: it protects the database, not the machine."""
    place = machine.place
    container = f"VMAppContainer;Compute;{place.group};{machine.name}"
    name = f"SQLDataBase;mssqlserver;{database}"
    source = mixed(machine.id, "sql")
    properties: Json = {
        "friendlyName": database,
        "serverName": f"{machine.name}.contoso.local",
        "parentName": "MSSQLSERVER",
        "parentType": "AzureVmWorkloadSQLInstance",
        "protectionStatus": "Healthy",
        "protectionState": "Protected",
        "lastBackupStatus": "Healthy",
        "lastBackupTime": ticks(as_of - timedelta(hours=3)),
        "protectedItemDataSourceId": number(f"sql {machine.id} {database}"),
        "protectedItemHealthStatus": "Healthy",
        "protectedItemType": "AzureVmWorkloadSQLDatabase",
        "backupManagementType": "AzureWorkload",
        "workloadType": "SQLDataBase",
        "containerName": container,
        "sourceResourceId": source,
        "policyId": f"{vault.id}/backupPolicies/HourlyLogBackup",
        "policyName": "HourlyLogBackup",
        "vaultId": vault.id,
        "lastRecoveryPoint": ticks(as_of - timedelta(hours=3)),
        "isScheduledForDeferredDelete": False,
    }
    extended: Json = {"currentProtectionState": "ProtectionConfigured", "dataSourceId": source, "extendedInfo": {}}
    nothing = Timetable("Daily", (time(),), frozenset(range(7)), timedelta(), 0, {})
    history = History(since=as_of, empty=True)
    return Item(vault, container, name, properties, extended, "HourlyLogBackup", nothing, history, {})


def item_document(item: Item, as_of: datetime, *, expand_info: bool = False) -> Json:
    """Body of a protected item; `expand_info` as with `$filter=expand eq 'extendedinfo'`."""
    properties = dict(item.properties)
    if expand_info:
        points = [point for point in item.points(as_of) if not point.soft_deleted]
        info: Json = {"recoveryPointCount": len(points), "policyInconsistent": False}
        if points:
            vaulted = [point for point in points if any(tier != "InstantRP" for tier, _ in point.tiers)]
            info["oldestRecoveryPoint"] = ticks(points[-1].taken)
            if vaulted:
                info["oldestRecoveryPointInVault"] = ticks(vaulted[-1].taken)
        properties["extendedInfo"] = info
    return {
        "id": item.id,
        "name": item.name,
        "type": f"{VAULT}/backupFabrics/protectionContainers/protectedItems",
        "properties": properties,
    }


def point_document(item: Item, point: Point) -> Json:
    """Body of a recovery point."""
    identifier = item.id
    name = number(f"{identifier} {point.taken}")
    facts = item.facts
    move: Json = {"isReadyForMove": False, "additionalInfo": "Recovery point is not old enough to be moved."}
    disks = [lun for lun in range(-1, facts["disks"] - 1) if lun not in facts["excluded"]]
    properties: Json = {
        "objectType": "IaasVMRecoveryPoint",
        "recoveryPointType": "AppConsistent" if facts["os_type"] == "Windows" else "FileSystemConsistent",
        "recoveryPointTime": ticks(point.taken),
        "recoveryPointAdditionalInfo": "",
        "sourceVMStorageType": "PremiumVMOnPartialPremiumStorage",
        "isSourceVMEncrypted": False,
        "isInstantIlrSessionActive": False,
        "recoveryPointTierDetails": [{"type": tier, "status": status} for tier, status in point.tiers],
        "isManagedVirtualMachine": True,
        "virtualMachineSize": facts["size"],
        "originalStorageAccountOption": False,
        "osType": facts["os_type"],
        "recoveryPointMoveReadinessInfo": {"ArchivedRP": move},
        "securityType": facts["security"],
        "isPrivateAccessEnabledOnAnyDisk": False,
        "recoveryPointDiskConfiguration": {
            "numberOfDisksIncludedInBackup": len(disks),
            "numberOfDisksAttachedToVm": facts["disks"],
        },
        "recoveryPointProperties": {"isSoftDeleted": point.soft_deleted},
    }
    if point.expires:
        properties["recoveryPointProperties"]["expiryTime"] = ticks(point.expires)
    if point.rule:
        properties["recoveryPointProperties"]["ruleName"] = point.rule
    if facts["zone"]:
        properties["zones"] = [facts["zone"]]
    return {
        "id": f"{identifier}/recoveryPoints/{name}",
        "name": name,
        "type": f"{VAULT}/backupFabrics/protectionContainers/protectedItems/recoveryPoints",
        "properties": properties,
    }
