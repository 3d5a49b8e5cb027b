"""One nasty `Results`: hostile names, every status, every section filled; and its variants."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditor.model import (
    CALENDAR_DAYS,
    Calendar,
    Coverage,
    CoverageState,
    Finding,
    Gap,
    Gate,
    GateReason,
    IdleResponse,
    Loosening,
    LooserDemand,
    Machine,
    PastRun,
    Population,
    Question,
    Reconciliation,
    Results,
    RuleResult,
    Run,
    Severity,
    SnapshotRecord,
    StandardRef,
    Status,
    Subject,
    Subscription,
    TierDemand,
    WaiverRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AS_OF = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)

HOSTILE_NAMES = (
    "app'01\"<script>alert(1)</script>",
    "</script><!--<img src=x onerror=alert(2)>",
    "db-\N{FIRE}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}-01",
    "=cmd|'/c calc'!A1",
    "{{ 7 * 7 }}{% raw %}${jndi:x}",
    "rtl-\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "long-" + "x" * 495,
    "Größe-Ω-日本",
    "a&amp;b\x07bell\u2028line",
)

OWNERS = ("Payments platform", "ops@contoso.example", "Søren <b>Ångström</b>", None, "Data warehouse")


@dataclass(frozen=True)
class Spec:
    """A rule as this sample tells it, and how often each verdict occurs."""

    id: str
    area: str
    severity: Severity
    resource_type: str
    title: str
    rationale: str
    portal: str
    az: str
    controls: Mapping[str, tuple[str, ...]]
    params: Mapping[str, Any]
    reasons: Mapping[str, tuple[Status, str]]
    share: float = 0.05
    group: str | None = None


_MAP = {"mcsb_v1": ("BR-1",), "nist_800_53_r5": ("CP-9", "CP-10"), "iso_27001_2022": ("A.8.13",)}

SPECS = (
    Spec(
        "vm-unprotected",
        "protection",
        Severity.HIGH,
        "vm",
        "VM has no active Azure Backup item",
        "A VM without a backup item cannot be recovered from a vault: deletion, corruption or ransomware is final.",
        "Vault > Backup > Azure Virtual Machine > choose the tier's policy > add the VM",
        "az backup protection enable-for-vm -g <vault group> --vault-name <vault> --vm <vm id> --policy-name <policy>",
        _MAP,
        {"accept_disk_backup": False, "new_vm_grace_hours": 24},
        {
            "no_item": (Status.FAIL, "no backup item in any of {vaults} vaults of the tenant"),
            "new_vm": (Status.NOT_YET_DUE, "created {age} h ago, {grace} h of grace; due {matures}"),
        },
        0.06,
    ),
    Spec(
        "vm-snapshot-only",
        "protection",
        Severity.HIGH,
        "vm",
        "Snapshots exist, but no vault backup",
        "A snapshot lives in the same subscription and under the same roles as the VM that it should save.",
        "As for vm-unprotected",
        "az backup protection enable-for-vm …",
        _MAP,
        {"lookback_days": 90},
        {"snapshots_without_item": (Status.FAIL, "{snapshots} snapshots of its disks, no backup item")},
        0.03,
        "vm-unprotected",
    ),
    Spec(
        "vm-protection-stopped",
        "protection",
        Severity.HIGH,
        "vm",
        "Protection is stopped, paused or suspended",
        "It looks protected in inventories, but no new recovery point is made.",
        "Backup item > Resume backup",
        "az backup protection resume -g <group> --vault-name <vault> -c <container> -i <item> --policy-name <policy>",
        {**_MAP, "cis_controls_8_1": ("11.2",)},
        {"max_paused_hours": 24},
        {
            "protection_stopped": (
                Status.FAIL,
                "item state ProtectionStopped for {stopped_days} days, {points} points kept",
            )
        },
        0.03,
    ),
    Spec(
        "backup-rpo-breached",
        "health",
        Severity.HIGH,
        "vm",
        "Newest recovery point is older than the RPO",
        "What was written since the newest point is lost if the VM is.",
        "Backup item > Backup now; then look at the failed jobs",
        "az backup protection backup-now -g <group> --vault-name <vault> -c <container> -i <item>",
        {**_MAP, "soc2_2017": ("A1.2", "CC7.2")},
        {"escalate_factor": 3},
        {
            "point_too_old": (Status.FAIL, "newest point {age} h old, {rpo} h demanded"),
            "points_unread": (Status.UNKNOWN, "recovery points of the item could not be read: {cause}"),
        },
        0.07,
        "vm-protection-stopped",
    ),
    Spec(
        "retention-daily-below-standard",
        "retention",
        Severity.HIGH,
        "vm",
        "Daily points are kept too briefly",
        "Corruption that is found late needs a point from before it.",
        "Backup policy > Retention of daily backup point",
        "az backup policy set --policy @policy.json",
        _MAP,
        {"tolerance_pct": 2},
        {"daily_too_short": (Status.FAIL, "policy keeps daily points {promised} d, {demanded} d demanded")},
        0.04,
    ),
    Spec(
        "retention-weekly-below-standard",
        "retention",
        Severity.MEDIUM,
        "vm",
        "Weekly points are kept too briefly",
        "Weekly points bridge the time between daily and monthly ones.",
        "Backup policy > Retention of weekly backup point",
        "az backup policy set --policy @policy.json",
        _MAP,
        {},
        {"weekly_too_short": (Status.FAIL, "policy keeps weekly points {promised} d, {demanded} d demanded")},
        0.02,
    ),
    Spec(
        "retention-monthly-below-standard",
        "retention",
        Severity.HIGH,
        "vm",
        "Monthly points are kept too briefly",
        "A missing long-term point cannot be made afterwards.",
        "Backup policy > Retention of monthly backup point",
        "az backup policy set --policy @policy.json",
        _MAP,
        {},
        {"monthly_too_short": (Status.FAIL, "policy keeps monthly points 60 mo, 84 mo demanded")},
        0.3,
    ),
    Spec(
        "recovery-points-missing",
        "retention",
        Severity.HIGH,
        "vm",
        "Daily points that the policy promises do not exist",
        "The policy is a promise, the points are the fact.",
        "Backup item > Recovery points",
        "az backup recoverypoint list …",
        _MAP,
        {"max_missing_pct": 3},
        {"days_missing": (Status.FAIL, "{missing} of {expected} days without a point, longest gap {gap} d")},
        0.05,
        "vm-protection-stopped",
    ),
    Spec(
        "recovery-points-gfs-gap",
        "retention",
        Severity.MEDIUM,
        "vm",
        "A week or month lacks its retained point",
        "A hole in the archive is noticed when it is needed.",
        "Backup item > Recovery points",
        "az backup recoverypoint list …",
        _MAP,
        {},
        {
            "history_short": (Status.NOT_YET_DUE, "own history covers {days} d; may be judged from {matures}"),
            "month_missing": (Status.FAIL, "no retained point for {missing} months"),
        },
        0.2,
    ),
    Spec(
        "oldest-point-younger-than-retention",
        "retention",
        Severity.HIGH,
        "vm",
        "History is shorter than the retention claims",
        "Retention that is stated to auditors must exist.",
        "Backup item > Recovery points",
        "az backup recoverypoint list …",
        _MAP,
        {},
        {"since_unknown": (Status.NOT_YET_DUE, "protected since is not known; first seen {days} d ago")},
        0.5,
    ),
    Spec(
        "snapshot-stale",
        "snapshots",
        Severity.MEDIUM,
        "snapshot",
        "Snapshot is older than the operational tier",
        "An old snapshot is an uncontrolled copy of data, and costs money.",
        "Snapshots > Delete",
        "az snapshot delete --ids <snapshot id>",
        {"nist_800_53_r5": ("SI-12",)},
        {"bands": [7, 30, 90]},
        {"older_than_band": (Status.FAIL, "{age} d old, {limit} d allowed")},
        0.4,
    ),
    Spec(
        "vault-immutability-weak",
        "vaults",
        Severity.HIGH,
        "vault",
        "Vault is not immutable",
        "Whoever can administer a vault that is not immutable can delete its points.",
        "Vault > Properties > Immutable vault",
        "az backup vault update -g <group> -n <vault> --immutability-state Unlocked",
        {"cis_azure_storage_1_0": ("5.2.2",), "mcsb_v1": ("BR-2",)},
        {},
        {
            "immutability_disabled": (Status.FAIL, "immutability Disabled, Unlocked demanded"),
            "config_denied": (Status.UNKNOWN, "backup configuration of the vault could not be read: 403"),
        },
        0.4,
    ),
    Spec(
        "azpolicy-backup-unassigned",
        "governance",
        Severity.MEDIUM,
        "subscription",
        "No Azure Policy demands VM backup",
        "Without an assignment, a new unprotected VM is noticed by nobody.",
        "Policy > Assignments",
        "az policy assignment create …",
        {"mcsb_v1": ("BR-3",)},
        {},
        {"unassigned": (Status.FAIL, "no assignment of the built-in definition in force")},
        0.5,
    ),
    Spec(
        "restore-test-overdue",
        "readiness",
        Severity.HIGH,
        "class",
        "No successful restore test inside the cadence",
        "A backup that was never restored is a hope.",
        "Backup item > Restore VM",
        "az backup restore restore-disks …",
        {"nist_800_53_r5": ("CP-9(1)", "CP-4"), "iso_27001_2022": ("A.8.13",)},
        {},
        {"no_test": (Status.FAIL, "no restore test on record, one every {cadence} d demanded")},
        1.0,
    ),
    Spec(
        "vault-cmk-missing",
        "vaults",
        Severity.LOW,
        "vault",
        "Backup data is not under a customer-managed key",
        "Platform keys always encrypt; a customer-managed key is demanded by some.",
        "Vault > Properties > Encryption",
        "az backup vault encryption update …",
        {"cis_azure_storage_1_0": ("5.2.3",)},
        {},
        {"not_demanded": (Status.NOT_APPLICABLE, "the tier demands no customer-managed key")},
        1.0,
    ),
    Spec(
        "cost-snapshot-waste",
        "cost",
        Severity.LOW,
        "subscription",
        "Money in stale, orphaned, full or premium snapshots",
        "Storage that serves nobody.",
        "Snapshots",
        "az snapshot list …",
        {},
        {"min_month": 50},
        {},
        0.0,
    ),
)

_ITEM = (
    "/subscriptions/s/resourcegroups/rg-backup/providers/microsoft.recoveryservices/vaults/rsv-01/backupfabrics/azure"
    "/protectioncontainers/iaasvmcontainer;{name}/protecteditems/vm;{name}"
)

_TIERS = (
    TierDemand("hybrid", 24, 36, 30, 84, 84 * 30.4375, None, 7, None, 0),
    TierDemand("mission_critical", 6, 36, 30, 91, 84 * 30.4375, 10 * 365.25, 7, None, 0),
    TierDemand("dev_test", 168, 192, None, 28, None, None, None, "rebuildable from code; no personal data", 0),
)


def digest(text: str) -> str:
    """Give a digest that looks like one."""
    return hashlib.sha256(text.encode()).hexdigest()


def results(
    machines: int = 48, *, findings: int | None = None, hostile: bool = True, kind: str = "nasty", seed: int = 7
) -> Results:
    """Build results.

    `kind` is `nasty`, `clean` (nothing failed), `unknown` (nothing readable), `incomplete`, or `empty` (no VM at all).
    With `findings`, machines are added until at least so many rows that are told one by one exist, then rows are cut.
    """
    made = _Maker(machines, hostile=hostile, kind=kind, seed=seed).results()
    if findings is None:
        return made
    while sum(row.status is not Status.NOT_APPLICABLE for row in made.findings) < findings:
        machines = machines * 3 // 2 + 10
        made = _Maker(machines, hostile=hostile, kind=kind, seed=seed).results()
    told = [row for row in made.findings if row.status is not Status.NOT_APPLICABLE][:findings]
    return replace(made, findings=tuple(told))


_JUDGED_DAYS = (1 << 28) - 1


def _calendar(number: int, missing: int) -> Calendar:
    """Give 28 promised days, of which some lack their point, and older points that only weekly backups keep."""
    gaps = sum(1 << (3 + number % 11 + 4 * n) for n in range(missing))
    weekly = sum(1 << day for day in range(28 + number % 7, CALENDAR_DAYS, 7))
    return Calendar(AS_OF.date() - timedelta(days=1), _JUDGED_DAYS, _JUDGED_DAYS & ~gaps | weekly)


def past_runs(count: int, **last: Any) -> tuple[PastRun, ...]:
    """Give weekly runs that get better, the last one as `last` says."""
    runs = tuple(
        PastRun(
            id=f"run-{n}",
            as_of=AS_OF - timedelta(days=7 * n),
            manifest_digest=digest(f"run-{n}"),
            standard="hybrid 1.0.0",
            scope=digest("scope"),
            complete=n != 2,
            statuses={Status.FAIL: 40 + 3 * n, Status.UNKNOWN: n % 3},
            judged=46,
            failing=20 + n,
        )
        for n in reversed(range(count))
    )
    return (*runs[:-1], replace(runs[-1], **last)) if runs else ()


class _Maker:
    def __init__(self, machines: int, *, hostile: bool, kind: str, seed: int) -> None:
        self.count = 0 if kind == "empty" else machines
        self.kind = kind
        self.dice = random.Random(seed)  # noqa: S311 - a fixture, not a secret
        self.hostile = hostile and kind != "empty"
        self.subscriptions = self._subscriptions()
        self.specs = SPECS
        self.rows: list[Finding] = []
        self.passes: dict[str, list[Subject]] = defaultdict(list)
        self.counts: dict[str, Counter[Status]] = defaultdict(Counter)

    def results(self) -> Results:
        machines = tuple(self._machine(number) for number in range(self.count))
        snapshots = tuple(self._snapshot(number, machines) for number in range(min(self.count // 3, 4000)))
        self._other()
        rows = self._numbered()
        unread = self.kind in {"unknown", "incomplete"}
        coverage = tuple(self._coverage())
        tiers = tuple(
            replace(tier, vm_count=sum(m.tier == tier.name and m.excluded_code is None for m in machines))
            for tier in _TIERS
        )
        excluded = Counter(machine.excluded_code for machine in machines if machine.excluded_code)
        failed = sum(row.status is Status.FAIL for row in rows)
        return Results(
            run=Run(
                id="2026-11-22T060000Z",
                as_of=AS_OF,
                started_at=AS_OF,
                finished_at=AS_OF + timedelta(minutes=4, seconds=11),
                tool_version="0.1.0",
                rules_digest=digest("rules"),
                standard=StandardRef(
                    "hybrid",
                    "1.0.0",
                    digest("standard"),
                    "Head of IT Operations",
                    None,
                    "2026-11-22",
                    "2027-11-22",
                    "daily snapshots 7 days, daily backups 30 days, weekly 3 months, monthly 7 years",
                ),
                scope={
                    "subscriptions": [],
                    "management_groups": ["mg-prod"],
                    "exclude_subscriptions": [],
                    "expect_subscriptions": 4,
                    "recovery_points": "all",
                },
                identity={
                    "object_id": "3f1c0000-0000-4000-8000-00000000abcd",
                    "app_id": "9b7e0000-0000-4000-8000-000000000001",
                    "name": "audit-reader",
                    "tenant_id": "11111111-2222-4333-8444-555555555555",
                    "type": "servicePrincipal",
                },
                cloud="public",
                arm_endpoint="https://management.azure.com",
                complete=not unread,
                manifest_digest=digest("manifest"),
                self_test={"passed": 312, "failed": 0},
                organisation="Contoso <Ltd> & Söhne" if self.hostile else "Contoso Ltd",
                classification="CONFIDENTIAL",
            ),
            coverage=coverage,
            gaps=(
                Gap(
                    "recovery_point",
                    self._id(0, "rg-backup", "microsoft.recoveryservices/vaults", "rsv-denied"),
                    CoverageState.DENIED,
                    "403 AuthorizationFailed on backupProtectedItems/recoveryPoints",
                ),
            )
            if unread
            else (),
            subscriptions=tuple(
                replace(it, vm_count=sum(m.subscription_id == it.subscription_id for m in machines))
                for it in self.subscriptions
            ),
            population=(
                Population("vm", len(machines), len(machines) - sum(excluded.values()), dict(excluded)),
                Population("snapshot", len(snapshots), len(snapshots), {}),
                Population("vault", 5, 5, {}),
                Population("subscription", 4, 4, {}),
                Population("class", 3, 3, {}),
            ),
            rules=tuple(self._rule(spec) for spec in self.specs),
            findings=rows,
            machines=machines,
            snapshots=snapshots,
            tiers=tiers,
            waivers=self._waivers(),
            idle_responses=(
                IdleResponse(
                    "vm-unprotected, resource group rg-gone", "move <b>it</b>", "Ops", date(2027, 1, 31), "L. Nyberg"
                ),
            ),
            loosenings=(
                Loosening(
                    "tiers.dev_test",
                    (
                        LooserDemand("rpo", "168h", "24h"),
                        LooserDemand("backup.daily.keep", None, "30d"),
                        LooserDemand("vault", None, None),
                    ),
                    "rebuildable <b>from code</b>; no personal data" if self.hostile else "rebuildable from code",
                ),
            ),
            clock_offset_seconds=0.4,
            reconciliations=(
                Reconciliation("vm", "graph", "list", len(machines), len(machines), 0, 0, 0),
                Reconciliation("protected_item", "graph", "vaults", len(machines), len(machines) - 1, 1, 0, 2),
            ),
            questions=(
                Question(
                    "vm",
                    "POST",
                    "resources | where type =~ 'microsoft.compute/virtualmachines'\n| project id, name, location, "
                    "resourceGroup, subscriptionId, tags, properties\n| order by id asc",
                    "2024-04-01",
                    2,
                    len(machines),
                ),
                Question(
                    "protected_item", "POST", "recoveryservicesresources | where …", "2024-04-01", 1, len(machines)
                ),
                Question(
                    "protected_item", "GET", "/{vault}/backupProtectedItems", "2026-10-01", 5, max(len(machines) - 2, 0)
                ),
                Question(
                    "recovery_point",
                    "GET",
                    "/{item}/recoveryPoints?$filter=startDate eq '…'",
                    "2026-10-01",
                    len(machines),
                    len(machines) * 40,
                ),
            ),
            gate=Gate(
                1 if failed else 3 if unread else 0,
                "medium",
                tuple(
                    reason
                    for reason in (
                        GateReason("findings", failed, f"{failed} fails at or above medium") if failed else None,
                        GateReason("incomplete", 2, "2 parts of the evidence could not be read") if unread else None,
                    )
                    if reason is not None
                ),
            ),
            untested=() if self.kind == "clean" else ("yearly retention", "restore tests <&>"),
            runs=past_runs(4, statuses={it: sum(c[it] for c in self.counts.values()) for it in Status}),
            passes={
                rule: tuple(sorted(them, key=lambda it: it.resource_id)) for rule, them in sorted(self.passes.items())
            },
            inputs={
                name: digest(name)
                for name in (
                    "coverage.json",
                    "history.parquet",
                    "inventory/vm.parquet",
                    "raw/vm.zst",
                    "standard.yaml",
                    "waivers.yaml",
                )
            },
        )

    def _subscriptions(self) -> tuple[Subscription, ...]:
        names = ("sub-prod", "sub-shared <&>" if self.hostile else "sub-shared", "sub-dev", "sub-data")
        readings = ["audited"] * 4
        if self.kind == "unknown":
            readings = ["unreadable"] * 4
        elif self.kind == "incomplete":
            readings[3] = "unreadable"
        return tuple(
            Subscription(
                f"{n + 1:08d}-0000-4000-8000-000000000000", name, "Enabled", ("mg-prod", "Tenant root"), reading, 0
            )
            for n, (name, reading) in enumerate(zip(names, readings, strict=True))
        )

    def _id(self, sub: int, group: str, kind: str, name: str) -> str:
        subscription_id = self.subscriptions[sub].subscription_id
        return f"/subscriptions/{subscription_id}/resourcegroups/{group}/providers/{kind}/{name}".lower()

    def _machine(self, number: int) -> Machine:
        dice = self.dice
        sub = number % 3
        name = (
            HOSTILE_NAMES[number]
            if self.hostile and number < len(HOSTILE_NAMES)
            else f"app{number:05d}-{dice.getrandbits(32):08x}"
        )
        group = f"rg-{('pay', 'shared', 'dev')[sub]}-{number % 17:02d}"
        tier = ("hybrid", "mission_critical", "dev_test")[0 if number % 5 else 1 + number % 2]
        excluded = "managed_rg" if number % 23 == 22 else None
        machine_id = self._id(sub, group, "microsoft.compute/virtualmachines", name)
        statuses: dict[str, Status] = {}
        row: dict[str, Any] = {
            "resource_id": machine_id,
            "resource_type": "vm",
            "resource_name": name,
            "resource_group": group,
            "subscription_id": self.subscriptions[sub].subscription_id,
            "subscription_name": self.subscriptions[sub].name,
            "tier": tier,
            "class_": {"hybrid": "production"}.get(tier, tier),
            "owner": OWNERS[number % len(OWNERS)],
        }
        for spec in self.specs:
            if spec.resource_type == "vm":
                statuses[spec.id] = self._judge(spec, row, statuses, excluded)
        protection = "unprotected" if statuses["vm-unprotected"] is Status.FAIL else "protected"
        if statuses["vm-protection-stopped"] is Status.FAIL:
            protection = "stopped"
        blind = self.kind == "unknown"
        bare = protection == "unprotected" or blind
        late = statuses["backup-rpo-breached"] is Status.FAIL
        expected = None if bare else 28
        missing = None if bare else (4 if statuses["recovery-points-missing"] is Status.FAIL else 0)
        return Machine(
            resource_id=machine_id,
            name=name,
            resource_group=group,
            subscription_id=row["subscription_id"],
            subscription_name=row["subscription_name"],
            location="westeurope",
            class_=row["class_"],
            tier=tier,
            owner=row["owner"],
            excluded_code=excluded,
            protection="unknown" if blind else protection,
            item_id=None
            if bare
            else self._id(
                1,
                "rg-backup",
                "microsoft.recoveryservices/vaults/rsv-01/backupfabrics/azure/protectioncontainers/c/protecteditems",
                f"vm;{name}",
            ),
            vault_name=None if bare else "rsv-01",
            policy_name=None if bare else "policy-hybrid",
            newest_point_age_hours=None if bare else (31.0 + number % 200 if late else 3.25 + number % 20),
            newest_vaulted_point_age_hours=None if bare else 9.5 + number % 20,
            oldest_point_age_hours=None if bare else 24.0 * (28 + number % 90),
            point_count=None if blind else 0 if bare else 34,
            demanded_days={"daily": 30, "weekly": 84, "monthly": 2556.75, "yearly": None},
            promised_days={}
            if bare
            else {
                "daily": 30,
                "weekly": 84,
                "monthly": 60 * 30.4375 if statuses["retention-monthly-below-standard"] is Status.FAIL else 2556.75,
                "yearly": None,
            },
            expected_points=expected,
            missing_points=missing,
            statuses=statuses,
            calendar=None if bare else _calendar(number, missing or 0),
        )

    def _judge(self, spec: Spec, row: dict[str, Any], earlier: Mapping[str, Status], excluded: str | None) -> Status:
        dice = self.dice.random()
        pick = self.dice.randrange(max(len(spec.reasons), 1))
        choices = list(spec.reasons.items())
        if excluded:
            return self._add(
                spec, row, Status.NOT_APPLICABLE, "excluded:managed_rg", "resource group is managed by another service"
            )
        if self.kind == "unknown":
            return self._add(
                spec, row, Status.UNKNOWN, "not_read", "the evidence could not be read: 403 AuthorizationFailed"
            )
        if self.kind == "clean":
            return self._pass(spec, row)
        parent = spec.group and earlier.get(spec.group) is Status.FAIL
        if not choices or (dice > spec.share and not (parent and dice < 0.8)):
            return self._pass(spec, row)
        code, (status, sentence) = choices[0 if parent else pick]
        if status is Status.FAIL and dice < spec.share * 0.08:
            status = Status.WAIVED
        values = {
            "vaults": 5,
            "age": 25 + int(dice * 1000),
            "grace": 24,
            "matures": date(2026, 11, 23),
            "snapshots": 1 + pick,
            "rpo": 24,
            "stopped_days": 51,
            "points": 22,
            "cause": "403 AuthorizationFailed",
            "promised": 14,
            "demanded": 30,
            "missing": 4,
            "expected": 28,
            "gap": 3,
            "days": 90,
            "limit": 30,
            "cadence": 90,
        }
        return self._add(spec, row, status, code, sentence.format(**values), group=spec.group if parent else None)

    def _add(
        self, spec: Spec, row: dict[str, Any], status: Status, code: str, reason: str, *, group: str | None = None
    ) -> Status:
        severity = spec.severity.shifted(1) if row["tier"] == "mission_critical" else spec.severity
        first = AS_OF - timedelta(days=7 * self.dice.randrange(9))
        waiver = None
        if status is Status.WAIVED:
            waiver = {
                "id": "W-2026-004",
                "reason": "migration",
                "approver": "risk <owner>",
                "expires_on": date(2027, 3, 31),
                "expired": False,
            }
        self.rows.append(
            Finding(
                rule=spec.id,
                resource_id=row["resource_id"],
                resource_type=row["resource_type"],
                resource_name=row["resource_name"],
                resource_group=row["resource_group"],
                subscription_id=row["subscription_id"],
                subscription_name=row["subscription_name"],
                status=status,
                severity=severity,
                reason_code=code,
                reason=reason,
                evidence={
                    "newest_point_age_hours": 31.049 + self.dice.randrange(400),
                    "rpo_hours": 24.0,
                    "item_state": "Protected",
                    "tag": "</script>\N{FIRE}",
                    "parts": None,
                    "ratio": float("nan"),
                    "read_at": AS_OF,
                    **(
                        {"item_id": _ITEM.format(name=row["resource_name"])}
                        if spec.id == "vm-protection-stopped"
                        else {}
                    ),
                },
                tier=row["tier"],
                class_=row["class_"],
                owner=row["owner"],
                due=(first + timedelta(days=14)).date() if status is Status.FAIL else None,
                group=group,
                serial="",
                waiver=waiver,
                response={
                    "action": "re-enable",
                    "owner": "ops",
                    "due": date(2026, 12, 1),
                    "author": "CIO",
                    "on": date(2026, 11, 20),
                }
                if self.dice.random() < 0.02
                else None,
                baseline=None,
                fingerprint=digest(f"{spec.id}\n{row['resource_id']}"),
                first_seen=first,
            )
        )
        return self._count(spec, status)

    def _pass(self, spec: Spec, row: dict[str, Any]) -> Status:
        self.passes[spec.id].append(Subject(**row))
        return self._count(spec, Status.PASS)

    def _count(self, spec: Spec, status: Status) -> Status:
        self.counts[spec.id][status] += 1
        return status

    def _snapshot(self, number: int, machines: tuple[Machine, ...]) -> SnapshotRecord:
        machine = machines[number]
        name = f"snap-{number:05d}"
        row = {
            "resource_id": machine.resource_id.rsplit("/providers/", 1)[0]
            + f"/providers/microsoft.compute/snapshots/{name}",
            "resource_type": "snapshot",
            "resource_name": name,
            "resource_group": machine.resource_group,
            "subscription_id": machine.subscription_id,
            "subscription_name": machine.subscription_name,
            "tier": None,
            "class_": None,
            "owner": None,
        }
        spec = next(spec for spec in self.specs if spec.id == "snapshot-stale")
        status = self._judge(spec, row, {}, None)
        return SnapshotRecord(
            str(row["resource_id"]),
            name,
            machine.resource_group,
            machine.subscription_id,
            machine.subscription_name,
            24.0 * (3 + number % 200),
            128,
            "Standard_LRS",
            number % 2 == 0,
            "user",
            None,
            None,
            {spec.id: status},
        )

    def _other(self) -> None:
        kinds = {
            "vault": [
                ("rsv-0" + str(n), self._id(1, "rg-backup", "microsoft.recoveryservices/vaults", f"rsv-0{n}"))
                for n in range(1, 6)
            ],
            "subscription": [(it.name, f"/subscriptions/{it.subscription_id}") for it in self.subscriptions],
            "class": [(name, f"auditor:class/{name}") for name in ("production", "development", "mission-critical")],
        }
        for spec in self.specs:
            for name, resource_id in kinds.get(spec.resource_type, ()):
                if spec.id == "cost-snapshot-waste":
                    continue
                row = {
                    "resource_id": resource_id.lower(),
                    "resource_type": spec.resource_type,
                    "resource_name": name,
                    "resource_group": "rg-backup" if spec.resource_type == "vault" else "",
                    "subscription_id": "" if spec.resource_type == "class" else self.subscriptions[1].subscription_id,
                    "subscription_name": "" if spec.resource_type == "class" else self.subscriptions[1].name,
                    "tier": None,
                    "class_": None,
                    "owner": None,
                }
                if spec.id == "vault-cmk-missing" and self.kind != "unknown":
                    code, (kind, sentence) = next(iter(spec.reasons.items()))
                    self._add(spec, row, kind, code, sentence)
                else:
                    self._judge(spec, row, {}, None)

    def _numbered(self) -> tuple[Finding, ...]:
        order = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.NOT_YET_DUE, Status.NOT_APPLICABLE)
        self.rows.sort(
            key=lambda row: (order.index(row.status), row.severity.rank, row.rule, row.reason_code, row.resource_id)
        )
        return tuple(replace(row, serial=f"E-{number:04d}") for number, row in enumerate(self.rows, start=1))

    def _rule(self, spec: Spec) -> RuleResult:
        return RuleResult(
            spec.id,
            spec.area,
            spec.title,
            spec.severity,
            spec.resource_type,
            spec.rationale,
            {"portal": spec.portal, "az": spec.az},
            ("https://learn.microsoft.com/azure/backup/",),
            spec.controls,
            spec.params,
            "SELECT v.resource_id,\n"
            "       CASE WHEN v.excluded_code IS NOT NULL THEN 'not_applicable' ELSE 'pass' END AS status\n"
            f"FROM vm v -- {spec.id} <b>&",
            {status: self.counts[spec.id][status] for status in Status},
        )

    def _coverage(self) -> Iterable[Coverage]:
        for table in ("backup_policy", "protected_item", "recovery_point", "snapshot", "vault", "vm"):
            for number, it in enumerate(self.subscriptions):
                denied = self.kind == "unknown" or (self.kind == "incomplete" and number == 3)
                if denied:
                    yield Coverage(table, it.subscription_id, CoverageState.DENIED, None, 0, "403 AuthorizationFailed")
                else:
                    yield Coverage(table, it.subscription_id, CoverageState.COMPLETE, self.count, self.count)

    def _waivers(self) -> tuple[WaiverRecord, ...]:
        if self.kind == "empty":
            return ()
        return (
            WaiverRecord(
                "W-2026-004",
                "vm-unprotected",
                "tag environment = migration",
                "moved to the new platform in March",
                "nightly export to object storage",
                "anna",
                "risk <owner>",
                date(2026, 10, 1),
                date(2027, 3, 31),
                "CHG-1234",
                "valid",
                3,
            ),
            WaiverRecord(
                "W-2025-031",
                "vault-immutability-weak",
                "resource group rg-old",
                "legacy",
                "none",
                "bert",
                "carla",
                date(2025, 11, 1),
                date(2026, 10, 31),
                "CHG-0999",
                "expired",
                1,
                ("matches nothing",),
            ),
        )
