"""Estates drawn at random, for comparing the product's verdicts with the oracle's.

What the rules leave open stays out: ages on a boundary, fewer than three daily points left of a retention, points that
fall on midnight of the policy's zone, two active items for one machine, a young snapshot past its expiry tag.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PLACES = ("a/rg-App", "b/rg-dev-x", "b/RG-SBX-y", "c/rg-plain", "c/MC_fake", "a/mc_real")
_COPIES = "b/rg-copies"
_TAGS: list[dict[str, str]] = [
    {},
    {"environment": "prod"},
    {"Environment": "Production", "Owner": "a@example.com"},
    {"ENVIRONMENT": "Dev"},
    {"environment": "test"},
    {"backup-tier": "Mission-Critical"},
    {"Backup-Tier": "tier1", "environment": "dev"},
    {"environment": "staging", "<b>": "=1+1"},
]
_POLICIES: dict[str, dict[str, Any]] = {
    "full": {"daily": "22:00", "keep": {"daily": "30 Days", "weekly": "12 Weeks", "monthly": "84 Months"}},
    "years": {
        "daily": "03:15",
        "zone": "Pacific Standard Time",
        "keep": {"daily": "45 Days", "weekly": "13 Weeks", "monthly": "7 Years"},
    },
    "short": {"daily": "20:30", "zone": "India Standard Time", "keep": {"daily": "14 Days", "weekly": "8 Weeks"}},
    "long": {"daily": "12:00", "keep": {"daily": "120 Days", "yearly": "10 Years"}, "enhanced": True},
    "weekly": {
        "weekly": {"days": ["Wednesday"], "at": "02:00"},
        "keep": {"weekly": "52 Weeks", "monthly": "84 Months"},
    },
    "hourly": {
        "hourly": {"every": 4, "from": "00:00", "hours": 24},
        "zone": "W. Europe Standard Time",
        "keep": {"daily": "30 Days", "weekly": "13 Weeks", "monthly": "84 Months", "yearly": "10 Years"},
    },
}

_REDUNDANCIES = ["GeoRedundant", "GeoRedundant", "ZoneRedundant", "LocallyRedundant"]
_DIAGNOSTICS: list[list[dict[str, Any]]] = [
    [],
    [{"name": "all", "workspace": "log"}],
    [{"name": "report", "workspace": "log", "categories": ["AzureBackupReport"]}],
    [{"name": "kept", "storage": "logs"}],
    [
        {"name": "one", "workspace": "log", "categories": ["CoreAzureBackup", "AddonAzureBackupJobs"]},
        {
            "name": "two",
            "workspace": "log",
            "categories": ["AddonAzureBackupPolicy", "AddonAzureBackupProtectedInstance"],
        },
    ],
    [
        {"name": "one", "workspace": "log", "categories": ["CoreAzureBackup", "AddonAzureBackupJobs"]},
        {
            "name": "two",
            "workspace": "far",
            "categories": ["AddonAzureBackupPolicy", "AddonAzureBackupProtectedInstance"],
        },
    ],
    [{"name": "group", "workspace": "log", "categories": ["allLogs"]}],
]
_CONDITIONS: list[dict[str, Any]] = [
    {"field": "TargetResourceType", "operator": "Equals", "values": ["Microsoft.RecoveryServices/Vaults"]},
    {"field": "TargetResourceType", "operator": "Contains", "values": ["recoveryservices"]},
    {"field": "TargetResourceType", "operator": "NotEquals", "values": ["microsoft.compute/virtualmachines"]},
    {"field": "MonitorService", "operator": "Equals", "values": ["Azure Backup", "Platform"]},
    {"field": "MonitorService", "operator": "DoesNotContain", "values": ["Backup"]},
    {"field": "Severity", "operator": "Equals", "values": ["Sev0", "Sev1"]},
    {"field": "Severity", "operator": "Equals", "values": ["Sev0"]},
    {"field": "TargetResourceGroup", "operator": "Equals", "values": ["rg-v"]},
    {"field": "MonitorCondition", "operator": "Equals", "values": ["Fired"]},
    {"field": "AlertRuleName", "operator": "Contains", "values": ["backup"]},
    {"field": "Severity", "operator": "MatchesRegex", "values": ["Sev."]},
]


def _points(draw: random.Random) -> dict[str, Any] | None:
    kind = draw.randrange(9)
    days = sorted(draw.sample(range(2, 28), draw.randint(1, 4)))
    points: list[dict[str, Any] | None] = [
        None,
        None,
        None,
        {"newest": f"-{draw.choice([10, 50, 100, 250, 600])}h"},
        {"missing_days": days},
        {"soft_deleted_days": days},
        {"unvaulted": f"{draw.choice([20, 56, 200])}h"},
        {"missing_days": days, "on_demand": [f"-{days[0]}d"]},
        {"daily": draw.randint(3, 20), "monthly": 2, "archive_after": "20d"},
    ]
    return points[kind]


def _backup(draw: random.Random) -> dict[str, Any]:
    backup: dict[str, Any] = {"vault": draw.choice(["v1", "v2"]), "policy": draw.choice(list(_POLICIES))}
    if points := _points(draw):
        backup["points"] = points
    kind = draw.randrange(10)
    if kind == 0:
        state = draw.choice(["ProtectionStopped", "BackupsSuspended", "ProtectionPaused"])
        backup |= {"state": state, "points": {"newest": "-6d"}}
    elif kind == 1:
        backup |= {"deleted": "-3d"}
    elif kind == 2:
        backup |= {"state": "IRPending", "points": None}
    elif kind == 3:
        backup |= {"state": "ProtectionError", "last_status": "Failed"}
    return backup


def _machine(draw: random.Random, number: int) -> dict[str, Any]:
    # Few names for many machines: what is joined by name goes wrong here.
    machine: dict[str, Any] = {
        "name": f"vm{number // len(_PLACES)}",
        "in": _PLACES[number % len(_PLACES)],
        "tags": draw.choice(_TAGS),
        "age": draw.choice(["5h", "9d", "70d", "900d"]),
        "os": draw.choice(["windows", "linux"]),
        "disks": [64] * draw.randrange(3),
    }
    if machine["age"] == "5h":
        machine["backup"] = draw.choice([None, {"vault": "v1", "policy": "full", "state": "IRPending"}])
    elif draw.random() < 0.8:
        machine["backup"] = [_backup(draw)]
        if machine["age"] == "900d" and draw.random() < 0.3:
            # Azure protects a machine in one vault at a time; what is left in another is of the past.
            other = "v2" if machine["backup"][0]["vault"] == "v1" else "v1"
            left = {"state": "ProtectionStopped"} if draw.random() < 0.5 else {"deleted": "-2d"}
            machine["backup"].append({"vault": other, "policy": "full", "points": {"newest": "-80d"}, **left})
            machine["backup"][0]["since"] = "-79d"
    if machine.get("backup") and draw.random() < 0.1:
        change = draw.choice(
            [{"excluded_luns": [0]}, {"included_luns": []}, {"restores": "-9d"}, {"old_id": f"c/old{number}"}]
        )
        first = machine["backup"][0] if isinstance(machine["backup"], list) else machine["backup"]
        first |= change
    if draw.random() < 0.1:
        machine |= draw.choice([{"priority": "Spot"}, {"ephemeral": True}, {"image": "AzureDatabricks:a:b:1"}])
    return machine


def _snapshot(draw: random.Random, number: int, machines: list[dict[str, Any]]) -> dict[str, Any]:
    source = draw.choice([m for m in machines if not m.get("ephemeral")])
    # A Backup vault writes all its snapshots into one group.
    copied = draw.random() < 0.1
    place = source["in"]
    own = f"{place}/{source['name']}"
    age = draw.choice(["3d", "12d", "45d", "80d", "200d"])
    # Whether a young snapshot may have outlived its tag is left open.
    ended = {} if age == "3d" else {"Expiry": "{-4d}"}
    return {
        "name": f"snap{number}",
        "in": _COPIES if copied else place,
        "of": own if copied else draw.choice([own, own, own, "gone:disk"]),
        "age": age,
        "recreated": draw.random() < 0.1,
        "immutable_days": draw.choice([0, 0, 0, 30, 365]),
        "tags": draw.choice([
            {}, {}, {"expires-on": "{+9d}"}, ended, {"delete-after": "{+90d}"}, {"legal-hold": "yes"},
            {"Legal-Hold": "No"}, {"note": "housekeeping"}, {"VeeamJob": "x"}, {"backup-tier": "tier0"},
            {"Expires-On": "{+9d}", "service-owner": "b@example.com", "Change-Ref": "CHG1"}, {"fast-restore": "yes"},
        ]),
        "incremental": draw.random() < 0.7,
        "sku": draw.choice(["Standard_LRS", "Standard_ZRS", "Premium_LRS"]),
        "size": draw.choice([8, 32, 33, 512]),
        "network": draw.choice(["AllowAll", "AllowAll", "AllowPrivate", "DenyAll"]),
        "public": draw.choice(["Enabled", "Enabled", "Disabled"]),
        "state": draw.choice(["Unattached", "Unattached", "Unattached", "ActiveSAS", "ActiveSASFrozen"]),
    }  # fmt: skip


def _vault(draw: random.Random) -> dict[str, Any]:
    if draw.random() < 0.2:
        return {"bare": True, "redundancy": draw.choice(_REDUNDANCIES), "diagnostics": draw.choice(_DIAGNOSTICS)}
    vault: dict[str, Any] = {
        "redundancy": draw.choice(_REDUNDANCIES),
        "crr": draw.random() < 0.7,
        "soft_delete": draw.choice(["AlwaysON", "AlwaysON", "Enabled", "Disabled"]),
        "soft_delete_days": draw.choice([7, 14, 30, 90]),
        "immutability": draw.choice(["Disabled", "Unlocked", "Locked"]),
        "immutability_days": draw.choice([None, None, 14, 30]),
        "mua": draw.choice([False, True, "a/rg-g/ga", "c/rg-g/gc"]),
        "public": draw.choice(["Enabled", "Disabled"]),
        "alerts": draw.choice(["Enabled", "Enabled", "Disabled"]),
        "classic_alerts": draw.choice(["Enabled", "Disabled"]),
        "private_endpoints": draw.choice([[], ["pe"], [{"name": "pe", "status": "Pending"}]]),
        "diagnostics": draw.choice(_DIAGNOSTICS),
        "tags": draw.choice(_TAGS),
    }
    return {key: value for key, value in vault.items() if value is not None}


def _backup_vault(draw: random.Random) -> dict[str, Any]:
    return {
        "bare": draw.random() < 0.2,
        "redundancy": draw.choice(_REDUNDANCIES),
        "crr": draw.random() < 0.5,
        "soft_delete": draw.choice(["AlwaysOn", "AlwaysOn", "On", "Off"]),
        "soft_delete_days": draw.choice([7, 14, 30, 90]),
        "immutability": draw.choice(["Disabled", "Unlocked", "Locked"]),
        "guarded": draw.random() < 0.5,
        "alerts": draw.choice(["Enabled", "Enabled", "Disabled"]),
        "tags": draw.choice(_TAGS),
    }


def _alerting(draw: random.Random, vaults: list[str]) -> dict[str, Any]:
    """Draw alert processing rules over all that may be above a vault, and the groups that they tell."""
    rules: list[dict[str, Any]] = []
    if draw.random() < 0.5:
        rules.append({"name": "all", "in": "a/rg-alerts", "scopes": ["a", "c"], "action_groups": ["ag"]})
    for number in range(draw.randint(0, 4)):
        told = draw.choice([{"action_groups": ["ag"]}, {"action_groups": ["ag", "mute"]}, {"action_groups": ["mute"]}])
        rules.append({
            "name": f"rule{number}",
            "in": "a/rg-alerts",
            "scopes": draw.sample(["a", "b", "c", "a/rg-v", "b/rg-v", *(f"vault:{name}" for name in vaults)], 2),
            "conditions": draw.choice([[], []] + [[c] for c in _CONDITIONS] + [draw.sample(_CONDITIONS, 2)]),
            "enabled": draw.random() < 0.9,
            **(told if draw.random() < 0.8 else {"suppress": True}),
            **({"schedule": {"timeZone": "UTC"}} if draw.random() < 0.15 else {}),
        })  # fmt: skip
    mute: dict[str, Any] = draw.choice([{}, {"emails": ["b@example.com"], "enabled": False}])
    groups = [
        {"name": "ag", "in": "b/rg-alerts", "emails": ["a@example.com"]},
        {"name": "mute", "in": "b/rg-alerts", **mute},
    ]
    return {"alert_rules": rules, "action_groups": groups}


def _roles(draw: random.Random) -> list[dict[str, Any]]:
    scopes = ["a", "b", "c", "a/rg-v", "c/rg-v", "vault:v1", "vault:v2", "a/rg-g", "c/rg-g"]
    roles = ["Owner", "Contributor", "Backup Contributor", "Backup Operator", "f54b6d04-23c6-443e-b462-9c16ab7b4a52"]
    # Without a scope it is the root of the management groups.
    places = [{"scope": scope} for scope in scopes] + [{}]
    return [
        {**draw.choice(places), "role": draw.choice(roles), "principal": f"p{draw.randrange(9)}"}
        for _ in range(draw.randint(0, 14))
    ]


def _series(draw: random.Random, machines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give snapshots taken day by day, of all disks of a machine or of some."""
    for number, machine in enumerate(draw.sample([m for m in machines if not m.get("ephemeral")], 4)):
        of = f"{machine['in']}/{machine['name']}"
        for place in ["", *(f":{lun}" for lun in range(len(machine["disks"])))]:
            if place and draw.random() < 0.2:
                continue
            count, age = draw.choice([5, 6, 7, 12, 31]), draw.choice(["3h", "12h"])
            name = f"roll{number}-{place.strip(':') or 'os'}-{{n:02d}}"
            handed = {
                "state": draw.choice(["Unattached", "ActiveSAS"]),
                "network": draw.choice(["AllowAll", "DenyAll"]),
            }
            yield {"name": name, "count": count, "in": machine["in"], "of": of + place, "age": age, **handed}


