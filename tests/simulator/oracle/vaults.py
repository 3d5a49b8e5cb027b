"""The rules on Recovery Services vaults and Backup vaults once more, over Azure's own documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditor.simulator.backup import Vault
    from tests.simulator.oracle import Oracle, Tier, Verdict

VAULT_RULES = (
    "vault-redundancy-below-standard", "vault-crr-disabled", "vault-soft-delete-weak", "vault-immutability-weak",
    "vault-mua-missing", "vault-network-exposed", "vault-cmk-missing", "vault-monitoring-missing",
)  # fmt: skip
VAULT_EXTRAS = ("vault-cross-subscription-restore-open", "vault-privileged-role-excess")
_SEVERITIES = ("low", "medium", "high", "critical")
_LOCKS = ("Disabled", "Unlocked", "Locked")
_ABSENT: Verdict = ("not_applicable", None)
_PASS: Verdict = ("pass", None)
_LOG = {"coreazurebackup", "addonazurebackupjobs", "addonazurebackuppolicy", "addonazurebackupprotectedinstance"}
_MEMBERS = ("Owner", "Contributor", "Backup Contributor")
_ROLES = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "5e467623-bb1f-42f4-a55d-6e525e11384b": "Backup Contributor",
    "c2a970b4-16a7-4a51-8c84-8a8ea6ee0bb8": "Backup MUA Admin",
    "f54b6d04-23c6-443e-b462-9c16ab7b4a52": "Backup MUA Operator",
}


@dataclass(frozen=True, slots=True)
class Demand:
    """What a tier of the default standard wants of a vault."""

    accept: frozenset[str] = frozenset({"GeoRedundant"})
    restore: bool = True
    days: int = 14
    lock: str = "Unlocked"
    guard: bool = True
    private: bool = False


ANY = frozenset({"LocallyRedundant", "ZoneRedundant", "GeoRedundant"})
DEMANDS = {0: Demand(), 1: Demand(days=30, lock="Locked", private=True),
           -1: Demand(accept=ANY, restore=False, lock="Disabled", guard=False)}  # fmt: skip
"""By the shift of severities, which differs between the tiers that the oracle knows."""


class Vaults:
    """Judges every vault of an estate, as somebody who may read everything."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.estate = oracle, oracle.estate
        rows = list(self.estate.rows("resources"))
        kinds = {"rules": "microsoft.alertsmanagement/actionrules", "groups": "microsoft.insights/actiongroups"}
        found = {name: [row for row in rows if row["type"].lower() == kind] for name, kind in kinds.items()}
        self.rules = found["rules"]
        self.groups = {row["id"].lower(): row["properties"] for row in found["groups"]}
        self.replicating = {
            row["id"].lower().partition("/replicationfabrics/")[0]
            for row in self.estate.rows("recoveryservicesresources")
            if row["type"].lower().endswith("/replicationprotecteditems")
        }
        self.machines = {machine["id"].lower(): machine for machine in self.estate.machine_documents}
        self.backup_vaults = [
            (row, held)
            for row in rows
            if row["type"].lower() == "microsoft.dataprotection/backupvaults" and (held := self._of_disks(row["id"]))
        ]

    def verdicts(self) -> Iterator[tuple[tuple[str, str], Verdict]]:
        for vault in self.estate.vaults.values():
            for rule, verdict in self._judged(vault).items():
                yield (rule, vault.id.lower()), verdict
        for row, tiers in self.backup_vaults:
            for rule, verdict in self._of_backup_vault(row, tiers).items():
                yield (rule, row["id"].lower()), verdict

    def extras(self) -> Iterator[tuple[tuple[str, str], Verdict]]:
        """Judge what the default standard does not ask for."""
        for vault in self.estate.vaults.values():
            shift = self._tier(self._tiers(vault)).shift
            settings = vault.document["properties"].get("restoreSettings", {})
            state = settings.get("crossSubscriptionRestoreSettings", {}).get("crossSubscriptionRestoreState")
            opened: Verdict = _PASS if state else ("unknown", None)
            yield (VAULT_EXTRAS[0], vault.id.lower()), _fail("low", shift) if state == "Enabled" else opened
            yield (VAULT_EXTRAS[1], vault.id.lower()), self._power(vault, shift)
        for row, tiers in self.backup_vaults:
            shift, properties = self._tier(tiers).shift, row["properties"]
            state = properties.get("featureSettings", {}).get("crossSubscriptionRestoreSettings", {}).get("state")
            opened = _PASS if state else ("unknown", None)
            yield (VAULT_EXTRAS[0], row["id"].lower()), _fail("low", shift) if state == "Enabled" else opened
            many = len(self._holders(row["id"], _MEMBERS)) > 3
            # Whose guard protects it is not told.
            few = _PASS if properties.get("isVaultProtectedByResourceGuard") is False else ("unknown", None)
            yield (VAULT_EXTRAS[1], row["id"].lower()), _fail("low", shift) if many else few

    def _of_disks(self, vault: str) -> list[Tier]:
        """Give the tiers of the judged machines whose disks a Backup vault backs up."""
        held = {
            instance["properties"]["dataSourceInfo"]["resourceID"].lower()
            for instance in self.estate.disk_backup_documents
            if instance["id"].lower().startswith(f"{vault.lower()}/")
        }
        found = []
        for machine in self.machines.values():
            profile = machine["properties"]["storageProfile"]
            disks = [disk.get("managedDisk") for disk in (profile["osDisk"], *profile["dataDisks"])]
            mine = {disk["id"].lower() for disk in disks if disk}
            if mine & held and not self.oracle._excluded(machine):
                found.append(self.oracle._tier(machine))
        return found

    def _of_backup_vault(self, row: Any, tiers: list[Tier]) -> dict[str, Verdict]:
        demands = [DEMANDS[tier.shift] for tier in tiers]
        shift, properties = self._tier(tiers).shift, row["properties"]
        found = dict.fromkeys(VAULT_RULES, _ABSENT)
        security = properties.get("securitySettings")
        found["vault-soft-delete-weak"] = ("unknown", None)
        if security:
            kept = security["softDeleteSettings"]
            short = kept["retentionDurationInDays"] < max(demand.days for demand in demands)
            grade = "high" if kept["state"] == "Off" else "medium" if short else "low"
            good = kept["state"] == "AlwaysOn" and not short
            found["vault-soft-delete-weak"] = _PASS if good else _fail(grade, shift)
        wanted = max(_LOCKS.index(demand.lock) for demand in demands)
        if wanted:
            found["vault-immutability-weak"] = ("unknown", None)
            if security:
                good = _LOCKS.index(security["immutabilitySettings"]["state"]) >= wanted
                found["vault-immutability-weak"] = _PASS if good else _fail("low", shift)
        if any(demand.guard for demand in demands):
            bare = properties.get("isVaultProtectedByResourceGuard") is False
            found["vault-mua-missing"] = _fail("medium", shift) if bare else ("unknown", None)
        if properties.get("monitoringSettings", {}).get("azureMonitorAlertSettings") == {
            "alertsForAllJobFailures": "Disabled"
        }:
            found["vault-monitoring-missing"] = _fail("high", shift)
        else:  # its log is not collected, and so it never passes
            unheard = self._heard(row["id"]) is False
            found["vault-monitoring-missing"] = _fail("medium", shift) if unheard else ("unknown", None)
        return found

    def _tiers(self, vault: Vault) -> list[Tier]:
        held = {item.properties.get("sourceResourceId", "").lower() for item in vault.items.values()}
        machines = [self.machines[key] for key in held if key in self.machines]
        tiers = [self.oracle._tier(machine) for machine in machines if not self.oracle._excluded(machine)]
        return tiers or [self.oracle._tier(vault.document)]

    def _tier(self, tiers: Sequence[Tier]) -> Tier:
        return max(tiers, key=lambda tier: tier.shift)

    def _judged(self, vault: Vault) -> dict[str, Verdict]:
        tiers = self._tiers(vault)
        demands = [DEMANDS[tier.shift] for tier in tiers]
        shift = self._tier(tiers).shift
        properties = vault.document["properties"]
        stored = vault.storage["properties"]["storageModelType"]
        empty = not vault.items
        replicas_only = empty and vault.id.lower() in self.replicating
        found = dict.fromkeys(VAULT_RULES, _ABSENT)
        if not empty:
            good = all(stored in demand.accept for demand in demands)
            found["vault-redundancy-below-standard"] = _PASS if good else _fail("high", shift)
            found["vault-monitoring-missing"] = self._monitoring(vault, shift)
        if any(demand.restore for demand in demands) and stored == "GeoRedundant" and not replicas_only:
            on = properties.get("redundancySettings", {}).get("crossRegionRestore") == "Enabled"
            found["vault-crr-disabled"] = _PASS if on else _fail("medium", shift)
        found["vault-soft-delete-weak"] = self._soft_delete(vault, max(demand.days for demand in demands), shift)
        found["vault-immutability-weak"] = self._immutability(properties, demands, shift)
        if any(demand.guard for demand in demands):
            found["vault-mua-missing"] = self._guard(vault, shift)
        if any(demand.private for demand in demands) and not replicas_only:
            found["vault-network-exposed"] = self._network(vault, shift)
        return found

    @staticmethod
    def _soft_delete(vault: Vault, days: int, shift: int) -> Verdict:
        config = vault.config["properties"]
        if config["softDeleteFeatureState"] not in ("Enabled", "AlwaysON"):
            return _fail("high", shift)
        if config["softDeleteRetentionPeriodInDays"] < days:
            return _fail("medium", shift)
        return _PASS if config["softDeleteFeatureState"] == "AlwaysON" else _fail("low", shift)

    @staticmethod
    def _immutability(properties: Any, demands: Sequence[Demand], shift: int) -> Verdict:
        wanted = max(_LOCKS.index(demand.lock) for demand in demands)
        settings = properties.get("securitySettings", {}).get("immutabilitySettings", {})
        level = _LOCKS.index(settings.get("state", "Disabled"))
        if wanted == 0:
            return _ABSENT
        if level == 0:
            return _fail("high", shift)
        if level < wanted:
            return _fail("medium", shift)
        span = settings.get("configuration", {})
        return _fail("low", shift) if span.get("type") == "TimeBased" and span["durationInDays"] < 30 else _PASS

    @staticmethod
    def _guard(vault: Vault, shift: int) -> Verdict:
        ids = [proxy["properties"]["resourceGuardResourceId"] for proxy in vault.guards]
        if not ids:
            return _fail("medium", shift)
        beside = all(identifier.split("/")[2] == vault.place.subscription for identifier in ids)
        return _fail("low", shift) if beside else _PASS

    @staticmethod
    def _network(vault: Vault, shift: int) -> Verdict:
        properties = vault.document["properties"]
        approved = [
            connection
            for connection in properties.get("privateEndpointConnections", ())
            if connection["properties"]["privateLinkServiceConnectionState"]["status"] == "Approved"
        ]
        if properties["publicNetworkAccess"] == "Disabled" or approved:
            return _PASS
        inside = any(item.properties["backupManagementType"] != "AzureIaasVM" for item in vault.items.values())
        return _fail("medium" if inside else "low", shift)

    # --- monitoring -----------------------------------------------------------------------------------------------

    def _monitoring(self, vault: Vault, shift: int) -> Verdict:
        settings = vault.document["properties"].get("monitoringSettings")
        state = settings and settings["azureMonitorAlertSettings"]["alertsForAllJobFailures"]
        heard = self._heard(vault.id)
        if state == "Disabled":
            return _fail("high", shift)
        if heard is False:
            return _fail("medium", shift)
        if not self._logged(vault):
            return _fail("low", shift)
        return ("unknown", None) if state is None or heard is None else _PASS

    @staticmethod
    def _logged(vault: Vault) -> bool:
        got: dict[str, set[str]] = {}
        for setting in vault.diagnostics:
            properties = setting["properties"]
            if properties["workspaceId"] and properties["logAnalyticsDestinationType"] in (None, "Dedicated"):
                sent = {
                    (log["category"] or log["categoryGroup"]).lower() for log in properties["logs"] if log["enabled"]
                }
                got.setdefault(properties["workspaceId"].lower(), set()).update(sent)
        return any(sent >= _LOG or "alllogs" in sent for sent in got.values())

    def _heard(self, vault: str) -> bool | None:
        """Whether somebody hears of a failed backup; None where a rule that may silence it is not understood."""
        applying = [(rule["properties"], self._holds(rule["properties"], vault)) for rule in self.rules]
        kinds = {id(rule): {action["actionType"] for action in rule["actions"]} for rule, _ in applying}
        always = [(rule, holds) for rule, holds in applying if rule["enabled"] and not rule.get("schedule")]
        silencing = [holds for rule, holds in always if "RemoveAllActionGroups" in kinds[id(rule)]]
        if True in silencing:
            return False
        if None in silencing:
            return None
        return any(self._reaches(rule) for rule, holds in always if holds)

    def _reaches(self, rule: Any) -> bool:
        groups = [group for action in rule["actions"] for group in action.get("actionGroupIds", ())]
        known = [self.groups[group.lower()] for group in groups if group.lower() in self.groups]
        return any(
            group["enabled"] and any(value for key, value in group.items() if key.endswith("Receivers"))
            for group in known
        )

    @staticmethod
    def _holds(rule: Any, vault: str) -> bool | None:
        """Whether a rule's scope and conditions take in the alert of a failed backup; None: not understood."""
        own = vault.lower()
        if not any(own == scope.lower() or own.startswith(f"{scope.lower()}/") for scope in rule["scopes"]):
            return False
        group = own.partition("/providers/")[0]
        kind = "/".join(own.split("/")[6:8])
        alert = {
            "MonitorService": ["azure backup"], "MonitorCondition": ["fired"],
            "Severity": ["sev1"], "SignalType": ["log"],
            "TargetResourceType": [kind], "TargetResource": [own],
            "TargetResourceGroup": [group, group.rpartition("/")[2]],
        }  # fmt: skip
        unsure = False
        for condition in rule["conditions"]:
            texts, values = alert.get(condition["field"]), [value.lower() for value in condition["values"]]
            if texts is None or condition["operator"] not in ("Equals", "NotEquals", "Contains", "DoesNotContain"):
                unsure = True
                continue
            equal = any(text == value for text in texts for value in values)
            inside = any(value in text for text in texts for value in values)
            if not {"Equals": equal, "NotEquals": not equal, "Contains": inside, "DoesNotContain": not inside}[
                condition["operator"]
            ]:
                return False
        return None if unsure else True

    # --- roles ----------------------------------------------------------------------------------------------------

    def _holders(self, identifier: str, roles: Sequence[str]) -> set[str]:
        """Principals that hold one of these roles at a resource or above it."""
        subscription = identifier.split("/")[2]
        groups = {
            f"/providers/microsoft.management/managementgroups/{name}".lower()
            for name in self.estate.ancestors(subscription)
        }
        found = set()
        for assignment in self.estate.roles:
            properties = assignment["properties"]
            scope = properties["scope"].lower()
            above = scope == "/" or scope in groups or identifier.lower() == scope
            role = _ROLES.get(properties["roleDefinitionId"].rpartition("/")[2])
            if role in roles and (above or identifier.lower().startswith(f"{scope}/")):
                found.add(properties["principalId"])
        return found

    def _power(self, vault: Vault, shift: int) -> Verdict:
        strong = self._holders(vault.id, _MEMBERS)
        guards = [proxy["properties"]["resourceGuardResourceId"] for proxy in vault.guards]
        approving = {
            principal
            for guard in guards
            for principal in self._holders(guard, ("Owner", "Contributor", "Backup MUA Admin", "Backup MUA Operator"))
        }
        if strong & approving:
            return _fail("medium", shift)
        if len(strong) > 3:
            return _fail("low", shift)
        visible = {subscription.id for subscription in self.estate.subscriptions.values()}
        return _PASS if all(guard.split("/")[2] in visible for guard in guards) else ("unknown", None)


def _fail(severity: str, shift: int) -> Verdict:
    return "fail", _SEVERITIES[min(max(_SEVERITIES.index(severity) + shift, 0), 3)]
