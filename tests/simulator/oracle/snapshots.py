"""Copies of disks and the operational tier of VMs, once more over Azure's own documents."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditor.simulator.clock import ZONE_MINUTES
from tests.simulator import oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from auditor.simulator import backup
    from tests.simulator.oracle import Oracle, Verdict

SNAPSHOT_RULES = (
    "snapshot-no-expiry-tag", "snapshot-not-incremental", "snapshot-premium-storage", "snapshot-network-exposed",
)  # fmt: skip
DISK_RULES = ("snapshot-count-excessive",)
VM_RULES = ("snapshot-daily-missing",)

_ENDS = ("expires-on", "expiry", "delete-after", "expirydate", "keep-until")
_OWNERS = ("owner", "application-owner", "service-owner")
_NOTHING: Verdict = ("not_applicable", None)
_GOOD: Verdict = ("pass", None)
_DAY = timedelta(days=1)


def verdicts(judge: Oracle) -> Iterator[tuple[tuple[str, str], Verdict]]:
    for snapshot in judge.estate.snapshot_documents:
        identifier = snapshot["id"].lower()
        yield ("snapshot-no-expiry-tag", identifier), untagged(judge, snapshot)
        yield ("snapshot-not-incremental", identifier), full(judge, snapshot)
        yield ("snapshot-premium-storage", identifier), premium(judge, snapshot)
        yield ("snapshot-network-exposed", identifier), exposed(judge, snapshot)
    for disk in judge.estate.disk_documents:
        yield ("snapshot-count-excessive", disk["id"].lower()), too_many(judge, disk)
    for machine in judge.estate.machine_documents:
        yield ("snapshot-daily-missing", machine["id"].lower()), daily(judge, machine)


def _let_be(judge: Oracle, snapshot: Any) -> bool:
    """Tell whether nobody may be asked to delete it: a product's, held, or immutable still."""
    held = oracle.folded(snapshot["tags"]).get("legal-hold", "no").casefold() not in ("no", "false", "")
    lock = snapshot["properties"].get("immutabilityPolicy")
    return held or judge._maker(snapshot) != "user" or bool(lock and not lock["isPolicyExpired"])


def untagged(judge: Oracle, snapshot: Any) -> Verdict:
    if _let_be(judge, snapshot):
        return _NOTHING
    group = judge._group(snapshot["id"])
    tags = {key for key, value in (oracle.folded(group["tags"]) | oracle.folded(snapshot["tags"])).items() if value}
    good = tags & set(_ENDS) and tags & set(_OWNERS) and "change-ref" in tags
    return _GOOD if good else judge._fail("low", judge._tier(snapshot))


def full(judge: Oracle, snapshot: Any) -> Verdict:
    properties = snapshot["properties"]
    if _let_be(judge, snapshot) or properties["creationData"]["createOption"] not in ("Copy", "CopyStart"):
        return _NOTHING
    if properties["incremental"] or properties["diskSizeGB"] <= 32:
        return _GOOD
    return judge._fail("low", judge._tier(snapshot))


def premium(judge: Oracle, snapshot: Any) -> Verdict:
    if _let_be(judge, snapshot):
        return _NOTHING
    if snapshot["sku"]["name"] != "Premium_LRS":
        return _GOOD
    if "fast-restore" in oracle.folded(snapshot["tags"]):
        return _NOTHING
    return judge._fail("low", judge._tier(snapshot)) if judge._age(snapshot) > 1 else _GOOD


def exposed(judge: Oracle, snapshot: Any) -> Verdict:
    properties, tier = snapshot["properties"], judge._tier(snapshot)
    live = properties["diskState"].startswith("ActiveSAS")
    young = judge._age(snapshot) <= 4 / 24
    if live and not young:
        return judge._fail("high", tier)
    if properties["networkAccessPolicy"] == "AllowAll" and properties["publicNetworkAccess"] != "Disabled":
        return judge._fail("medium", tier)
    return ("not_yet_due", None) if live else _GOOD