def _gone(draw: random.Random, number: int) -> dict[str, Any]:
    """Give a machine of which only its backup item is left."""
    backup = {
        "vault": draw.choice(["v1", "v2"]),
        "policy": "full",
        "state": draw.choice(["Protected", "ProtectionStopped", "BackupsSuspended", "ProtectionError"]),
        "datasource_deleted": draw.random() < 0.6,
        "points": {"newest": "-20d"},
    }
    if draw.random() < 0.2:
        backup |= {"state": "Protected", "deleted": "-3d"}
    return {"name": f"gone{number}", "in": draw.choice(_PLACES), "deleted": True, "backup": backup}


def _points_of(draw: random.Random, number: int, machine: dict[str, Any]) -> dict[str, Any]:
    days = draw.sample(range(1, 9), draw.randint(4, 8))
    luns = [0] if machine["disks"] and draw.random() < 0.3 else []
    of = f"{machine['in']}/{machine['name']}"
    return {
        "name": f"rpc{number}",
        "in": machine["in"],
        "of": of,
        "points": [f"{n}d" for n in days],
        "excluded_luns": luns,
    }


_PARTS = ("a", "b", "c", "above", "a/rg-App", "b/rg-dev-x", "c/rg-plain")
_DEPLOY = "345fa903-145c-4fe1-8bcd-93ec2adccde8"
_SPARE = "09ce66bc-1220-4153-8104-e3f51c936913"


