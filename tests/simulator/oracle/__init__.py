"""The rules once more, in plain Python over Azure's own documents: what an estate's verdicts have to be.

The rules on VMs and snapshots stand here, those on other subjects in a module each.

Slow, obvious, and sharing nothing with the product: no SQL, no tables, no standard file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.simulator import backup, jobs
from auditor.simulator.clock import ZONE_MINUTES
from tests.simulator.oracle import costs, snapshots
from tests.simulator.oracle.vaults import VAULT_RULES as VAULT_RULES
from tests.simulator.oracle.vaults import Vaults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.simulator import Estate

VM_RULES = (
    "vm-unprotected", "vm-protection-stopped", "vm-initial-backup-pending", "vm-snapshot-only", "backup-rpo-breached",
    "retention-daily-below-standard", "retention-weekly-below-standard", "retention-monthly-below-standard",
    "recovery-points-missing", "vm-disk-excluded", "vm-backup-unsupported", "vm-tier-unassigned", "backup-job-failing",
    "backup-success-rate-low", "backup-not-vaulted", "retention-frequency-below-standard",
    "retention-yearly-below-standard", "recovery-points-gfs-gap", "oldest-point-younger-than-retention",
    "retention-reduced",
)  # fmt: skip
SNAPSHOT_RULES = ("snapshot-stale", "snapshot-orphaned")
_SEVERITIES = ("low", "medium", "high", "critical")
_DAYS = {"Days": 1.0, "Weeks": 7.0, "Months": 30.4375, "Years": 365.25}
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Tier:
    """What the default standard demands of a class, in hours and days."""

    rpo: float
    vault_rpo: float
    daily: float | None
    weekly: float
    monthly: float | None
    yearly: float | None
    every: float
    shift: int


HYBRID = Tier(24, 36, 30, 84, 84 * 30.4375, None, 24, 0)
MISSION = Tier(6, 36, 30, 91, 84 * 30.4375, 3652.5, 4, 1)
DEV = Tier(168, 192, None, 28, None, None, 168, -1)

EVIDENCE = Path(__file__).resolve().parents[3] / "samples" / "evidence"
"""Restore tests and runbooks of the sample estate."""

Verdict = tuple[str, str | None]
"""Status, and the severity of a fail."""


def when(text: str) -> datetime:
    """Read Azure's instants, seven fractional digits included."""
    head, _, rest = text.rstrip("Z").partition(".")
    fraction = rest.partition("+")[0]
    moment = datetime.fromisoformat(head.partition("+")[0]).replace(tzinfo=UTC)
    return moment + timedelta(seconds=float(f"0.{fraction or 0}"))


def folded(tags: dict[str, str] | None) -> dict[str, str]:
    return {key.casefold(): value for key, value in (tags or {}).items()}


