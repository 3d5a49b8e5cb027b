"""The rules once more, in plain Python over Azure's own documents: what an estate's verdicts have to be.

The rules on VMs and snapshots stand here, those on other subjects in a module each.

Slow, obvious, and sharing nothing with the product: no SQL, no tables, no standard file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.simulator import backup
from auditor.simulator.clock import ZONE_MINUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditor.simulator import Estate

VM_RULES = (
    "vm-unprotected", "vm-protection-stopped", "vm-initial-backup-pending", "vm-snapshot-only", "backup-rpo-breached",
    "retention-daily-below-standard", "retention-weekly-below-standard", "retention-monthly-below-standard",
    "recovery-points-missing",
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
    shift: int


HYBRID = Tier(24, 36, 30, 84, 84 * 30.4375, 0)
MISSION = Tier(6, 36, 30, 91, 84 * 30.4375, 1)
DEV = Tier(168, 192, None, 28, None, -1)

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
        from tests.simulator.oracle import governance, readiness  # noqa: PLC0415 - they look at this one

        yield from governance.verdicts(self)
        yield from readiness.verdicts(self)

    def _group(self, identifier: str) -> Any:
        parts = identifier.lower().split("/")
        return self.estate.groups[parts[2], parts[4]]

    def _tier(self, document: Any) -> Tier:
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
        return HYBRID

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
        items = self.items.get(identifier, [])
        active = [
            item
            for item in items
            if not item.properties["isScheduledForDeferredDelete"]
            and item.properties["protectionState"] in ("Protected", "IRPending", "ProtectionError")
        ]
        if active:
            rest: dict[str, Verdict] = {"vm-unprotected": ("pass", None), "vm-protection-stopped": ("pass", None)}
            return rest | self._active(max(active, key=self._rank), tier)
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
        if not (young and not items) and any(self._loose(snapshot, disks) for snapshot in self.snapshots.values()):
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
        points = [backup.point_document(item, point)["properties"] for point in item.points(self.as_of)]
        if item.properties["protectionState"] == "IRPending" or not points:
            return verdicts | {"vm-initial-backup-pending": ("not_yet_due", None)}
        verdicts["vm-initial-backup-pending"] = ("pass", None)
        points = [point for point in points if not point["recoveryPointProperties"]["isSoftDeleted"]]
        if not points:
            return verdicts | {"backup-rpo-breached": self._fail("critical", tier)}
        verdicts["backup-rpo-breached"] = self._rpo(points, tier)
        verdicts["recovery-points-missing"] = self._missing(points, policy, tier)
        return verdicts

    def _retention(self, retention: Any, tier: Tier) -> dict[str, Verdict]:
        kept = {
            rule: span["retentionDuration"]["count"] * _DAYS[span["retentionDuration"]["durationType"]]
            for rule in ("daily", "weekly", "monthly")
            if (span := retention.get(f"{rule}Schedule"))
        }
        verdicts: dict[str, Verdict] = {}
        denser = {"daily": ("daily",), "weekly": ("daily", "weekly"), "monthly": ("daily", "weekly", "monthly")}
        demands = (("daily", tier.daily, "high"), ("weekly", tier.weekly, "medium"), ("monthly", tier.monthly, "high"))
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


def verdicts(estate: Estate, evidence: Path = EVIDENCE) -> dict[tuple[str, str], Verdict]:
    """(rule, lower-cased resource id) -> verdict, passes included."""
    return dict(Oracle(estate, evidence).verdicts())