def _located(how: str, place: str) -> dict[str, Any]:
    return {"name": "x", "selectors": [{"kind": "resourceLocation", how: [place]}]}


def _policies(draw: random.Random) -> dict[str, Any]:
    """Draw what Azure Policy demands where, and who is exempt."""
    effects: list[dict[str, Any]] = [
        {},
        {},
        {"effect": {"value": "Disabled"}},
        {"effect": {"value": "AuditIfNotExists"}},
    ]
    here = {"value": "WestEurope"}
    tags = [{"value": "environment"}, {"value": ["dev", "Prod"]}]
    kinds: list[dict[str, Any]] = [
        {},
        {"parameters": draw.choice(effects)},
        {"initiative": "mcsb"},
        {"initiative": "own", "parameters": {"how": {"value": draw.choice(["disabled", "AuditIfNotExists"])}}},
        {"initiative": "own"},
        {"initiative": "none"},
        {"definition": _DEPLOY, "identity": draw.random() < 0.7,
         "parameters": {"inclusionTagName": tags[0], "inclusionTagValue": tags[1], "vaultLocation": here}},
        {"definition": _SPARE, "identity": True,
         "parameters": {"exclusionTagName": tags[0], "exclusionTagValue": tags[1]} | draw.choice(effects)},
        {"definition": _DEPLOY, "identity": True, "parameters": {"vaultLocation": {"value": "eastus"}}},
    ]  # fmt: skip
    extras: list[dict[str, Any]] = [
        {}, {}, {}, {"enforced": False}, {"not_scopes": [draw.choice(_PARTS)]},
        {"overrides": [{"kind": "policyEffect", "value": "Disabled"}]},
        {"overrides": [{"kind": "policyEffect", "value": "Disabled",
                        "selectors": [{"kind": "policyDefinitionReferenceId", "in": ["OfMachines"]}]}]},
        {"resource_selectors": [_located("in", "eastus")]},
        {"resource_selectors": [_located("in", "eastus"), _located("in", "WestEurope")]},
        {"resource_selectors": [_located("notIn", "eastus")]},
    ]  # fmt: skip
    assigned = [
        {"name": f"p{n}", "scope": draw.choice(_PARTS), **draw.choice(kinds), **draw.choice(extras)}
        for n in range(draw.randrange(6))
    ]
    exempt = [
        {
            "name": f"e{n}",
            "scope": draw.choice([*_PARTS, "vm:a/rg-App/vm0", "vm:c/rg-plain/vm1"]),
            "assignment": draw.choice(assigned)["name"],
            "expires": draw.choice([None, "-3d", "-30d", "+30d", "+360d", "+400d"]),
            "description": draw.choice(["", " ", "CHG-1"]),
            "references": draw.choice([[], [], ["ofmachines"], ["another"]]),
        }
        for n in range(draw.randrange(5) if assigned else 0)
    ]
    return {
        "management_groups": {"above": {"name": "Above"}},
        "initiatives": [
            {
                "name": "own",
                "scope": "above",
                "parameters": {"how": {"defaultValue": draw.choice(["AuditIfNotExists", "Disabled"])}},
                "definitions": [
                    {"definition": "013e242c-8828-4970-87b3-ab247555486d", "reference": "ofMachines",
                     "parameters": {"effect": {"value": "[parameters('how')]"}}},
                ],
            },
            {"name": "none", "scope": "above", "definitions": ["31b8092a-36b8-434b-9af7-5ec844364148"]},
        ],
        "policy_assignments": assigned,
        "exemptions": exempt,
    }  # fmt: skip