class Oracle:
    """Judges every VM and snapshot of an estate, as somebody who may read everything."""

    def __init__(self, estate: Estate, evidence: Path = EVIDENCE) -> None:
        self.estate, self.as_of, self.evidence = estate, estate.as_of, evidence
        self.items: dict[str, list[backup.Item]] = {}
        for vault in estate.vaults.values():
            for item in vault.items.values():
                if item.properties["backupManagementType"] == "AzureIaasVM":
                    self.items.setdefault(item.properties["sourceResourceId"].lower(), []).append(item)
        self.disks = {disk["id"].lower(): disk for disk in estate.disk_documents}
        self.snapshots = {snapshot["id"].lower(): snapshot for snapshot in estate.snapshot_documents}

    def verdicts(self) -> Iterator[tuple[tuple[str, str], Verdict]]:
        for machine in self.estate.machine_documents:
            yield from self._machine(machine)
        for snapshot in self.estate.snapshot_documents:
            yield from self._snapshot(snapshot)
        yield from Vaults(self).verdicts()
        yield from snapshots.verdicts(self)
        yield from costs.verdicts(self)
        from tests.simulator.oracle import governance, readiness  # noqa: PLC0415 - they look at this one

        yield from governance.verdicts(self)
        yield from readiness.verdicts(self)

    def _group(self, identifier: str) -> Any:
        parts = identifier.lower().split("/")
        return self.estate.groups[parts[2], parts[4]]

    def _tier(self, document: Any) -> Tier:
        return self._class(document) or HYBRID

    def _class(self, document: Any) -> Tier | None:
        group = self._group(document["id"])
        tags = folded(group["tags"]) | folded(document.get("tags"))
        if tags.get("backup-tier", "").casefold() in ("mission-critical", "tier0", "tier1"):
            return MISSION
        environment = tags.get("environment", "").casefold()
        if environment in ("prod", "production"):
            return HYBRID
        name = group["name"].casefold()
        if environment in ("dev", "test", "sandbox") or fnmatchcase(name, "rg-dev-*") or fnmatchcase(name, "rg-sbx-*"):
            return DEV
        return None

    @staticmethod
    def _fail(severity: str, tier: Tier) -> Verdict:
        place = min(max(_SEVERITIES.index(severity) + tier.shift, 0), 3)
        return "fail", _SEVERITIES[place]

    def _excluded(self, machine: Any) -> bool:
        profile = machine["properties"]["storageProfile"]
        local = (profile["osDisk"].get("diffDiskSettings") or {}).get("option") == "Local"
        return bool(
            self._group(machine["id"]).get("managedBy")
            or profile["imageReference"]["publisher"].lower() in ("azuredatabricks", "azureopenshift")
            or machine["properties"].get("priority") in ("Spot", "SpotPlus", "Low")
            or (local and not profile["dataDisks"])
        )

    def _machine(self, machine: Any) -> Iterator[tuple[tuple[str, str], Verdict]]:
        identifier, tier = machine["id"].lower(), self._tier(machine)
        found: dict[str, Verdict] = dict.fromkeys(VM_RULES, ("not_applicable", None))
        if not self._excluded(machine):
            found |= self._judged(machine, identifier, tier)
        for rule, verdict in found.items():
            yield (rule, identifier), verdict

    def _judged(self, machine: Any, identifier: str, tier: Tier) -> dict[str, Verdict]:
        good: Verdict = ("pass", None)
        named: dict[str, Verdict] = {
            "vm-tier-unassigned": good if self._class(machine) else self._fail("medium", tier),
            "vm-backup-unsupported": self._supported(machine, identifier, tier),
        }
        return named | self._guarded(machine, identifier, tier)

    def _guarded(self, machine: Any, identifier: str, tier: Tier) -> dict[str, Verdict]:
        items = self.items.get(identifier, [])
        active = [
            item
            for item in items
            if not item.properties["isScheduledForDeferredDelete"]
            and item.properties["protectionState"] in ("Protected", "IRPending", "ProtectionError")
        ]
        if active:
            rest: dict[str, Verdict] = {"vm-unprotected": ("pass", None), "vm-protection-stopped": ("pass", None)}
            chosen = max(active, key=self._rank)
            return rest | self._active(chosen, tier) | self._running(machine, chosen, items, tier)
        young = self.as_of - when(machine["properties"]["timeCreated"]) < 24 * _HOUR
        verdicts: dict[str, Verdict] = {}
        if not items:
            verdicts["vm-unprotected"] = ("not_yet_due", None) if young else self._fail("high", tier)
        elif all(item.properties["isScheduledForDeferredDelete"] for item in items):
            verdicts["vm-protection-stopped"] = self._fail("critical", tier)
        else:
            verdicts["vm-protection-stopped"] = self._fail("high", tier)
        profile = machine["properties"]["storageProfile"]
        mine = [profile["osDisk"], *profile["dataDisks"]]
        disks = {disk["managedDisk"]["id"].lower() for disk in mine if "managedDisk" in disk}
        caught = any(c.item is None and c.machine.id.lower() == identifier for c in self.estate.collections)
        loose = caught or any(self._loose(snapshot, disks) for snapshot in self.snapshots.values())
        if loose and not (young and not items):
            verdicts["vm-snapshot-only"] = self._fail("high", tier)
        return verdicts

    def _rank(self, item: backup.Item) -> tuple[bool, str]:
        properties = item.properties
        return properties["protectionState"] == "Protected", properties.get("lastRecoveryPoint", "")

    def _loose(self, snapshot: Any, disks: set[str]) -> bool:
        source = snapshot["properties"]["creationData"].get("sourceResourceId", "").lower()
        age = self.as_of - when(snapshot["properties"]["timeCreated"])
        # Those of a Backup vault are in the operational tier: snapshots like the others.
        makers = ("user", "third_party", "azure_disk_backup")
        return source in disks and age <= timedelta(days=90) and self._maker(snapshot) in makers

    def _active(self, item: backup.Item, tier: Tier) -> dict[str, Verdict]:
        policy = item.vault.policies[item.policy.lower()]["properties"]
        verdicts = self._retention(policy["retentionPolicy"], tier)
        hours = self._every(policy["schedulePolicy"])
        verdicts["retention-frequency-below-standard"] = (
            self._fail("high", tier) if hours > tier.every else ("pass", None)
        )
        points = [backup.point_document(item, point)["properties"] for point in item.points(self.as_of)]
        if item.properties["protectionState"] == "IRPending" or not points:
            return verdicts | {"vm-initial-backup-pending": self._pending(item, policy, tier)}
        points = [point for point in points if not point["recoveryPointProperties"]["isSoftDeleted"]]
        # With snapshots alone it is a matter of their transfer.
        if not points or any(self._safe(point) for point in points):
            verdicts["vm-initial-backup-pending"] = ("pass", None)
        if not points:
            return verdicts | {"backup-rpo-breached": self._fail("critical", tier)}
        verdicts["backup-rpo-breached"] = self._rpo(points, tier)
        verdicts["recovery-points-missing"] = self._missing(points, policy, tier)
        return verdicts

    def _pending(self, item: backup.Item, policy: Any, tier: Tier) -> Verdict:
        """On a first run the job that configured it tells since when it waits."""
        found = [job["properties"] for job in jobs.job_documents(item, self.as_of, min(self.estate.jobs_days, 31))]
        since = [when(job["startTime"]) for job in found if job["operation"] == "ConfigureBackup"]
        hours = (self.as_of - max(since)) / _HOUR if since else 0
        if hours <= (168 if policy["schedulePolicy"]["scheduleRunFrequency"] == "Weekly" else 24):
            return "not_yet_due", None
        return self._fail("high" if hours > 72 else "medium", tier)

    def _retention(self, retention: Any, tier: Tier) -> dict[str, Verdict]:
        kept = {
            rule: span["retentionDuration"]["count"] * _DAYS[span["retentionDuration"]["durationType"]]
            for rule in ("daily", "weekly", "monthly", "yearly")
            if (span := retention.get(f"{rule}Schedule"))
        }
        verdicts: dict[str, Verdict] = {}
        kinds = ("daily", "weekly", "monthly", "yearly")
        denser = {kind: kinds[: number + 1] for number, kind in enumerate(kinds)}
        demands = (
            ("daily", tier.daily, "high"), ("weekly", tier.weekly, "medium"), ("monthly", tier.monthly, "high"),
            ("yearly", tier.yearly, "medium"),
        )  # fmt: skip
        for rule, demanded, severity in demands:
            if demanded is not None:
                best = max((kept[name] for name in denser[rule] if name in kept), default=0.0)
                good = best >= demanded * 0.98
                verdicts[f"retention-{rule}-below-standard"] = ("pass", None) if good else self._fail(severity, tier)
        return verdicts

    def _rpo(self, points: list[Any], tier: Tier) -> Verdict:
        ages, vaulted = [], []
        for point in points:
            hours = (self.as_of - when(point["recoveryPointTime"])) / _HOUR
            tiers = {(detail["type"], detail["status"]) for detail in point["recoveryPointTierDetails"]}
            safe = tiers & {("HardenedRP", "Valid"), ("ArchivedRP", "Valid"), ("ArchivedRP", "Rehydrated")}
            if safe or ("InstantRP", "Valid") in tiers:
                ages.append(hours)
            if safe:
                vaulted.append(hours)
        oldest = (self.as_of - min(when(point["recoveryPointTime"]) for point in points)) / _HOUR
        late = not ages or min(ages) > tier.rpo + 6
        unsafe = (min(vaulted) if vaulted else oldest) > tier.vault_rpo + 6
        if not late and not unsafe:
            return "pass", None
        far = min(ages, default=oldest) > 3 * tier.rpo or min(vaulted, default=oldest) > 3 * tier.vault_rpo
        return self._fail("critical" if far else "high", tier)

    def _missing(self, points: list[Any], policy: Any, tier: Tier) -> Verdict:
        if policy["schedulePolicy"]["scheduleRunFrequency"] == "Weekly":
            return "not_applicable", None
        moments = [when(point["recoveryPointTime"]) for point in points]
        offset = timedelta(minutes=ZONE_MINUTES[policy["timeZone"]])
        days = {(moment + offset).date() for moment in moments}
        today = (self.as_of + offset).date()
        span = policy["retentionPolicy"]["dailySchedule"]["retentionDuration"]
        # On a first run the promise is judged from the first three days in a row that have a point.
        day = timedelta(days=1)
        daily = [d for d in sorted(days) if d + day in days and d + 2 * day in days]
        if not daily:
            return "not_yet_due", None
        kept = int(span["count"] * _DAYS[span["durationType"]])
        first = max(daily[0], today - timedelta(days=kept - 1))
        if first >= today:
            return "not_yet_due", None
        gaps = [first + timedelta(days=n) not in days for n in range((today - first).days)]
        longest = run = 0
        for gap in gaps:
            run = run + 1 if gap else 0
            longest = max(longest, run)
        return self._fail("high", tier) if sum(gaps) > 0.03 * len(gaps) or longest > 1 else ("pass", None)

    # --- running backups ------------------------------------------------------------------------------------------

    @staticmethod
    def _every(schedule: Any) -> float:
        if schedule["scheduleRunFrequency"] == "Hourly":
            hourly = schedule["hourlySchedule"]
            runs = [
                n * hourly["interval"] for n in range(25) if n * hourly["interval"] <= hourly["scheduleWindowDuration"]
            ]
            return float(max(hourly["interval"], 24 - runs[-1]))
        return 24 if schedule["scheduleRunFrequency"] == "Daily" else 168

    @staticmethod
    def _run(schedule: Any) -> timedelta:
        """Give the time of day of the first run, in the policy's zone."""
        if "hourlySchedule" in schedule:
            first = schedule["hourlySchedule"]["scheduleWindowStartTime"]
        else:
            first = (schedule.get("dailySchedule") or schedule.get("weeklySchedule") or schedule)["scheduleRunTimes"][0]
        at = when(first)
        return timedelta(hours=at.hour, minutes=at.minute)

    def _supported(self, machine: Any, identifier: str, tier: Tier) -> Verdict:
        for item in self.items.get(identifier, []):
            recent = [point for point in self._points(item) if self._safe(point) and self._hours(point) <= 192]
            if recent and item is self._counts(identifier):
                return "pass", None
        profile = machine["properties"]["storageProfile"]
        data = profile["dataDisks"]
        mine = [self.disks[d["managedDisk"]["id"].lower()] for d in [profile["osDisk"], *data] if "managedDisk" in d]
        sizes = [disk["properties"]["diskSizeGB"] for disk in mine]
        local = (profile["osDisk"].get("diffDiskSettings") or {}).get("option") == "Local"
        beyond = (
            (local and data) or any(disk["properties"].get("maxShares", 1) > 1 for disk in mine) or len(data) > 32
            or max(sizes, default=0) > 32 * 1024 or sum(sizes) > 256 * 1024
            or ("vhd" in profile["osDisk"] and len(data) > 16)
        )  # fmt: skip
        counted = self._counts(identifier)
        if counted is not None and counted.properties["policyId"]:
            standard = counted.vault.policies[counted.policy.lower()]["properties"].get("policyType") != "V2"
            secure = (machine["properties"].get("securityProfile") or {}).get("securityType", "Standard") != "Standard"
            fast = any(disk["sku"]["name"] in ("UltraSSD_LRS", "PremiumV2_LRS") for disk in mine)
            beyond = beyond or (standard and (secure or fast))
        return self._fail("medium", tier) if beyond else ("pass", None)

    def _counts(self, identifier: str) -> backup.Item | None:
        """Give the item that a VM is judged by."""
        order = (
            "Protected",
            "ProtectionError",
            "IRPending",
            "ProtectionStopped",
            "ProtectionPaused",
            "BackupsSuspended",
        )

        def place(item: backup.Item) -> tuple[int, datetime, str]:
            gone = item.properties["isScheduledForDeferredDelete"]
            rank = 9 if gone else order.index(item.properties["protectionState"])
            newest = max(
                (when(p["recoveryPointTime"]) for p in self._points(item)), default=datetime.min.replace(tzinfo=UTC)
            )
            return rank, self.as_of - newest, item.id.lower()  # type: ignore[return-value]

        return min(self.items.get(identifier, []), key=place, default=None)

    def _points(self, item: backup.Item) -> list[Any]:
        every = [backup.point_document(item, point)["properties"] for point in item.points(self.as_of)]
        return [point for point in every if not point["recoveryPointProperties"]["isSoftDeleted"]]

    @staticmethod
    def _safe(point: Any) -> bool:
        tiers = {(detail["type"], detail["status"]) for detail in point["recoveryPointTierDetails"]}
        return bool(tiers & {("HardenedRP", "Valid"), ("ArchivedRP", "Valid"), ("ArchivedRP", "Rehydrated")})

    def _hours(self, point: Any) -> float:
        return (self.as_of - when(point["recoveryPointTime"])) / _HOUR

    def _running(self, machine: Any, item: backup.Item, items: list[backup.Item], tier: Tier) -> dict[str, Verdict]:
        verdicts = {"vm-disk-excluded": self._excluded_disks(machine, item, tier)}
        every = [backup.point_document(item, point)["properties"] for point in item.points(self.as_of)]
        deleted = any(point["recoveryPointProperties"]["isSoftDeleted"] for point in every)
        # A first run has nothing to compare with.
        verdicts["retention-reduced"] = self._fail("high", tier) if deleted else ("not_yet_due", None)
        if item.properties["protectionState"] == "IRPending" or not every:
            return verdicts
        points = self._points(item)
        verdicts["backup-job-failing"] = self._jobs(item, points, tier)
        verdicts["backup-success-rate-low"] = self._rate(item, tier)
        vaulted = [point for point in points if self._safe(point)]
        verdicts["backup-not-vaulted"] = self._transferred(points, vaulted, tier)
        policy = item.vault.policies[item.policy.lower()]["properties"]
        verdicts["recovery-points-gfs-gap"] = self._archive(vaulted, points, policy, tier)
        old = [point for one in items for point in self._points(one) if self._safe(point)]
        verdicts["oldest-point-younger-than-retention"] = self._reach(old, policy)
        return verdicts

    def _excluded_disks(self, machine: Any, item: backup.Item, tier: Tier) -> Verdict:
        luns = [disk["lun"] for disk in machine["properties"]["storageProfile"]["dataDisks"]]
        chosen = (item.properties.get("extendedProperties") or {}).get("diskExclusionProperties")
        if chosen and any((lun in chosen["diskLunList"]) != chosen["isInclusionList"] for lun in luns):
            return self._fail("high", tier)
        return "pass", None

    def _jobs(self, item: backup.Item, points: list[Any], tier: Tier) -> Verdict:
        found = [job["properties"] for job in jobs.job_documents(item, self.as_of, min(self.estate.jobs_days, 31))]
        found = [
            job
            for job in found
            if job["operation"] == "Backup" and self.as_of - when(job["startTime"]) <= timedelta(31)
        ]
        good = max((when(job["startTime"]) for job in found if job["status"] == "Completed"), default=None)
        failures = [
            job for job in found if job["status"] == "Failed" and (good is None or when(job["startTime"]) > good)
        ]
        if failures:
            return self._fail("high" if len(failures) > 1 else "medium", tier)
        policy = item.vault.policies[item.policy.lower()]["properties"]
        signs = [*(when(job["startTime"]) for job in found), *(when(point["recoveryPointTime"]) for point in points)]
        recent = signs and (self.as_of - max(signs)) / _HOUR <= self._every(policy["schedulePolicy"]) + 24
        return ("pass", None) if recent else self._fail("medium", tier)

    def _rate(self, item: backup.Item, tier: Tier) -> Verdict:
        """On a first run only what can't be made good any more counts: more than 1.8 of 90 days lost."""
        policy = item.vault.policies[item.policy.lower()]["properties"]
        offset = timedelta(minutes=ZONE_MINUTES[policy["timeZone"]])
        today = (self.as_of + offset).date()
        days: dict[Any, bool] = {}
        for job in jobs.job_documents(item, self.as_of, min(self.estate.jobs_days, 31)):
            clock = timedelta(0) if job["properties"]["isUserTriggered"] else self._run(policy["schedulePolicy"])
            day = (when(job["properties"]["startTime"]) + offset - clock).date()
            if job["properties"]["operation"] == "Backup" and today - timedelta(30) <= day < today:
                days[day] = days.get(day, False) or job["properties"]["status"] == "Completed"
        if not days:
            return "not_yet_due", None
        weekly = policy["schedulePolicy"]["scheduleRunFrequency"] == "Weekly"
        due = len(days) if weekly else (today - min(days)).days
        return self._fail("medium", tier) if due - sum(days.values()) > 1.8 else ("not_yet_due", None)

    def _transferred(self, points: list[Any], vaulted: list[Any], tier: Tier) -> Verdict:
        usable = [
            p
            for p in points
            if self._safe(p)
            or ("InstantRP", "Valid") in {(d["type"], d["status"]) for d in p["recoveryPointTierDetails"]}
        ]
        newest = min(map(self._hours, usable), default=None)
        safe = min(map(self._hours, vaulted), default=None)
        waiting = max((hours for hours in map(self._hours, usable) if safe is not None and hours < safe), default=None)
        if newest is not None and safe is not None and safe - newest <= 36:
            return "pass", None
        if waiting is not None and waiting <= 24:
            return "pass", None
        if newest is None or newest > tier.rpo + 6:
            return "not_applicable", None
        if safe is None and max(map(self._hours, usable)) <= 48:
            return "not_yet_due", None
        return self._fail("high", tier)

    def _archive(self, vaulted: list[Any], points: list[Any], policy: Any, tier: Tier) -> Verdict:
        retention = policy["retentionPolicy"]
        kept = {
            kind: span["retentionDuration"]["count"] * _DAYS[span["retentionDuration"]["durationType"]]
            for kind in ("daily", "weekly", "monthly")
            if (span := retention.get(f"{kind}Schedule"))
        }
        if not kept.keys() & {"weekly", "monthly"}:
            return "not_applicable", None
        if not points:
            return "not_applicable", None
        offset = timedelta(minutes=ZONE_MINUTES[policy["timeZone"]])
        today = (self.as_of + offset).date()
        days = {(when(point["recoveryPointTime"]) + offset).date() for point in vaulted}
        end = today - timedelta(days=math.ceil(kept.get("daily", 0)))
        lost = {}
        owed = 0
        for kind, span, first, following in (
            ("weekly", kept.get("weekly"), _monday, timedelta(weeks=1)),
            ("monthly", kept.get("monthly"), _first, None),
        ):
            if span is None:
                continue
            filled = {first(day) for day in days}
            runs = [
                p
                for p in sorted(filled)
                if _next(p, following) in filled and _next(_next(p, following), following) in filled
            ]
            if not runs:
                continue
            # The whole week or month has to lie inside the retention and beyond the daily points.
            period, empty = runs[0], 0
            while _next(period, following) <= end:
                if period > today - timedelta(days=math.floor(span)):
                    owed += 1
                    empty += period not in filled
                period = _next(period, following)
            lost[kind] = empty
        if not owed:
            return "not_yet_due", None
        if lost.get("monthly"):
            return self._fail("high", tier)
        return self._fail("medium", tier) if lost.get("weekly") else ("pass", None)

    def _reach(self, old: list[Any], policy: Any) -> Verdict:
        spans = {
            kind: span["retentionDuration"]["count"] * _DAYS[span["retentionDuration"]["durationType"]]
            for kind in ("daily", "weekly", "monthly", "yearly")
            if (span := policy["retentionPolicy"].get(f"{kind}Schedule"))
        }
        if not old:
            return "not_applicable", None
        kind = max(spans, key=lambda name: spans[name])
        slack = {"daily": 2, "weekly": 8, "monthly": 32, "yearly": 367}[kind]
        return ("pass" if max(map(self._hours, old)) / 24 >= spans[kind] - slack else "not_yet_due"), None

    # --- snapshots ------------------------------------------------------------------------------------------------

    def _maker(self, snapshot: Any) -> str:
        tags, name = folded(snapshot["tags"]), snapshot["name"].casefold()
        homes = {
            parameters["resourceGroupId"].lower()
            for instance in self.estate.disk_backup_documents
            for parameters in instance["properties"]["policyInfo"]["policyParameters"]["dataStoreParametersList"]
        }
        if any(snapshot["id"].lower().startswith(f"{home}/") for home in homes):
            return "azure_disk_backup"
        if any(tag.startswith(("k8s-azure-", "kubernetes.io-")) for tag in tags):
            return "kubernetes_csi"
        if any(tag.startswith("veeam") for tag in tags):
            return "third_party"
        if "packer" in tags.get("created-by", "").casefold() or name.startswith("pkr"):
            return "image_build"
        return "asr" if name.startswith(("asrseeddisk-", "ms-asr-")) else "user"

    def _snapshot(self, snapshot: Any) -> Iterator[tuple[tuple[str, str], Verdict]]:
        identifier, tier = snapshot["id"].lower(), self._tier(snapshot)
        tags = folded(snapshot["tags"])
        held = tags.get("legal-hold", "no").casefold() not in ("no", "false", "")
        ours = self._maker(snapshot) == "user" and not held
        stale = self._stale(snapshot, tags, tier) if ours else ("not_applicable", None)
        orphaned = self._orphaned(snapshot, tier) if ours else ("not_applicable", None)
        yield ("snapshot-stale", identifier), stale
        yield ("snapshot-orphaned", identifier), orphaned

    def _age(self, snapshot: Any) -> float:
        return (self.as_of - when(snapshot["properties"]["timeCreated"])) / timedelta(days=1)

    def _stale(self, snapshot: Any, tags: dict[str, str], tier: Tier) -> Verdict:
        immutable = snapshot["properties"].get("immutabilityPolicy")
        if immutable and not immutable["isPolicyExpired"]:
            return "not_applicable", None
        age = self._age(snapshot)
        grade = "high" if age > 90 else "medium" if age > 30 else "low"
        names = ("expires-on", "expiry", "delete-after", "expirydate", "keep-until")
        for name in names:
            if name in tags:
                left = when(f"{tags[name]}T23:59:59") - self.as_of
                if left < timedelta():
                    return self._fail(grade, tier)
                if left <= timedelta(days=31):
                    return "pass", None
        return self._fail(grade, tier) if age > 8 else ("pass", None)

    def _orphaned(self, snapshot: Any, tier: Tier) -> Verdict:
        creation = snapshot["properties"]["creationData"]
        if creation["createOption"] not in ("Copy", "CopyStart"):
            return "not_applicable", None
        source = creation["sourceResourceId"].lower()
        disk = self.disks.get(source)
        if source in self.snapshots or (disk and creation["sourceUniqueId"] == disk["properties"]["uniqueId"]):
            return "pass", None
        age = self._age(snapshot)
        if age < 7:
            return "not_yet_due", None
        return self._fail("medium" if age > 30 else "low", tier)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first(day: date) -> date:
    return day.replace(day=1)


def _next(period: date, step: timedelta | None) -> date:
    """Give the next week, or the next month where there is no step."""
    return period + step if step else (period + timedelta(days=31)).replace(day=1)


def verdicts(estate: Estate, evidence: Path = EVIDENCE) -> dict[tuple[str, str], Verdict]:
    """(rule, lower-cased resource id) -> verdict, passes included."""
    return dict(Oracle(estate, evidence).verdicts())


def judged_vaults(estate: Estate) -> int:
    """Count the vaults that are judged: of Backup vaults those that hold backups of a judged machine's disks."""
    return len(estate.vaults) + len(Vaults(Oracle(estate)).backup_vaults)