def too_many(judge: Oracle, disk: Any) -> Verdict:
    mine = [
        snapshot
        for snapshot in judge.estate.snapshot_documents
        if snapshot["properties"]["creationData"].get("sourceUniqueId") == disk["properties"]["uniqueId"]
        and snapshot["properties"].get("completionPercent", 100) == 100
    ]
    for least, severity in ((400, "high"), (31, "medium"), (11, "low")):
        if len(mine) >= least:
            return judge._fail(severity, judge._tier(disk))
    return _GOOD


class _Calendar:
    """Days as a policy counts them: in its zone, from run to run."""

    def __init__(self, policy: Any) -> None:
        schedule = policy["properties"]["schedulePolicy"] if policy else {}
        self.offset = timedelta(minutes=ZONE_MINUTES[policy["properties"]["timeZone"]] if policy else 0)
        runs = schedule.get("scheduleRunTimes") or schedule.get("dailySchedule", {}).get("scheduleRunTimes")
        start = runs[0] if runs else schedule.get("hourlySchedule", {}).get("scheduleWindowStartTime")
        self.run = timedelta(hours=int(start[11:13]), minutes=int(start[14:16])) if start else timedelta()

    def day(self, moment: datetime) -> date:
        return (moment + self.offset).date()

    def slot(self, moment: datetime) -> date:
        """Give the day of the run that a point belongs to; one made hours after it stands for its own day."""
        since_run = moment + self.offset - self.run
        late = timedelta(hours=since_run.hour, minutes=since_run.minute, seconds=since_run.second)
        return self.day(moment) if late > timedelta(hours=6) else since_run.date()

    def today(self, as_of: datetime) -> date:
        return min(self.day(as_of), (as_of + self.offset - self.run - timedelta(hours=6)).date() + _DAY)


def _calendar(item: backup.Item) -> _Calendar:
    return _Calendar(item.vault.policies[item.policy.lower()] if item.properties["policyId"] else None)


def daily(judge: Oracle, machine: Any) -> Verdict:
    tier, identifier = judge._tier(machine), machine["id"].lower()
    if judge._excluded(machine) or tier is oracle.DEV:
        return _NOTHING
    items = judge.items.get(identifier, [])
    governed = [item for item in items if item.properties["policyId"]]
    own = _calendar(governed[0]) if governed else _Calendar(None)
    today = own.today(judge.as_of)
    born = own.day(oracle.when(machine["properties"]["timeCreated"]))
    first = max(today - 7 * _DAY, born + _DAY)
    wanted = {first + n * _DAY for n in range((today - first).days)}
    missing = wanted - _instant(judge, items) - _restore_points(judge, identifier, own) - _copies(judge, machine, own)
    if wanted and not missing:
        return _GOOD
    if len(wanted) <= 1:
        return "not_yet_due", None
    return judge._fail("medium", tier) if len(missing) > 1 else _GOOD


def _instant(judge: Oracle, items: list[backup.Item]) -> set[date]:
    return {
        _calendar(item).slot(point.taken)
        for item in items
        for point in item.points(judge.as_of)
        if ("InstantRP", "Valid") in point.tiers and not point.soft_deleted
    }


def _restore_points(judge: Oracle, identifier: str, own: _Calendar) -> set[date]:
    return {
        own.day(moment)
        for collection in judge.estate.collections
        if collection.item is None and collection.machine.id.lower() == identifier and not collection.excluded_luns
        for moment in collection.made
    }


def _copies(judge: Oracle, machine: Any, own: _Calendar) -> set[date]:
    """Give the days on which every disk of a VM was copied whole."""
    profile = machine["properties"]["storageProfile"]
    disks = {
        disk["managedDisk"]["id"].lower()
        for disk in [profile["osDisk"], *profile["dataDisks"]]
        if "managedDisk" in disk
    }
    days: list[set[date]] = []
    for identifier in disks:
        unique = judge.disks[identifier]["properties"]["uniqueId"]
        days.append({
            own.day(oracle.when(snapshot["properties"]["timeCreated"]))
            for snapshot in judge.estate.snapshot_documents
            if snapshot["properties"]["creationData"].get("sourceUniqueId") == unique
            and snapshot["properties"].get("completionPercent", 100) == 100
        })  # fmt: skip
    return set.intersection(*days) if days else set()