def random_evidence(seed: int, folder: Path, as_of: datetime) -> None:
    """Write restore tests and runbooks for the machines of a random estate into `evidence/` below a folder."""
    draw = random.Random(f"evidence {seed}")  # noqa: S311 - cases, not secrets
    place = folder / "evidence" / "restore-tests"
    place.mkdir(parents=True)
    many = draw.choice([0, 5, 40])
    for number in range(many):
        started = as_of - timedelta(days=draw.choice([-2, 1, 30, 89, 91, 300, 366]), hours=draw.randrange(1, 20))
        where = draw.choice(_PLACES).partition("/")
        vms = [{"name": f"vm{draw.randrange(5)}", "resource_group": where[2].upper(), "subscription": where[0]}]
        record: dict[str, Any] = {
            "id": f"RT-{number}",
            "vms": vms + draw.choice([[], [{"name": "no-such", "resource_group": "rg-App"}]]),
            "type": draw.choice(["full_vm_or_disk", "file", "snapshot", "cross_region"]),
            "started_at": started.isoformat(),
            "duration": draw.choice(["30min", "5h", "9h"]),
            "target": draw.choice([{}, {"isolated_network": True}, {"isolated_network": True}]),
            "performed_by": "somebody",
        }
        if draw.random() < 0.1:
            record["class"] = draw.choice(["production", "development"])
        if draw.random() < 0.8:
            record["validation"] = {"method": "looked at", "result": "pass" if draw.random() < 0.95 else "fail"}
        else:
            record["result"] = draw.choice(["pass", "pass", "fail"])
        (place / f"{number}.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
    runbooks: list[dict[str, Any]] = []
    for target in draw.sample([("class", "production"), ("class", "development"), ("tier", "hybrid")], 2):
        for _ in range(2):
            runbook: dict[str, Any] = {
                "title": f"R{len(runbooks)}",
                target[0]: target[1],
                "scenarios": list(_SCENARIOS[: draw.choice([3, 6, 6])]),
                "owner": "somebody",
                "url": "https://x",
                "sha256": "a" * 64,
                "reviewed_on": (as_of - timedelta(days=draw.choice([-9, 3, 3, 3, 400]))).date().isoformat(),
            }
            if draw.random() < 0.2:
                del runbook[draw.choice(["url", "sha256", "reviewed_on"])]
            runbooks.append(runbook)
    (folder / "evidence" / "runbooks.yaml").write_text(yaml.safe_dump({"runbooks": runbooks}), encoding="utf-8")


_SCENARIOS = ("snapshot_rollback", "single_vm", "file_level", "ransomware", "region_loss", "vault_or_key_loss")


def random_estate(seed: int, machines: int = 30, snapshots: int = 20) -> dict[str, Any]:
    """Draw an estate tree for `Estate.from_dict`; the same seed gives the same tree."""
    draw = random.Random(seed)  # noqa: S311 - cases, not secrets
    listed = [_machine(draw, number) for number in range(machines)]
    taken = [_snapshot(draw, number, listed) for number in range(snapshots)]
    copied = sorted({snapshot["of"] for snapshot in taken if snapshot["in"] == _COPIES})
    # Vaults have dice of their own, so that they change nothing else.
    dice = random.Random(f"vaults {seed}")  # noqa: S311 - cases, not secrets
    replicated = draw.sample([f"{m['in']}/{m['name']}" for m in listed], 2)
    taken += _series(draw, listed)
    caught = [_points_of(draw, number, machine) for number, machine in enumerate(draw.sample(listed, 3))]
    governed = _policies(random.Random(f"policy {seed}"))  # noqa: S311 - cases, not secrets
    return governed | {
        "estate": f"random {seed}",
        "jobs_days": 0,
        "subscriptions": {"a": {"group": "above"}, "b": {}, "c": draw.choice([{}, {}, {"tenant": "customer"}])},
        "resource_groups": {
            "a/rg-App": {"tags": draw.choice(_TAGS)},
            "a/mc_real": {"managed_by": "/subscriptions/x/resourceGroups/y/providers/z/managedClusters/aks"},
            "c/rg-plain": {"tags": draw.choice(_TAGS)},
        },
        "resource_guards": {"a/rg-g/ga": {}, "c/rg-g/gc": {}},
        "vaults": {
            "a/rg-v/v1": _vault(dice),
            "c/rg-v/v2": _vault(dice),
            "b/rg-v/empty": _vault(dice),
            "b/rg-v/asr": _vault(dice),
        },
        **_alerting(dice, ["v1", "v2", "asr"]),
        "role_assignments": _roles(dice),
        "backup_vaults": {"b/rg-bv/bv": _backup_vault(dice), "a/rg-bv/unused": _backup_vault(dice)},
        "policies": _POLICIES,
        "vms": [*listed, *(_gone(draw, number) for number in range(4))],
        "snapshots": taken,
        "restore_points": caught,
        "disk_backups": [{"vault": "bv", "in": "b/rg-bv", "of": of, "snapshot_group": _COPIES} for of in copied],
        "replications": [
            {"vault": vault, "of": of, "to": "b/rg-far", "location": "northeurope"}
            for of, vault in zip(replicated, ("v1", "asr"), strict=True)
        ],
    }
